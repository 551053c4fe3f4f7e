"""Load models that were pretrained elsewhere, by name, with files from the catalogue's locations."""

import tempfile
from pathlib import Path

from groundup.datasets.catalogue import fetch, load_catalogue
from groundup.errors import BadInput
from groundup.interop.published import Published, load_published

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


def fetch_published(
    name_or_path: str, catalogue: Path, *, cache: Path | None = None, progress: bool = True
) -> Published:
    """Load a model pretrained elsewhere, by name (downloaded to a temporary folder) or from a local path.

    Args:
        name_or_path: a name in MODELS, or the path of a Hugging Face folder or .gguf file.
        catalogue: the catalogue's file, with the locations and checksums of the model's files.
        cache: folder for unfinished downloads, so that the next call can resume them; None means that it
            starts again.
        progress: show the progress of downloads.

    Raises:
        BadInput: the name is unknown, or no location serves a file; otherwise as `load_published` does.
    """
    path = Path(name_or_path)
    if name_or_path not in MODELS:
        if not path.exists():
            raise BadInput(
                f"pretrained is {name_or_path}, which is neither a known model nor an existing path; expected "
                f"{', '.join(MODELS)}, or the path of a Hugging Face folder or .gguf file: correct it."
            )
        return load_published(path)
    datasets, files = load_catalogue(catalogue), MODELS[name_or_path]
    missing = sorted(set(files.values()) - set(datasets))
    if missing:
        raise BadInput(
            f"{catalogue} has no entry {', '.join(missing)}; {name_or_path} needs it: add it again."
        )
    with tempfile.TemporaryDirectory() as folder:
        for file, entry in files.items():
            fetch(datasets[entry], Path(folder, file), cache=cache, progress=progress)
        return load_published(Path(folder, *files) if len(files) == 1 else Path(folder))
