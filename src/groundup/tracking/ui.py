"""The address of MLflow's list of runs; `python -m groundup.tracking.ui PORT` prints it.

MLflow 3 opens with a view of traces, which does not show trainings.
"""

import os
import sqlite3
import sys
from contextlib import closing

from groundup.errors import BadInput
from groundup.tracking import relocation, servers
from groundup.tracking.relocation import database_of
from groundup.tracking.store import errors_of_store, experiment_name, set_defaults


def link(uri: str, experiment: str, port: str) -> str:
    """Return the address of the list of runs, or of MLflow's first page if there is no experiment yet."""
    found = _experiment_id(uri, experiment)
    page = f"#/experiments/{found}/runs?workflowType=machine_learning" if found else ""
    return f"http://127.0.0.1:{port}/{page}"


def _experiment_id(uri: str, experiment: str) -> str | None:
    """Return the id of an experiment, or None; an SQLite store is read directly, since MLflow takes long to import."""
    if (database := database_of(uri)) is None:
        set_defaults()  # otherwise a server that is down takes minutes
        from mlflow import MlflowClient

        try:
            if servers.is_database(uri):
                servers.check(uri)  # MLflow would try for minutes
            found = MlflowClient(uri).get_experiment_by_name(experiment)
        except Exception as error:
            if not isinstance(error, (BadInput, *errors_of_store())):
                raise
            return None  # it cannot be reached: MLflow reports that
        return found and str(found.experiment_id)
    if not database.exists():
        return None
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as store:
            row = store.execute(
                "SELECT experiment_id FROM experiments WHERE name = ? AND lifecycle_stage = 'active'",
                (experiment,),
            ).fetchone()
    except sqlite3.Error:  # MLflow reports what is wrong with the store
        return None
    return row and str(row[0])


def main() -> None:
    """Correct the paths in a store that was moved, and print the address of the list of runs."""
    relocation.main()
    address = link(os.environ.get("MLFLOW_TRACKING_URI", ""), experiment_name(), sys.argv[1])
    print(f"The runs, as soon as MLflow answers (Ctrl-C ends it): {address}", flush=True)


if __name__ == "__main__":
    main()
