"""Importing this module teaches transformers to load groundup's own class, without code from the folder.

`import groundup.interop.transformers`, then `AutoModelForCausalLM.from_pretrained(folder)`.
"""

import transformers

from groundup.interop import modeling_groundup
from groundup.interop.own_config import CLASSES, OWN

transformers.AutoConfig.register(OWN, modeling_groundup.GroundupConfig)
for auto, name in CLASSES.items():
    if auto != "AutoConfig":
        model = getattr(modeling_groundup, name)
        getattr(transformers, auto).register(modeling_groundup.GroundupConfig, model)
