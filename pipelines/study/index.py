"""Stage index: the study's first page, with the headline figure of every other."""

import json
from pathlib import Path
from typing import Any

from groundup.atomic import write_text
from groundup.evaluation import study_index
from groundup.tracking import Run
from pipelines.stage import run_stage


def main(
    run: Run,
    tokenizers: Path,
    embeddings: Path,
    contextual: Path,
    causal: Path,
    masked: Path,
    transfer: Path,
    transformer: Path,
    translation: Path,
    page: Path,
) -> None:
    """Read the metrics, write the page."""
    found = {
        "tokenizers": _read(tokenizers),
        "embeddings": _read(embeddings),
        "contextual": _read(contextual),
        "causal": _read(causal),
        "masked": _read(masked),
        "transfer": _read(transfer),
        "transformer": _read(transformer),
        "translation": _read(translation),
    }
    write_text(page, study_index.page(found))
    run.artifact(page)


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    run_stage(main)
