"""Manipulate a ledger and kill processes that move champions: each manipulation is found, and each kill repaired.

    python -m tests.campaigns.ledger --manipulations 100 --kills 50 --seed 1

Each manipulation edits, deletes, inserts, moves or cuts off entries of a ledger that has its copy in MLflow. Some of
them then correct all hashes, as somebody who knows the format would. The check must report every one.

A process that promotes, rolls back and records without pause is killed with SIGKILL at a random moment. Only kills
between the writes to ledger and registry count. The next call must finish what the process began, so that the registry
has the champion of the ledger.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from groundup.tracking import connect, mirror, registry
from groundup.tracking.champions import Champions, Origin
from groundup.tracking.ledger import Entry
from groundup.tracking.mirror import Mirror
from groundup.tracking.standing import standing

ORIGIN = Origin("campaign", "", "")
PRELOADED = ["mlflow.store.tracking.sqlalchemy_store", "groundup.tracking.champions"]


def add_model(store: Any, folder: Path, name: str, versions: int) -> None:
    """Register a model with versions that have no content."""
    store.client.create_registered_model(name)
    for number in range(versions):
        run = store.client.create_run(store.experiment_id)
        store.client.create_model_version(name, (folder / f"{name}-{number}").as_uri(), run.info.run_id)


def step(champions: Champions, model: str, rng: random.Random) -> Entry:
    """Promote, roll back or record a random version; return the new entry."""
    registered = registry.get(champions.connection, model)
    aliases = registry.aliases(registered)
    champion = aliases.get(registry.CHAMPION)
    others = [
        one.version for one in registry.versions(champions.connection, model) if one.version != champion
    ]
    chosen = rng.choice(others)
    facts: dict[str, Any] = {"expected": champion, "reasons": ["drawn by lot"]}
    match rng.choice(("promote", "rollback", "record")):
        case "rollback" if champion:
            return champions.rollback(model, ORIGIN, to=chosen, **facts)
        case "record" if champion:
            return champions.record(model, chosen, "kept", ORIGIN, numbers={"mcc": rng.random()}, **facts)
        case _:
            return champions.promote(model, chosen, ORIGIN, numbers={"mcc": rng.random()}, **facts)


def canonical(values: dict[str, Any]) -> str:
    """Return an entry as canonical JSON, without using the library."""
    return json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def rehashed(lines: list[str]) -> list[str]:
    """Return the lines with correct numbers and hashes, like those of an intact ledger."""
    done: list[str] = []
    previous = ""
    for number, line in enumerate(lines, start=1):
        values = json.loads(line) | {"number": number, "previous": previous}
        del values["hash"]
        previous = hashlib.sha256(canonical(values).encode()).hexdigest()
        done.append(canonical({**values, "hash": previous}))
    return done


def edit(lines: list[str], rng: random.Random) -> None:
    place = rng.randrange(len(lines))
    values = json.loads(lines[place])
    key, value = rng.choice(
        (("actor", "nobody"), ("numbers", {"mcc": 1.0}), ("reasons", ["it was better"]), ("after", "9"))
    )
    lines[place] = canonical({**values, key: value})


def edit_a_character(lines: list[str], rng: random.Random) -> None:
    place = rng.randrange(len(lines))
    at = rng.randrange(len(lines[place]))
    other = rng.choice([c for c in '0123456789abcdef{}, :"' if c != lines[place][at]])
    lines[place] = lines[place][:at] + other + lines[place][at + 1 :]


def delete(lines: list[str], rng: random.Random) -> None:
    del lines[rng.randrange(len(lines))]


def insert(lines: list[str], rng: random.Random) -> None:
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))


def reorder(lines: list[str], rng: random.Random) -> None:
    one, other = rng.sample(range(len(lines)), 2)
    lines[one], lines[other] = lines[other], lines[one]


def truncate(lines: list[str], rng: random.Random) -> None:
    del lines[rng.randrange(len(lines)) :]


MANIPULATIONS: tuple[Callable[[list[str], random.Random], None], ...] = (
    edit, edit_a_character, delete, insert, reorder, truncate
)  # fmt: skip


def manipulated(content: bytes, number: int, rng: random.Random) -> tuple[str, bytes]:
    """Return the name of a manipulation and the content of the ledger after it."""
    change = MANIPULATIONS[number % len(MANIPULATIONS)]
    lines = content.decode().splitlines()
    change(lines, rng)
    name = change.__name__
    if change is truncate and rng.random() < 0.5:
        return f"{name}, within a line", content[: rng.randrange(len(content))]
    if change is not edit_a_character and rng.random() < 0.5:
        name, lines = f"{name}, with correct hashes", rehashed(lines)
    return name, "".join(f"{line}\n" for line in lines).encode()


def manipulate(champions: Champions, count: int, rng: random.Random) -> list[tuple[str, str]]:
    """Manipulate an intact ledger `count` times; return the name of each manipulation and the first problem found."""
    path = champions.ledger.path
    content, models = path.read_bytes(), {entry.model for entry in champions.ledger.entries()}
    assert not champions.problems()
    found = []
    for number in range(count):
        name, changed = manipulated(content, number, rng)
        assert changed != content
        path.write_bytes(changed)
        found.append((name, next(iter(champions.problems(*models)), "")))
    path.write_bytes(content)
    assert not champions.problems()
    return found


def work(root: Path, uri: str, models: list[str], seed: int) -> None:
    """Move champions until killed."""
    os.environ["MLFLOW_TRACKING_URI"] = uri
    champions, rng = Champions(connect(root)), random.Random(seed)
    while True:
        step(champions, rng.choice(models), rng)


def work_until(root: Path, uri: str, model: str, version: str, writes: int) -> None:
    """Promote a version, but die by SIGKILL after `writes` writes to the registry; the ledger was written before."""
    os.environ["MLFLOW_TRACKING_URI"] = uri
    champions = Champions(connect(root))
    champion = registry.champion(champions.connection, model)
    client, done = champions.connection.client, 0

    def deadly(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            nonlocal done
            if done == writes:
                os.kill(os.getpid(), signal.SIGKILL)
            done += 1
            return method(*arguments)

        return call

    for name in ("set_registered_model_alias", "delete_registered_model_alias", "set_registered_model_tag"):
        setattr(client, name, deadly(getattr(client, name)))
    champions.promote(model, version, ORIGIN, expected=champion.version if champion else None)


def spawn(target: Callable[..., None], *arguments: Any) -> Any:
    """Start a function in a new process, which has imported MLflow already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def unfinished(champions: Champions) -> bool:
    """Return whether the ledger is ahead of the registry, or its last line is incomplete."""
    entries = champions.ledger.entries()
    copies = [Mirror.of(model) for model in registry.all_models(champions.connection)]
    return bool(mirror.pending(entries, copies)) or not champions.ledger.path.read_bytes().endswith(b"\n")


