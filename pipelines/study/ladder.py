"""Train a decoder with one of the vocabularies and finetune it for spam, once per seed.

The decoder and its training time are the same for all vocabularies. The trainings are short and not resumed: after an
interruption, the stage starts again.
"""

from pathlib import Path

from groundup.files import write_json
from groundup.tracking import Run
from groundup.training.config import ComputeConfig, LadderConfig


def main(
    run: Run,
    tokens: Path,
    tokenizer: Path,
    spam: Path,
    metrics: Path,
    *,
    ladder: LadderConfig,
    compute: ComputeConfig,
) -> None:
    """Write the tokenizer's row of the table of tokenizers: the size of its decoder, and the results of each seed."""
    from groundup.tasks.tokenizer_ladder import measure_tokenizer

    run.params({"tokenizer": tokenizer.stem})
    run.reads(tokens / "train.bin", "tokens-train", "training")
    run.reads(spam / "test.jsonl", "spam-test", "test")
    row = measure_tokenizer(tokens, tokenizer, spam, config=ladder, compute=compute, log=run.log_of_seed)
    write_json(metrics, row)
    run.artifact(metrics)
    means = {key: sum(v.values()) / len(v) for key, v in row.items() if isinstance(v, dict)}
    run.log({**{key: row[key] for key in ("parameters", "embedding_parameters")}, **means})
