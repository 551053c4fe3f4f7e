"""Generate the pages and blocks of pages, the profiles of the dial, and the schedules in prefect.yaml."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml

from groundup.errors import BadInput
from groundup.evaluation.baselines import TITLES as BASELINES
from groundup.reports.format import interval, percent
from groundup.reports.objectives import TITLES as FEW_LABELS
from groundup.reports.starting_points import TITLES as STARTS
from pipelines.docs.benchmarks import code, figure, verdicts
from pipelines.docs.catalogue import read_datasets, read_formats
from pipelines.docs.dag import mermaid, read_dag, table
from pipelines.docs.parameters import read_parameters
from pipelines.docs.picture import lanes
from pipelines.docs.results import judged, outdated_inputs, read_metrics
from pipelines.docs.rooms import read_rooms
from pipelines.docs.scaling import blocks as scaling_blocks
from pipelines.docs.scaling import profiles
from pipelines.operate import deployments
from pipelines.params import PIPELINES
from pipelines.schemas import schemas

TEMPLATES = Path(__file__).parent / "templates"
# generated pages in docs/, each from the template of the same name
WHOLE = ("results.md", "benchmarks.md", "modules.md", "data.md", "parameters.md", "overview.svg")
YOURS = ("own", "inbox", "labelled", "windows")  # folders of data/ with a page of their own
MARKDOWN = ("*.md", "docs/*.md", "data/*.md", *(f"data/{name}/*.md" for name in YOURS))
BLOCK = re.compile(r"(<!-- ([\w ]+): begin -->\n).*?(<!-- \2: end -->)", re.DOTALL)


def generate(root: Path) -> dict[Path, str]:
    """Return the contents of prefect.yaml, of the profiles of the dial, and of every page with generated text, by path.

    Raises:
        BadInput: a page has a block with an unknown name.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=jinja2.select_autoescape(["svg.j2"]),
        trim_blocks=False,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "interval": interval,
        "percent": percent,
        "judged": judged,
        "code": code,
        "figure": figure,
        "verdicts": verdicts,
    }
    facts = read_facts(root)
    facts["lanes"] = lanes(facts)
    due = {root / "docs" / name: environment.get_template(f"{name}.j2").render(facts) for name in WHOLE}
    blocks: dict[str, str] = {"rooms": environment.get_template("rooms.md.j2").render(facts)}
    blocks |= scaling_blocks()
    blocks["headline"] = environment.get_template("headline.md.j2").render(facts)
    dag = read_dag(root, {name: pipeline.dvc_yaml for name, pipeline in PIPELINES.items()})
    for pipeline in PIPELINES:
        blocks[f"{pipeline} dag"] = mermaid(dag, pipeline)
        blocks[f"{pipeline} stages"] = table(dag, pipeline)
    due[root / deployments.FILE] = deployments.text(root)
    due |= profiles(root)
    for page in pages(root):
        text = page.read_text(encoding="utf-8")
        if page not in due and BLOCK.search(text):
            due[page] = BLOCK.sub(filled(page, blocks), text)
    return due


def pages(root: Path) -> list[Path]:
    """Return the Markdown pages of the project, as listed in MARKDOWN."""
    return sorted(page for pattern in MARKDOWN for page in root.glob(pattern))


def read_facts(root: Path) -> dict[str, Any]:
    """Return the values that the templates use: metrics, datasets, parameters, rooms and others, by name."""
    metrics = {
        name: read_metrics(root / "reports" / ("" if name == "main" else name) / "metrics")
        for name in PIPELINES
    }
    datasets = read_datasets(root)
    parameters, types = read_parameters(
        root, PIPELINES, {path.stem: json.loads(text) for path, text in schemas().items()}
    )
    rows = metrics["study"]["contextual"]["rows"]
    values = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    return {
        **metrics,
        "benchmarks": read_metrics(root / "reports/benchmarks"),
        "outdated_inputs": outdated_inputs(root),
        "vocab_size": values["tokenizer"]["vocab_size"],
        "few_labels": metrics["study"]["transfer"],
        "few_labels_titles": FEW_LABELS,
        "baselines": BASELINES,
        "starts": STARTS,
        "last_layer": {row["vectors"]: row["layer"] for row in rows if row["read"] == "the word"},
        "parameters": parameters,
        "types": types,
        "datasets": datasets,
        "readers": read_formats(),
        "citations": sorted({row["citation"] for row in datasets}),
        "packages": {folder: read_rooms(root, folder) for folder in ("src/groundup", "pipelines")},
    }


def filled(page: Path, blocks: Mapping[str, str]) -> Callable[[re.Match[str]], str]:
    """Return a function for `BLOCK.sub` that puts the text of each block between its markers.

    That function raises BadInput if `page` has a block that is not in `blocks`.
    """

    def fill(found: re.Match[str]) -> str:
        begin, name, end = found.groups()
        if name not in blocks:
            known = ", ".join(sorted(blocks))
            raise BadInput(f"{page.name} has a block {name!r}; expected one of: {known}.")
        return f"{begin}{blocks[name].rstrip()}\n{end}"

    return fill
