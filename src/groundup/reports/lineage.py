"""The page on a model's lineage: a diagram of its chain, every stage with its hashes, raw data, decisions.

`groundup trace groundup-spam --html lineage.html` writes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import networkx

from groundup.reports.pages import fill

# pixels
WIDTH, HEIGHT, GAP, DROP = 168, 42, 22, 40


@dataclass(frozen=True)
class Box:
    """A box of the diagram: its name, the text below the name, a phase, and the upper left corner in pixels."""

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
    """Return the page as HTML; `facts` are what `groundup trace --json` prints."""
    made = next(step for step in facts["steps"] if step["stage"] == facts["stage"])
    environments = {
        step["stage"]: step["run"]["environment"]
        for step in facts["steps"]
        if step["run"] and step["run"]["environment"]
    }
    values = {"facts": facts, "made": made, "diagram": diagram(facts), "environments": environments}
    return fill("lineage.html.j2", values)


def diagram(facts: Mapping[str, Any]) -> Diagram:
    """Lay out the chain from top to bottom: each stage below those that made its data, then version and gate.

    An arrow from A to C is left out if other arrows lead from A to C through B.
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
    graph = networkx.DiGraph()
    graph.add_nodes_from(name for name, _, _, _ in nodes)
    graph.add_edges_from((before, name) for name, _, _, after in nodes for before in after if before in graph)
    graph = networkx.transitive_reduction(graph)
    described = {name: (below, phase) for name, below, phase, _ in nodes}
    places, width, height = _places(graph)
    boxes = {name: Box(name, *described[name], *places[name]) for name in described}
    arrows = tuple(_arrow(boxes[start], boxes[end]) for start, end in graph.edges)
    return Diagram(tuple(boxes.values()), arrows, width, height)


def _places(graph: "networkx.DiGraph[str]") -> tuple[dict[str, tuple[int, int]], int, int]:
    """Return the upper left corner of each box, and the width and height of the diagram.

    Each box is one row below the lowest of the boxes that lead to it and, as far as there is room, centred below them.
    """
    rows = list(networkx.topological_generations(graph))
    width = max(len(row) for row in rows) * (WIDTH + GAP) - GAP
    places: dict[str, tuple[int, int]] = {}
    for level, row in enumerate(rows):
        wanted = {name: _below(graph, places, name, (width - WIDTH) // 2) for name in row}
        left = 0
        ordered = sorted(row, key=lambda name: wanted[name])
        for place, name in enumerate(ordered):
            rest = (len(ordered) - place - 1) * (WIDTH + GAP)  # room for the boxes on the right
            left = min(max(left, wanted[name]), width - WIDTH - rest)
            places[name] = (left, level * (HEIGHT + DROP))
            left += WIDTH + GAP
    return places, width, len(rows) * (HEIGHT + DROP) - DROP


def _below(
    graph: "networkx.DiGraph[str]", places: Mapping[str, tuple[int, int]], name: str, default: int
) -> int:
    """Return the mean x of the boxes that lead to a box; `default` if there are none."""
    lefts = [places[before][0] for before in graph.predecessors(name)]
    return sum(lefts) // len(lefts) if lefts else default


def _arrow(start: Box, end: Box) -> str:
    x0, y0 = start.x + WIDTH // 2, start.y + HEIGHT
    x1, y1 = end.x + WIDTH // 2, end.y - 6
    bend = (y1 - y0) // 2
    return f"M{x0} {y0} C{x0} {y0 + bend} {x1} {y1 - bend} {x1} {y1}"
