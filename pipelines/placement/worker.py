"""The side of the worker: a flow run that does one stage in a new clone of the project, for a flow at home.

Prefect clones the commit, enters the clone and loads this file from it. The worker's environment may have another
version of groundup installed, so the clone's code is put first.
"""

# ruff: noqa: E402
import os
import sys
from pathlib import Path

CLONE = Path(__file__).resolve().parents[2]
PYTHONPATH = [str(CLONE / "src"), str(CLONE)]
sys.path[:0] = PYTHONPATH

# isort: split
from pipelines import server  # noqa: F401  # before Prefect, whose settings it reads

# isort: split
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from prefect import flow, get_run_logger
from prefect.states import Completed, Failed, State

from groundup.errors import BadInput
from groundup.lineage.locks import stage_key
from groundup.tracking import connect, explained
from pipelines.flow import FORESEEN, sentence
from pipelines.placement.home import FLOW, LOST
from pipelines.placement.parcel import Parcel, check_inputs, unpack
from pipelines.placement.remote import pull, push_results
from pipelines.placement.states import States, folder_of, travelling
from pipelines.run import PARENT_VARIABLE
from pipelines.stage_tasks import Killed, run_stage, stages_die_with_us


@flow(name=FLOW, validate_parameters=False)
def placed_stage(stage: str, parcel: dict[str, Any], force: bool, environment: dict[str, str]) -> State[None]:
    """Run one stage in this clone, and push its results.

    Args:
        stage: DVC's name of the stage.
        parcel: the fields of a `Parcel`.
        force: run the stage even if nothing changed.
        environment: variables for the stage: its parent run in MLflow, and the store.
    """
    variables = environment | {"PYTHONPATH": os.pathsep.join(PYTHONPATH)}
    if own := os.environ.get("MLFLOW_TRACKING_URI"):  # the worker's address of the store has precedence
        variables["MLFLOW_TRACKING_URI"] = own
    try:
        _run(stage, Parcel(**parcel), force, variables)
    except Killed as error:
        return Failed(name=LOST, message=str(error))
    except FORESEEN as error:
        return Failed(message=sentence(error))
    return Completed(message="done")


def _run(stage: str, parcel: Parcel, force: bool, variables: Mapping[str, str]) -> None:
    log = get_run_logger()
    unpack(CLONE, parcel)
    log.info("Pulling %s", ", ".join(parcel.targets) or "nothing")
    pull(CLONE, parcel.targets)
    check_inputs(CLONE, stage, parcel.entry)
    os.environ |= variables
    _check_parent(variables[PARENT_VARIABLE])
    folder = folder_of(str(parcel.entry["cmd"]))
    states = States(CLONE, folder, stage_key(parcel.entry)) if folder else None
    if states and (files := states.pull()):
        log.info("The training state of an earlier worker has arrived (%d files)", files)
    with travelling(states, log.warning) if states else nullcontext(), stages_die_with_us():
        run_stage.fn(stage, CLONE, force, variables)
    log.info("Pushing the results of %s", stage)
    push_results(CLONE, stage)
    if states:
        try:
            states.clear()
        except BadInput as error:  # the stage is done; its next training replaces the state
            log.warning("%s", error)


def _check_parent(run_id: str) -> None:
    """Check that the worker logs to the store in which the pipeline's run is.

    Raises:
        BadInput: it does not.
    """
    try:
        connection = connect(CLONE, create=False)
        with explained(connection.uri):
            found = connection.recorder.tags(run_id)
        why = "" if found else f"{connection.uri} does not have it"
    except BadInput as error:
        why = str(error)
    if why:
        raise BadInput(
            f"the worker does not reach the pipeline's run {run_id} in MLflow ({why}); set MLFLOW_TRACKING_URI on the "
            "worker to the store of the flow, a server that both reach"
        )
