"""Show each pipeline as a Mermaid flowchart and as a table of its stages; the graph comes from DVC."""

from dataclasses import dataclass
from pathlib import Path

import networkx


@dataclass(frozen=True, order=True)
class Stage:
    """A stage of a dvc.yaml; all stages of one `foreach` or `matrix` count as one."""

    number: int  # position among all stages, pipeline by pipeline
    pipeline: str
    name: str
    description: str


def read_dag(root: Path, pipelines: dict[str, str]) -> "networkx.DiGraph[Stage]":
    """Return the graph of all stages, with edges to dependent stages. `pipelines`: name -> path of the dvc.yaml."""
    from dvc.repo import Repo

    stages: dict[tuple[str, str], Stage] = {}
    with Repo(str(root), config={"core": {"no_scm": True}}) as repo:
        for pipeline, dvc_yaml in pipelines.items():
            for stage in repo.stage.load_all(str(root / dvc_yaml)):
                key = (Path(stage.path).relative_to(root.resolve()).as_posix(), _group(stage.name))
                stages.setdefault(key, Stage(len(stages), pipeline, key[1], stage.desc or ""))

        def found(stage: object) -> Stage:
            path = Path(stage.path).relative_to(root.resolve()).as_posix()  # type: ignore[attr-defined]
            return stages[path, _group(stage.name)]  # type: ignore[attr-defined]

        graph = networkx.DiGraph()
        graph.add_nodes_from(stages.values())
        needs = repo.index.graph.edges
        graph.add_edges_from((found(before), found(after)) for after, before in needs)
    graph.remove_edges_from(list(networkx.selfloop_edges(graph)))
    return graph


def _group(name: str) -> str:
    return name.partition("@")[0]


def mermaid(dag: "networkx.DiGraph[Stage]", pipeline: str) -> str:
    """Return the stages of one pipeline as a Mermaid flowchart; stages of other pipelines have dashed borders.

    Edges that other edges imply are left out.
    """
    edges = networkx.transitive_reduction(dag).edges
    shown = sorted((after, before) for before, after in edges if after.pipeline == pipeline)
    lines = ["```mermaid", "flowchart TD"]
    foreign = sorted({before for _, before in shown if before.pipeline != pipeline})
    lines += [f"    {_id(stage, pipeline)}[{stage.name}]:::other" for stage in foreign]
    lines += [f"    {_id(before, pipeline)} --> {_id(after, pipeline)}" for after, before in shown]
    if foreign:
        lines.append("    classDef other stroke-dasharray: 4 4")
    return "\n".join([*lines, "```"])


def _id(stage: Stage, pipeline: str) -> str:
    return stage.name if stage.pipeline == pipeline else f"{stage.pipeline}_{stage.name}"


def table(dag: "networkx.DiGraph[Stage]", pipeline: str) -> str:
    """Return a Markdown table of one pipeline's stages in the order of dvc.yaml, with their descriptions."""
    rows = [
        f"| `{stage.name}` | {' '.join(stage.description.split())} |"
        for stage in sorted(dag)
        if stage.pipeline == pipeline
    ]
    return "\n".join(["| stage | what it does |", "|---|---|", *rows])
