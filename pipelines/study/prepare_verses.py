"""Stage prepare_verses: both Bibles -> data/study/verses: pairs of verses, split by chapter, and report.json."""

from pathlib import Path

from groundup.datasets.jsonl import read_jsonl, write_splits
from groundup.datasets.verses import VersesConfig, prepare
from groundup.study_params import load_study_params
from groundup.tracking import Run
from pipelines.stage import run_stage


def main(run: Run, king_james: Path, basic: Path, out: Path, *, verses: VersesConfig) -> None:
    """Align, clean and split; King James English is the source."""
    import pandas

    splits, report = prepare(read_jsonl(king_james), read_jsonl(basic), verses)
    write_splits(out, splits, report)
    for name, pairs in splits.items():
        run.dataset(pandas.DataFrame(pairs), f"verses-{name}", str(out / f"{name}.jsonl"), name)
        run.log({f"{name}/{key}": value for key, value in report["splits"][name].items()})
    run.log({f"dropped/{reason.replace(',', '')}": count for reason, count in report["dropped"].items()})
    run.artifact(out / "report.json")
    print(f"verses: {report['splits']}, dropped {report['dropped']}")


if __name__ == "__main__":
    params = load_study_params(Path("params.yaml"), Path("pipelines/study/params.yaml"))
    run_stage(main, verses=params.verses)
