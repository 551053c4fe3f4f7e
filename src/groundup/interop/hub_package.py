"""The package huggingface_hub, which the extra `hub` installs."""

import os
from typing import Any

from groundup.errors import BadInput


def package() -> Any:
    """Return the package huggingface_hub, without its telemetry; importing it takes a part of a second.

    Raises:
        BadInput: it is not installed.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read when the package is imported
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError as error:
        raise BadInput(
            "this needs the package huggingface_hub, which is not installed; expected it for models on the Hub: "
            "pip install 'groundup[hub]'"
        ) from error
    return huggingface_hub
