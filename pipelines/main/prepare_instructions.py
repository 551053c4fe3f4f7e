"""Split the instructions by task family: train, val, test, gate and held_out.jsonl, report.json."""

from pathlib import Path

from groundup.datasets.instructions import KEYS, InstructionsConfig, prepare
from groundup.text.jsonl import read_jsonl, write_splits
from groundup.text.overlap import Text, TextIndex
from groundup.tracking import Run


def main(
    run: Run,
    raw: Path,
    corpus: Path,
    spam: Path,
    validation: Path,
    out: Path,
    *,
    instructions: InstructionsConfig,
) -> None:
    """Split the rows, and keep rows that occur in the earlier splits train and gate out of the evaluation.

    `validation` is not read: as a dependency, it makes DVC run the validation first.
    """
    import pandas

    earlier: list[Text] = []
    for split in ("train", "gate"):
        earlier += [document["messages"] for document in read_jsonl(corpus / f"{split}.jsonl")]
        earlier += [message["text"] for message in read_jsonl(spam / f"{split}.jsonl")]
    splits, report = prepare(read_jsonl(raw), instructions, TextIndex(earlier))
    write_splits(out, splits, report)
    for name, rows in splits.items():
        frame = pandas.DataFrame(rows, columns=list(KEYS))
        run.dataset(frame, f"instructions-{name}", str(out / f"{name}.jsonl"), name)
        run.log({f"{name}/rows": len(rows)})
    run.log({f"dropped/{reason}": count for reason, count in report["dropped"].items()})
    run.artifact(out / "report.json")
    sizes = {name: len(rows) for name, rows in splits.items()}
    print(
        f"instructions ({instructions.protocol}): {sizes}, dropped {report['dropped']}, leaks {report['leaks']}"
    )
