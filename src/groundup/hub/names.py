"""The names by which published models can be chosen: names of the catalogue, addresses on the Hub, files and folders.

    smollm2-135m                      a model whose files the catalogue of the installed package pins
    hf:org/name, hf:org/name@main     a model on the Hugging Face Hub, at a branch, tag or commit
    folder, model.gguf                a downloaded Hugging Face folder or GGUF file

Nothing here imports torch, so that the shell can complete names quickly.
"""

import re
from pathlib import Path

from groundup.errors import BadInput

GPT2_TOKENIZER = {"merges.txt": "gpt2_vocab_bpe", "vocab.json": "gpt2_encoder_json"}
# name -> {file name: name in the catalogue}
MODELS = {
    "smollm2-135m": {"SmolLM2-135M-Instruct.Q4_1.gguf": "smollm2_135m"},
    **{
        f"gpt2-{size}": {
            "config.json": f"gpt2_{size}_config",
            "model.safetensors": f"gpt2_{size}_weights",
            **GPT2_TOKENIZER,
        }
        for size in ("124m", "355m", "774m", "1558m")
    },
}
HUB = "hf:"
# neither part may leave its folder of the cache
ADDRESS = re.compile(r"hf:(?!.*(\.\.|--))(?P<repo>\w[\w.-]{0,94}/\w[\w.-]{0,94})(@(?P<revision>\w[\w./-]*))?")
COMMIT = re.compile(r"[0-9a-f]{40}")
EXPECTED = f"{', '.join(MODELS)}, {HUB}org/name@revision, or the path of a Hugging Face folder or .gguf file"


def is_published(name: str) -> bool:
    """Return whether a name is that of a published model, which has to be imported, and not that of a checkpoint."""
    return name in MODELS or name.startswith(HUB) or is_download(Path(name))


def is_download(path: Path) -> bool:
    """Return whether a path is that of a GGUF file or of a Hugging Face folder, whose config.json has a model_type.

    Raises:
        BadInput: the path cannot be read.
    """
    config = path / "config.json"
    try:
        if path.suffix == ".gguf" and path.is_file():
            return True
        return config.is_file() and '"model_type"' in config.read_text(encoding="utf-8", errors="replace")
    except OSError as error:  # no permission, or the name is too long
        raise BadInput(
            f"{path} cannot be read ({error.strerror}); expected {EXPECTED}: give another one."
        ) from error
