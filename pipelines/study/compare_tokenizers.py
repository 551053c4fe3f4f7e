"""The ladder of tokenizers: one table, one plot, what its intervals allow to say, and a page to look at."""

from pathlib import Path

from groundup.errors import BadInput
from groundup.evaluation import tokenizer_results
from groundup.evaluation.tokenizer_results import CompareTokenizersConfig
from groundup.files import atomic_path, read_json, write_json, write_text
from groundup.reports import tokenizer_page, tokenizer_plots
from groundup.reports.style import save
from groundup.tokenizers.loading import load_tokenizer
from groundup.tracking import Run


def main(run: Run, *paths: Path, compare_tokenizers: CompareTokenizersConfig) -> None:
    """Read tokenizers, vocabularies' figures and models' figures; write the table, the folder of plots and the page.

    All three in the same order of names. A vocabulary's figures hold times, so they are read here and not by the
    ladder: other times are no reason to train its model anew.

    Raises:
        BadInput: other names in one of the three.
    """
    *sources, metrics, plots, page = paths
    third = len(sources) // 3
    parts = [sources[start : start + third] for start in range(0, len(sources), third)]
    lists = [", ".join(path.stem for path in part) for part in parts]
    if len(set(lists)) > 1:
        raise BadInput(
            f"found tokenizers, vocabularies and models of {'; '.join(lists)}; expected the same names in the same "
            f"order: correct the stage compare_tokenizers in dvc.yaml."
        )
    tokenizers = {path.stem: load_tokenizer(path) for path in parts[0]}
    rows = {
        model.stem: {"vocabulary": read_json(vocabulary), **read_json(model)}
        for vocabulary, model in zip(*parts[1:], strict=True)
    }
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
