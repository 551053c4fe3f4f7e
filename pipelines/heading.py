"""The heading of a pipeline's run in MLflow: its name, its tags, and a description with changed values and links."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from groundup.errors import BadInput
from groundup.lineage.repository import git, show
from groundup.tracking import Heading
from groundup.tracking.run import flatten
from pipelines.lineage import revision_tags
from pipelines.params import PIPELINES, load_params, read_values

ABBREVIATED = 7  # characters of a revision
SHOWN = 20  # changed values in the description; all of them are tags
TAG_CHARACTERS = 500
EXPERIMENT = "dvc.experiment"  # the tag; see `revision_tags`


@dataclass(frozen=True)
class FlowRun:
    """A run of a Prefect flow. url: the address of its page; None if the server ends with the flow."""

    name: str
    id: str
    url: str | None


def heading(root: Path, pipeline: str, command: str, flow: FlowRun | None = None) -> Heading:
    """Return the heading of a pipeline's run, which is named after its DVC experiment, flow run or commit.

    Args:
        root: the workspace.
        pipeline: a name in PIPELINES, or that of a flow that runs the main pipeline, such as retrain.
        command: the command line that started the run.
        flow: the run of the Prefect flow, if there is one.
    """
    tags, changed = revision_tags(root), changed_values(root, pipeline)
    subject = git(root, "log", "-1", "--format=%s")
    shown = {f"changed.{key}": value[:TAG_CHARACTERS] for key, value in changed.items()}
    of_flow = {"prefect.flow_run": flow.name, "prefect.flow_run_id": flow.id} if flow else {}
    links = [
        f"- Command: `{command}`",
        *([f"- Revision: {_revision(root, tags['git.revision'])}"] if "git.revision" in tags else []),
        *([f"- DVC experiment: `{tags[EXPERIMENT]}` (see `dvc exp show`)"] if EXPERIMENT in tags else []),
        *([f"- Prefect flow run: {f'[{flow.name}]({flow.url})' if flow.url else flow.name}"] if flow else []),
        *[f"- Changed: `{key}` {value}" for key, value in list(changed.items())[:SHOWN]],
        *([f"- {len(changed) - SHOWN} more changed values are tags"] if len(changed) > SHOWN else []),
    ]
    note = "\n".join([f"**{subject or pipeline}**", "", *links])
    about = {"mlflow.source.name": command, "mlflow.note.content": note}
    name = _name(pipeline, tags, subject, flow)
    return Heading(name, {**tags, **shown, **of_flow, **about}, _sections(root, pipeline))


def _name(pipeline: str, tags: Mapping[str, str], subject: str, flow: FlowRun | None) -> str:
    """Return the name of a run: `book (529deb8)` for the experiment or flow run `book`, otherwise `529deb8 Subject`.

    A `+` after the revision marks uncommitted changes. The name of a pipeline other than main is put in front, such as
    `study: 529deb8 Subject`.
    """
    revision = tags.get("git.revision", "")
    short = revision[:ABBREVIATED] + ("+" if revision.endswith("-dirty") else "")
    if what := tags.get(EXPERIMENT) or (flow.name if flow else ""):
        named = f"{what} ({short})" if short else what
    else:
        named = f"{short} {subject}".strip()
    if not named:
        return pipeline
    return named if pipeline == "main" else f"{pipeline}: {named}"


def changed_values(root: Path, pipeline: str) -> dict[str, str]:
    """Return the values of a pipeline that differ from the last commit, such as {"pretrain.seed": "1 -> 2"}."""
    files = dict.fromkeys(PIPELINES[name].params_yaml for name in ("main", pipeline) if name in PIPELINES)
    # in the temporary folders of `dvc exp run --queue` HEAD may be the experiment itself
    base = os.environ.get("DVC_EXP_BASELINE_REV", "HEAD")
    changed = {}
    for file in files:
        committed = show(root, base, file).decode("utf-8", errors="replace")
        if not committed:
            continue
        before, after = flatten(_mapping(committed)), flatten(_mapping_of(root / file))
        for key in sorted(before.keys() | after.keys()):
            old, new = (values.get(key, "absent") for values in (before, after))
            if old != new:
                changed[_tag(key)] = f"{old} -> {new}"
    return changed


def _sections(root: Path, pipeline: str) -> Mapping[str, Any]:
    """Return all sections of a pipeline's parameters; none if the values are invalid, which each stage reports."""
    try:
        return vars(load_params(pipeline if pipeline in PIPELINES else "main", root))
    except BadInput:
        return {}


def _mapping(text: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return values if isinstance(values, dict) else {}


def _mapping_of(path: Path) -> dict[str, Any]:
    try:
        values = read_values(path)
    except BadInput:
        return {}
    return values if isinstance(values, dict) else {}


def _tag(key: str) -> str:
    """Return a key as the name of a tag: characters that MLflow does not accept become underscores."""
    return re.sub(r"[^\w./ -]", "_", key)


def _revision(root: Path, revision: str) -> str:
    """Return a revision as Markdown, as a link if the clone's origin has web pages.

    The link never contains a user name or password of the origin's address.
    """
    commit, _, dirty = revision.partition("-")
    origin = re.sub(r"^git@([^:/]+):", r"https://\1/", git(root, "remote", "get-url", "origin"))
    address, after = urlsplit(origin), " with uncommitted changes" if dirty else ""
    if address.scheme not in ("http", "https") or not address.hostname:
        return f"`{commit}`{after}"
    host = address.netloc.rpartition("@")[2]
    return f"[`{commit}`](https://{host}{address.path.removesuffix('.git')}/commit/{commit}){after}"
