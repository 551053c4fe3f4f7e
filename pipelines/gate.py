"""One look at the gate: a model's candidate is compared with its champion, and the decision goes into the ledger.

contests.py says how the models are compared, groundup.promotion what follows from their answers.
"""

from pipelines import server  # noqa: F401  # before Prefect, whose settings it reads

# isort: split
import hashlib
import json
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from groundup.errors import BadInput
from groundup.promotion.budget import Spending, next_level
from groundup.promotion.config import GateConfig
from groundup.promotion.vetoes import TIME
from groundup.tracking import connect, explained, registry
from groundup.tracking.champions import Champions
from groundup.tracking.ledger import Entry
from groundup.tracking.store import Connection
from pipelines.contests import GATE, Contest, Entrant, Match, gate_split
from pipelines.lineage import folder_of, origin_of, recorded_keys
from pipelines.operate.notices import KEPT, PROMOTED, announce
from pipelines.params import MainParams

TERMS = "terms"  # a key in the numbers of a ledger entry; see terms_of
SPENT = "spent"  # a key in the numbers of a ledger entry: the part of the error budget that the look used


@task(cache_policy=NO_CACHE, task_run_name="compare {contest.model}")
def compare(contest: Contest, root: Path, params: MainParams) -> str:
    """Let the gate compare a model's candidate with its champion, and promote the candidate if it is better.

    The candidate is the version that the current output of the model's stage was registered as.

    Returns:
        A row of the summary's table.

    Raises:
        BadInput: MLflow failed, the candidate was never registered, or a model cannot be loaded.
    """
    connection = connect(root)
    champions, origin = Champions(connection), origin_of(root, "flow retrain")
    entries = champions.reconcile(origin, contest.model)
    made = recorded_keys(root).get(contest.made_by, "")
    with explained(connection.uri):
        candidate = registry.made_by(connection, contest.model, made)
        champion = registry.champion(connection, contest.model)
        versions = registry.versions(connection, contest.model)
    if candidate is None:
        raise BadInput(
            f"the output of {contest.made_by} has no registered version: it came from DVC's cache or remote, or MLflow "
            "did not answer when it was made; expected one to compare with the champion: train it again with `dvc "
            f"repro --force --single-item {contest.made_by}`"
        )
    row = partial(row_of, contest.model, champion.version if champion else "none", candidate.version)
    if champion and champion.version == candidate.version:
        return row("kept: no new candidate")
    withdrawn = {e.before for e in entries if e.model == contest.model and e.action == "rolled_back"}
    if any(one.version in withdrawn and one.stage_key == made for one in versions):
        why = f"a rollback withdrew it; to let it serve again: groundup promote {contest.model} {candidate.version}"
        return row(f"kept: {why}")
    split = gate_split(folder_of(root, contest.data_of))
    if not split:
        why = f"the gate split of {contest.data_of} has no rows; expected some: raise its gate_fraction in params.yaml"
        return row(f"undecided: {why}")

    gate, terms = params.retrain.gate, terms_of(contest, root, params)
    level = next_level(params.retrain, spendings(entries, contest.model), datetime.now(UTC))
    asked = contest.model, candidate.version, champion.version if champion else None, terms
    if found := next((e for e in reversed(entries) if settles(e, asked, level, gate)), None):
        return row(
            f"{found.action}: compared before on the same rows, see entry {found.number} of the ledger"
        )
    with tempfile.TemporaryDirectory() as folder:
        old, new = entrants(connection, contest, champion, candidate, Path(folder))
        guard = gate_split(folder_of(root, contest.conversations_of)) if contest.conversations_of else []
        verdict = contest.judge(split, Match(old, new, level, params, guard))
    reasons = verdict.reasons
    if old and not old.trained_on:  # an older groundup has registered it
        reasons += ("no record says which rows the champion was trained on: some of these may flatter it",)
    facts: Any = {
        "expected": champion.version if champion else None,
        "numbers": {**verdict.numbers, SPENT: verdict.spent, TERMS: terms},
        "reasons": reasons,
    }
    if verdict.outcome == "promoted":
        champions.promote(contest.model, candidate.version, origin, **facts)
    else:
        champions.record(contest.model, candidate.version, verdict.outcome, origin, **facts)
    decision = f"{verdict.outcome}: {'; '.join(reasons)}"
    event = PROMOTED if verdict.outcome == "promoted" else KEPT
    announce(
        event, contest.model, f"candidate version {candidate.version}, {decision}", version=candidate.version
    )
    return row(decision)


def entrants(
    connection: Connection,
    contest: Contest,
    champion: registry.Version | None,
    candidate: registry.Version,
    folder: Path,
) -> tuple[Entrant | None, Entrant]:
    """Fetch champion, if there is one, and candidate into a folder, and load them.

    Raises:
        BadInput: MLflow failed, or this code cannot load one of them.
    """
    with explained(connection.uri):
        new = registry.fetch_checkpoint(connection, candidate, folder / "candidate")
        old = registry.fetch_checkpoint(connection, champion, folder / "champion") if champion else None
    challenger = Entrant.load(new)
    try:
        return Entrant.load(old) if old else None, challenger
    except BadInput as error:  # the champion may still serve, with the code that was saved with it
        raise BadInput(
            f"this code cannot test the champion ({error}); to let the candidate serve anyway: groundup promote "
            f"{contest.model} {candidate.version}"
        ) from error


def terms_of(contest: Contest, root: Path, params: MainParams) -> str:
    """Return a hash of the rows and rules of a comparison: repeated with the same ones, it would say the same."""
    terms = hashlib.sha256(json.dumps(asdict(params.retrain.gate), sort_keys=True).encode())
    for stage in filter(None, (contest.data_of, contest.conversations_of)):
        gate = folder_of(root, stage) / GATE
        terms.update(gate.read_bytes() if gate.exists() else b"")
    return terms.hexdigest()[:16]


def settles(entry: Entry, asked: tuple[str, str, str | None, str], level: float, gate: GateConfig) -> bool:
    """Return whether a comparison would only repeat an entry of the ledger.

    It would not at a higher level, nor if the challenger was too slow, since the machine may have been busy; nor if the
    challenger was promoted, and somebody has moved the alias back.

    Args:
        entry: the entry.
        asked: model, candidate, champion and terms of the comparison.
        level: its level.
        gate: its rules.
    """
    numbers = entry.numbers
    same = (entry.model, entry.candidate, entry.before, numbers.get(TERMS)) == asked
    too_slow = (numbers.get("ratios", {}).get(TIME) or 0) > gate.max_latency_ratio
    return same and entry.action in ("kept", "undecided") and numbers["level"] >= level and not too_slow


def spendings(entries: Iterable[Entry], model: str) -> list[Spending]:
    """Return what the looks in the ledger have spent of a model's error budget."""
    return [
        Spending(datetime.fromisoformat(entry.time), entry.numbers[SPENT])
        for entry in entries
        if entry.model == model and SPENT in entry.numbers
    ]


def row_of(model: str, champion: str, candidate: str, decision: str) -> str:
    """Return a row of the summary's table."""
    return f"| {model} | {champion} | {candidate} | {decision.replace('|', '/')} |"
