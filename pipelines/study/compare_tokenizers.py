"""The ladder of tokenizers: one table, one plot, what its intervals allow to say, and a page to look at."""

import json
from pathlib import Path

from groundup.atomic import atomic_path, write_json, write_text
from groundup.errors import BadInput
from groundup.evaluation import tokenizer_page, tokenizer_plots, tokenizer_results
from groundup.evaluation.figures import save
from groundup.evaluation.tokenizer_results import CompareTokenizersConfig
from groundup.study_params import load_study_params
from groundup.tokenizers.loading import load_tokenizer
from groundup.tracking import Run
from pipelines.stage import run_stage


def main(run: Run, *paths: Path, compare_tokenizers: CompareTokenizersConfig) -> None:
    """Read the tokenizers and, in the same order, their rows; write the table, the folder of plots and the page."""
    *sources, metrics, plots, page = paths
    half = len(sources) // 2
    tokenizers = {path.stem: load_tokenizer(path) for path in sources[:half]}
    rows = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sources[half:]}
    if list(tokenizers) != list(rows):
        raise BadInput(
            f"the tokenizers are {', '.join(tokenizers)} and the rows {', '.join(rows)}; expected the same names in "
            f"the same order: correct the stage compare_tokenizers in dvc.yaml."
        )
    config = compare_tokenizers
    found = tokenizer_results.table(rows, config)
    said = tokenizer_results.conclusions(found, config)
    write_json(metrics, {"tokenizers": found, "conclusions": said})
    with atomic_path(plots) as folder:
        folder.mkdir()
        save(tokenizer_plots.ladder(found), folder / "ladder.png")
    write_text(page, tokenizer_page.page(found, rows, tokenizers, config, plots))
    for name, row in found.items():
        run.log({f"{name}/{key}": row[key]["mean"] for key in ("val_bpb", "spam_f1")})
    run.text("\n".join(said) + "\n", "conclusions.txt")
    run.artifact(plots)
    run.artifact(page)


if __name__ == "__main__":
    params = load_study_params(Path("params.yaml"), Path("pipelines/study/params.yaml"))
    run_stage(main, compare_tokenizers=params.compare_tokenizers)
