"""Compare the study's tokenizers in one table, and show how each splits a sentence."""

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
    """Write the table of all tokenizers.

    Args:
        tokenizers, measured, ladder: folders with one file per vocabulary: the tokenizer, its metrics on text, and
            the metrics of its model. The metrics on text include times. They are read here and not by the stage
            ladder, so that a different time does not make DVC train the models again.
        metrics: the file to write.
        vocabularies, compare_tokenizers: sections of params.yaml.
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
    run.artifact(metrics)
    for name, row in found.items():
        run.log({f"{name}/{key}": row[key]["mean"] for key in ("val_bpb", "spam_f1")})
