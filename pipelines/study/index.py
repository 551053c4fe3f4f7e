"""Stage index: the study's first page, with the headline figure of every other."""

from pathlib import Path

from groundup.files import read_json, write_json, write_text
from groundup.reports import study_index
from groundup.tracking import Run


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
    headline: Path,
    page: Path,
) -> None:
    """Read the metrics of the other stages; write the headline figures and the page."""
    found = {
        "tokenizers": read_json(tokenizers),
        "embeddings": read_json(embeddings),
        "contextual": read_json(contextual),
        "causal": read_json(causal),
        "masked": read_json(masked),
        "transfer": read_json(transfer),
        "transformer": read_json(transformer),
        "translation": read_json(translation),
    }
    write_json(headline, study_index.headline(found))
    write_text(page, study_index.page(found))
    run.artifact(page)
