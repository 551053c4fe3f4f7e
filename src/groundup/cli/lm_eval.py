"""`groundup lm-eval-tasks` and `groundup lm-eval-scores`: our minimal pairs for lm-evaluation-harness."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from groundup.errors import BadInput

TRAINING = Path("data/prepared/corpus/train.jsonl")


def lm_eval_tasks(
    folder: Annotated[
        Path, typer.Argument(help="Folder to write the tasks to; tasks that are there are replaced.")
    ],
    training: Annotated[
        Path, typer.Option(help="The model's training text: pairs that occur in it are marked.")
    ] = TRAINING,
    pairs: Annotated[int, typer.Option(min=1, help="Number of minimal pairs per phenomenon.")] = 80,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal pairs.")] = 1,
) -> None:
    """Write our grammatical minimal pairs as tasks for lm-evaluation-harness.

    \b
      groundup export data/models/pretrained ../exported
      groundup lm-eval-tasks ../tasks
      lm-eval run --model hf --model_args pretrained=../exported,trust_remote_code=True --device cpu \\
        --include_path ../tasks --tasks groundup_grammar --log_samples --output_path ../results
      groundup lm-eval-scores ../results
    """
    from groundup.grammar.decisions import occur_in
    from groundup.grammar.harness_tasks import GROUP, write_tasks
    from groundup.grammar.minimal_pairs import minimal_pairs
    from groundup.text.documents import text_of
    from groundup.training.shards import read_documents

    ours = folder.is_dir() and all(file.name.startswith(GROUP) for file in folder.iterdir())
    if folder.resolve() == Path.cwd() or (folder.exists() and not ours):
        raise BadInput(
            f"{folder} is the working folder or has other files, which would be lost; expected a new folder, or one "
            f"that this command wrote: give another path."
        )
    drawn = minimal_pairs(pairs, seed)
    leaked = occur_in([pair.good for pair in drawn], map(text_of, read_documents(training)))
    write_tasks(folder, drawn, leaked)
    typer.echo(f"{len(drawn):,} pairs written to {folder}, as the group {GROUP}", err=True)


def lm_eval_scores(
    results: Annotated[Path, typer.Argument(help="Folder that lm-eval wrote, with --log_samples.")],
) -> None:
    """Show what lm-evaluation-harness found on our minimal pairs, with chance, 95% intervals and leakage.

    \b
      groundup lm-eval-scores ../results
    """
    from groundup.grammar.harness_tasks import scores

    found = scores(results)
    width = max(map(len, found["phenomena"]))
    typer.echo(f"{'phenomenon':<{width}}  pairs  leaked  chance  accuracy")
    for name, entry in found["phenomena"].items():
        typer.echo(_line(name.ljust(width), entry, found["chance"]))
    typer.echo(_line("mean".ljust(width), found, found["chance"]))


def _line(name: str, entry: Mapping[str, Any], chance: float) -> str:
    shown = {key: f"{value:.1%}" for key, value in entry["accuracy"]["model"].items()}
    return (
        f"{name}  {entry['pairs']:>5}  {entry['leaked']:>6.1%}  {chance:>6.0%}  {shown['mean']:>6} "
        f"({shown['low']} to {shown['high']})"
    )
