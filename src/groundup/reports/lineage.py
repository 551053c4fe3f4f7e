"""The page on where a model comes from: a diagram of its chain, every stage with its hashes, raw data, decisions.

`groundup trace groundup-spam --html lineage.html` writes it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import networkx

from groundup.reports.pages import fill

# pixels
WIDTH, HEIGHT, GAP, DROP = 168, 42, 22, 40


@dataclass(frozen=True)
class Box:
    """A box of the diagram; `x` and `y` are its upper left corner in pixels."""

    name: str
    below: str
    phase: str
    x: int
    y: int


@dataclass(frozen=True)
class Diagram:
    """Boxes, and arrows as paths of SVG, in an area of `width` by `height` pixels."""

    boxes: tuple[Box, ...]
    arrows: tuple[str, ...]
    width: int
    height: int
    box_width: int = WIDTH
    box_height: int = HEIGHT


def render_page(facts: Mapping[str, Any]) -> str:
    """Return the page; `facts` is what `groundup trace --json` prints."""
    made = next(step for step in facts["steps"] if step["stage"] == facts["stage"])
    environments = {
        step["stage"]: step["run"]["environment"]
        for step in facts["steps"]
        if step["run"] and step["run"]["environment"]
    }
    values = {"facts": facts, "made": made, "diagram": diagram(facts), "environments": environments}
    return fill("lineage.html.j2", values)


def diagram(facts: Mapping[str, Any]) -> Diagram:
    """Lay out the chain from top to bottom: each stage below those that made its data, then version and decisions.

    An arrow from A to C is left out if arrows lead from A by way of B to C.
    """
    nodes = [(step["stage"], step["phase"], step["phase"], tuple(step["after"])) for step in facts["steps"]]
    if version := facts["registered"]:
        aliases = ", ".join(version["aliases"]) or "no alias"
        nodes.append((f"{version['name']} {version['version']}", aliases, "registry", (facts["stage"],)))
        measured = [step["stage"] for step in facts["steps"] if step["phase"] == "evaluation"]
        if facts["decisions"]:
            last = facts["decisions"][-1]
            after = (nodes[-1][0], *measured)
            nodes.append(("gate", str(last.get("action", "")), "registry", after))
    rows = _rows({name: after for name, _, _, after in nodes})
    width = max(len(row) for row in rows) * (WIDTH + GAP) - GAP
    boxes = {}
    described = {name: (below, phase) for name, below, phase, _ in nodes}
    for level, row in enumerate(rows):
        left = (width - len(row) * (WIDTH + GAP) + GAP) // 2
        for column, name in enumerate(row):
            place = (left + column * (WIDTH + GAP), level * (HEIGHT + DROP))
            boxes[name] = Box(name, *described[name], *place)
    edges = [(before, name) for name, _, _, after in nodes for before in after if before in boxes]
    direct = networkx.transitive_reduction(networkx.DiGraph(edges)).edges
    arrows = tuple(_arrow(boxes[start], boxes[end]) for start, end in edges if (start, end) in direct)
    return Diagram(tuple(boxes.values()), arrows, width, len(rows) * (HEIGHT + DROP) - DROP)


def _rows(after: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Return the boxes by row: one row below the lowest box that leads to it, and near those boxes."""
    level: dict[str, int] = {}
    for name, befores in after.items():
        level[name] = 1 + max((level[before] for before in befores if before in level), default=-1)
    rows: list[list[str]] = [[] for _ in range(max(level.values()) + 1)]
    position: dict[str, float] = {}
    for number, row in enumerate(rows):
        named = [name for name in level if level[name] == number]
        before = {name: [position[one] for one in after[name] if one in position] for name in named}
        middle = {name: sum(before[name]) / len(before[name]) if before[name] else 0.0 for name in named}
        row += sorted(named, key=lambda name: middle[name])
        position |= {name: column - len(row) / 2 for column, name in enumerate(row)}
    return rows


def _arrow(start: Box, end: Box) -> str:
    x0, y0 = start.x + WIDTH // 2, start.y + HEIGHT
    x1, y1 = end.x + WIDTH // 2, end.y - 6
    bend = (y1 - y0) // 2
    return f"M{x0} {y0} C{x0} {y0 + bend} {x1} {y1 - bend} {x1} {y1}"
