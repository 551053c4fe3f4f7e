"""Stage prepare_instructions: raw rows -> data/prepared/instructions: train, val, test, held_out.jsonl, report.json."""

import json
from pathlib import Path

from groundup.atomic import atomic_path
from groundup.datasets.instructions import KEYS, InstructionsConfig, prepare
from groundup.datasets.jsonl import read_jsonl, write_jsonl
from groundup.evaluation.contamination import Text, TextIndex
from groundup.params import load_params
from groundup.tracking import Run
from pipelines.stage import run_stage


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
    """Split the rows; what occurs in any earlier training text is not evaluated; `validation` is only waited for."""
    import pandas

    earlier: list[Text] = [document["messages"] for document in read_jsonl(corpus / "train.jsonl")]
    earlier += [message["text"] for message in read_jsonl(spam / "train.jsonl")]
    splits, report = prepare(read_jsonl(raw), instructions, TextIndex(earlier))
    with atomic_path(out) as folder:
        folder.mkdir()
        for name, rows in splits.items():
            write_jsonl(folder / f"{name}.jsonl", rows)
        (folder / "report.json").write_text(
            json.dumps(report, indent=2, sort_keys=True) + "\n", encoding="utf-8"
        )
    for name, rows in splits.items():
        run.dataset(
            pandas.DataFrame(rows, columns=list(KEYS)),
            f"instructions-{name}",
            str(out / f"{name}.jsonl"),
            name,
        )
        run.log({f"{name}/rows": len(rows)})
    run.log({"dropped/rows": sum(report["dropped"].values())})
    run.artifact(out / "report.json")
    sizes = {name: len(rows) for name, rows in splits.items()}
    print(
        f"instructions ({instructions.protocol}): {sizes}, dropped {report['dropped']}, leaks {report['leaks']}"
    )


if __name__ == "__main__":
    params = load_params(Path("params.yaml"))
    run_stage(main, instructions=params.instructions)
