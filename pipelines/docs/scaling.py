"""Write the profiles of the dial, and the tables of docs/scaling.md, from the rules in planning/scaling.py."""

import inspect
from collections.abc import Iterator
from pathlib import Path

from groundup.planning import scaling
from groundup.planning.cards import disk
from groundup.planning.paper import PROFILES, PaperPlan, override, paper_plan, profile

TITLES = {
    "laptop": "The default of params.yaml, to return to after another profile.",
    "gpu": "A pretraining on one card with 80 GB, in about an hour. It needs a corpus in data/own/web_text.",
    "node": "A pretraining on eight cards with 80 GB. It needs a corpus in data/own/web_text.",
}
ROWS = ((12, None), (18, None), (20, None), (30, None), (30, 10**11), (30, 10**12))  # depth, tokens
NODE = 8  # cards


def profiles(root: Path) -> dict[Path, str]:
    """Return the text of each profile of the dial, by its path."""
    return {root / f"pipelines/profiles/{name}.txt": _text(name) for name in TITLES}


def blocks() -> dict[str, str]:
    """Return the generated blocks of docs/scaling.md by their names."""
    rules = inspect.getdoc(scaling) or ""
    plans = [paper_plan(depth, tokens=tokens, n=NODE) for depth, tokens in ROWS]
    return {
        "scaling rules": rules[rules.index("|") : rules.rindex("|") + 1],
        "scaling profiles": "\n".join(_profiles()),
        "scaling sizes": "\n".join(_sizes(plans)),
        "scaling memory": "\n".join(_memory(plans)),
        "scaling data": "\n".join(_data(plans)),
    }


def _text(name: str) -> str:
    dial = f" Depth {PROFILES[name][0]}." if name in PROFILES else ""
    source = "# Written by `make docs` from src/groundup/planning/scaling.py; docs/scaling.md explains it."
    head = f"# {TITLES[name]}{dial}\n{source}\n"
    # null first: DVC would merge a mapping into the one that is there
    found = ""
    for key, value in profile(name).items():
        found += f"{key}=null\n" if isinstance(value, dict) else ""
        found += override(key, value) + "\n"
    return head + found


def _table(head: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _profiles() -> Iterator[str]:
    found = {name: profile(name) for name in TITLES}
    yield from _table(
        ["value", *(f"`{name}`" for name in found)],
        [[f"`{key}`", *(_shown(values[key]) for values in found.values())] for key in found["laptop"]],
    )


def _shown(value: object) -> str:
    return "…" if isinstance(value, dict) else override("", value)[1:]


def _sizes(plans: list[PaperPlan]) -> Iterator[str]:
    head = [
        "depth",
        "width",
        "parameters",
        "tokens",
        "per step",
        "steps",
        "operations",
        "hours",
        "US dollars",
    ]
    yield from _table(
        head,
        [
            [
                str(plan.size.depth),
                f"{plan.size.width:,}",
                _short(plan.size.parameters),
                _short(plan.size.tokens),
                f"2^{plan.size.step_tokens.bit_length() - 1}",
                f"{plan.size.steps:,}",
                f"{plan.size.flops:.1e}",
                f"{plan.hours:,.1f}",
                f"{plan.cost:,.0f}",
            ]
            for plan in plans
        ],
    )


def _memory(plans: list[PaperPlan]) -> Iterator[str]:
    once = [plan for plan, (_, tokens) in zip(plans, ROWS, strict=True) if tokens is None]
    names = list(once[0].memory)
    yield from _table(
        ["depth", "layout", *names, "all"],
        [
            [
                str(plan.size.depth),
                f"{plan.layout.distributed}, {plan.layout.rows} rows"
                + (", recomputed" if plan.layout.recompute else ""),
                *(f"{plan.memory[name] / 1e9:.1f}" for name in names),
                f"{sum(plan.memory.values()) / 1e9:.1f}",
            ]
            for plan in once
        ],
    )


def _data(plans: list[PaperPlan]) -> Iterator[str]:
    names = list(disk(plans[0].size))
    yield from _table(
        ["depth", "tokens", *names],
        [
            [
                str(plan.size.depth),
                _short(plan.size.tokens),
                *(_bytes(disk(plan.size)[name]) for name in names),
            ]
            for plan in plans
        ],
    )


def _short(number: float) -> str:
    """Format a number with three digits: 135300000 -> "135 M"."""
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if number >= unit:
            return f"{number / unit:.3g} {name}"
    return f"{number:.3g}"


def _bytes(number: float) -> str:
    """Format a number of bytes: 2e12 -> "2 TB"."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if number >= 0.9995 * unit:
            return f"{number / unit:.3g} {name}"
    return f"{number / 1e3:.3g} kB"
