"""Stage prepare_corpus: raw documents -> data/prepared/corpus: train.jsonl, val.jsonl, report.json."""

import json
from pathlib import Path

from groundup.atomic import atomic_path
from groundup.datasets.corpus import CorpusConfig, prepare, text_of
from groundup.datasets.jsonl import read_jsonl, write_jsonl
from groundup.params import load_params
from groundup.tracking import Run
from pipelines.stage import run_stage


def main(run: Run, raw: Path, validation: Path, out: Path, *, corpus: CorpusConfig) -> None:
    """Clean, deduplicate and split the corpus; `validation` is only waited for."""
    import pandas

    train, val, report = prepare(read_jsonl(raw), corpus)
    with atomic_path(out) as folder:
        folder.mkdir()
        write_jsonl(folder / "train.jsonl", train)
        write_jsonl(folder / "val.jsonl", val)
        (folder / "report.json").write_text(
            json.dumps(report, indent=2, sort_keys=True) + "\n", encoding="utf-8"
        )
    for name, side in (("train", train), ("val", val)):
        frame = pandas.DataFrame({"id": [d["id"] for d in side], "text": [text_of(d) for d in side]})
        run.dataset(frame, f"corpus-{name}", str(out / f"{name}.jsonl"), name)
        run.log({f"{name}/{key}": value for key, value in report["splits"][name].items()})
    run.artifact(out / "report.json")
    print(f"corpus: {report['splits']}, dropped {report['dropped']}")


if __name__ == "__main__":
    params = load_params(Path("params.yaml"))
    run_stage(main, corpus=params.corpus)
