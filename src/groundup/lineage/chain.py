"""The chain of stages behind a model: the stage that made it, the stages that made its data, and so on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import networkx

from groundup.lineage.locks import Locked, Locks, content_of, is_code, split

# Phases in the order of the chain, with the beginnings of their stages' names; all other stages prepare data.
PHASES: Mapping[str, tuple[str, ...]] = {
    "raw data": ("download", "published_weights"),
    "validation": ("validate", "check_"),
    "preparation": (),
    "tokenizer": ("train_tokenizer", "tokenize", "train_vocabulary"),
    "training": (
        "pretrain", "finetune", "dpo", "train_classifiers", "train_translation", "train_embeddings", "transfer",
        "random_weights", "gensim",
    ),
    "evaluation": (
        "evaluate", "report", "compare", "headline", "explain", "ladder", "contextual", "ask_judge",
    ),
}  # fmt: skip


def phase_of(stage: str) -> str:
    """Return the phase of a stage, a key of PHASES."""
    name = split(stage)[1]
    return next((phase for phase, words in PHASES.items() if name.startswith(words)), "preparation")


@dataclass(frozen=True)
class Item:
    """A file or folder that a stage reads or writes.

    Attributes:
        path: relative to the project's folder.
        hash: DVC's MD5, which ends in `.dir` for a folder.
        bytes: size in bytes, or None if the lock file does not have it.
        made_by: the stage that made the item, or "" if no stage did or none is known.
    """

    path: str
    hash: str
    bytes: int | None = None
    made_by: str = ""


@dataclass(frozen=True)
class Step:
    """One stage of the chain.

    Attributes:
        stage: its name, with the path of its dvc.yaml unless that is the main pipeline's.
        phase: a key of PHASES.
        key: hash of command, values and dependencies.
        source: where the record of the stage was read.
        cmd, params: the command, and the values by file and section.
        data: the data that the stage read.
        code: the code that it ran.
        outs: the files and folders that it wrote.
        unknown: sentences on what could not be found.
        entry: the stage's entry in the lock file, as DVC wrote it.
    """

    stage: str
    phase: str
    key: str
    source: str
    cmd: str
    params: Mapping[str, Any]
    data: tuple[Item, ...]
    code: tuple[Item, ...]
    outs: tuple[Item, ...]
    unknown: tuple[str, ...] = ()
    entry: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def after(self) -> tuple[str, ...]:
        """The names of the stages that made this stage's data, if known."""
        return tuple(dict.fromkeys(item.made_by for item in self.data if item.made_by))


def chain(locks: Locks, target: Locked) -> list[Step]:
    """Return the stages behind `target`, then `target` itself, each after the stages that made its data.

    Among the stages that could come next, one of an earlier phase comes first.
    """
    steps: dict[str, Step] = {}
    edges = _visit(locks, target, steps, set())
    graph = networkx.DiGraph(edges)
    graph.add_nodes_from(steps)
    order = list(PHASES)
    sorted_keys = networkx.lexicographical_topological_sort(
        graph, key=lambda key: (order.index(steps[key].phase), steps[key].stage)
    )
    return [steps[key] for key in sorted_keys]


def measurements(locks: Locks, target: Locked, known: list[Step]) -> list[Step]:
    """Return the stages that evaluated an output of `target`.

    A record counts only if its data from the chain `known` have the hashes that they have in the chain. Other data,
    such as another model, have no maker in the result. If a stage has several records, because its code or values have
    changed, the one from the source of `target` is returned, or else the first.
    """
    made = {out.path: out for step in known for out in step.outs}
    found: dict[str, Locked] = {}
    for one in sorted(locks.users(target), key=lambda one: one.source != target.source):
        shared = {path: md5 for path, md5 in one.deps.items() if path in made}
        if phase_of(one.stage) == "evaluation" and all(
            made[path].hash == md5 for path, md5 in shared.items()
        ):
            found.setdefault(one.stage, one)
    return [
        _step(locks.root, one, {path: made[path].made_by for path in one.deps if path in made}, ())
        for one in found.values()
    ]


def _visit(locks: Locks, one: Locked, steps: dict[str, Step], entered: set[str]) -> list[tuple[str, str]]:
    """Add `one` and the stages behind it to `steps`, by stage key; return the pairs of a maker's and a reader's key."""
    entered.add(one.key)
    makers, unknown, edges = {}, [], []
    for path, md5 in one.deps.items():
        if is_code(locks.root / path):
            continue
        maker = locks.maker(path, md5, one.source)
        if maker is None:
            if other := locks.stage_of(path):
                unknown.append(
                    f"no lock file and no entry of DVC's run cache has the run of {other.stage} that made {path} "
                    f"with the hash {md5}"
                )
            continue
        makers[path] = maker.stage
        if path not in maker.outs:
            unknown.append(f"{path} is part of an output of {maker.stage}, which is recorded only as a whole")
        edges.append((maker.key, one.key))
        if maker.key not in entered:
            edges += _visit(locks, maker, steps, entered)
    steps[one.key] = _step(locks.root, one, makers, tuple(unknown))
    return edges


def _step(root: Path, one: Locked, makers: Mapping[str, str], unknown: tuple[str, ...]) -> Step:
    data: list[Item] = []
    code: list[Item] = []
    for dep in one.entry.get("deps", []):
        path = dep["path"]
        item = Item(path, content_of(dep), dep.get("size"), makers.get(path, ""))
        (code if path not in makers and is_code(root / path) else data).append(item)
    outs = [
        Item(out["path"], content_of(out), out.get("size"), one.stage) for out in one.entry.get("outs", [])
    ]
    return Step(
        one.stage,
        phase_of(one.stage),
        one.key,
        one.source,
        one.entry["cmd"],
        one.entry.get("params", {}),
        tuple(data),
        tuple(code),
        tuple(outs),
        unknown,
        one.entry,
    )