def disagreements(champions: Champions, models: list[str]) -> list[str]:
    """Return a sentence for each thing that is wrong after a repair."""
    found = champions.problems()
    entries = champions.ledger.entries()
    for model in models:
        actual = registry.aliases(registry.get(champions.connection, model))
        wanted = standing(entry for entry in entries if entry.model == model)
        expected = {alias: getattr(wanted, alias) for alias in ("champion", "previous", "challenger")}
        if actual != {alias: version for alias, version in expected.items() if version}:
            found.append(f"{model}: {actual} instead of {expected}")
    return found


def kill_once(champions: Champions, models: list[str], rng: random.Random) -> tuple[bool, list[str]]:
    """Kill a working process; return whether it was between ledger and registry, and what is wrong after a repair."""
    root, uri, path = champions.connection.root, champions.connection.uri, champions.ledger.path
    size = path.stat().st_size
    process = spawn(work, root, uri, models, rng.randrange(10**9))
    while path.stat().st_size == size:
        assert process.is_alive(), "the process ended by itself"
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.2))  # a step takes about that long
    assert process.is_alive(), "the process ended by itself"
    process.kill()
    process.join()
    between = unfinished(champions)
    champions.reconcile(ORIGIN)
    return between, disagreements(champions, models)


def main() -> None:
    """Run the campaign; exit with 1 if a manipulation was not found or a kill not repaired."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--manipulations", type=int, default=100)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    with tempfile.TemporaryDirectory(prefix="groundup-ledger-") as folder:
        root, models = Path(folder), ["first", "second"]
        champions = Champions(connect(root))
        for model in models:
            add_model(champions.connection, root, model, versions=4)
        for number in range(14):
            step(champions, models[number % 2], rng)
        found = manipulate(champions, arguments.manipulations, rng)
        for name, problem in found:
            print(f"{name}: {problem[:100] or 'NOT FOUND'}", flush=True)
        missed = sum(not problem for _, problem in found)
        print(f"{len(found)} manipulations, {len(found) - missed} found", flush=True)
        kills = between = failed = 0
        while between < arguments.kills:
            was_between, wrong = kill_once(champions, models, rng)
            kills += 1
            between += was_between
            failed += bool(wrong)
            print(json.dumps({"kill": kills, "between": was_between, "wrong": wrong}), flush=True)
        entries = len(champions.ledger.entries())
        print(
            f"{kills} kills, {between} between ledger and registry, {kills - failed} repaired; {entries} entries"
        )
    sys.exit(bool(missed or failed))


if __name__ == "__main__":
    main()
