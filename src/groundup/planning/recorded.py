"""How long stages took the last time, from MLflow."""

from pathlib import Path

from groundup.errors import BadInput
from groundup.tracking import connect, explained

NEWEST = 500  # runs that are looked through


def recorded_seconds(root: Path) -> dict[str, float]:
    """Return the seconds of the last finished run of each stage, by the stage's name in dvc.yaml.

    Empty if there is no tracking store, or it does not answer: a plan needs no recorded run.
    """
    try:
        connection = connect(root, create=False)
        with explained(connection.uri):
            runs = connection.client.search_runs(
                [connection.experiment_id],
                "tags.kind = 'stage' and attributes.status = 'FINISHED'",
                max_results=NEWEST,
                order_by=["attributes.start_time DESC"],
            )
    except BadInput:
        return {}
    seconds: dict[str, float] = {}
    for run in runs:
        name = run.data.tags.get("stage", "")
        seconds.setdefault(name, (run.info.end_time - run.info.start_time) / 1000)
    return seconds
