"""The ladder of tokenizers as one table, and how each cuts a sentence."""

from pathlib import Path

from groundup.evaluation.tokenizer_results import CompareTokenizersConfig, learned, table
from groundup.files import read_json, write_json
from groundup.tokenizers.loading import load_tokenizer
from groundup.tokenizers.vocabularies import VocabularyConfig
from groundup.tracking import Run


def main(
    run: Run,
    tokenizers: Path,
    measured: Path,
    ladder: Path,
    metrics: Path,
    *,
    vocabularies: dict[str, VocabularyConfig],
    compare_tokenizers: CompareTokenizersConfig,
) -> None:
    """Read the tokenizers, what they do to text and what they do to the model: three folders, a file per vocabulary.

    What a vocabulary does to text includes times, so it is read here and not by the ladder: other times are no reason
    to train its model again.
    """
    config = compare_tokenizers
    loaded = {name: load_tokenizer(tokenizers / f"{name}.json") for name in vocabularies}
    figures = {name: read_json(measured / f"{name}.json") for name in vocabularies}
    rows = {
        name: {"vocabulary": figures[name], **read_json(ladder / f"{name}.json")} for name in vocabularies
    }
    found = table(rows, config)
    facts = {
        "tokenizers": found,
        "order": list(vocabularies),
        "reference": config.reference,
        "confidence": config.confidence,
        "cuts": {name: tokenizer.pieces(config.sentence) for name, tokenizer in loaded.items()},
        "learned": learned(figures, loaded, config),
    }
    write_json(metrics, facts)
    for name, row in found.items():
        run.log({f"{name}/{key}": row[key]["mean"] for key in ("val_bpb", "spam_f1")})
