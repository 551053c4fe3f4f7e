"""Every value of every params.yaml is read: each has a field (other names are errors), and code reads each field.

The reads are found by mypy, which knows the class of every expression, so `config.seed` of one section does not count
for the `seed` of another; and in dvc.yaml, where `${data.datasets}` reads a value.
"""

import ast
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from mypy.build import build
from mypy.modulefinder import BuildSource
from mypy.options import Options
from mypy.traverser import NameAndMemberCollector
from mypy.types import Instance, UnionType, get_proper_type

from groundup.settings import DISCRIMINATORS
from pipelines.params import PIPELINES

ROOT = Path(__file__).parents[2]
Reads = set[tuple[str, str]]  # class, field
TABLES = [pipeline.sections for pipeline in PIPELINES.values()]
TOY = """
from dataclasses import dataclass, replace

@dataclass(frozen=True)
class Inner:
    passed_on: int
    in_a_union: int
    checked: int
    copied: int
    unread: int

    def __post_init__(self) -> None:
        assert self.checked > 0

@dataclass(frozen=True)
class Other:
    in_a_union: int
    unread: int

def use(inner: Inner | Other, inners: dict[str, Inner], unread: int) -> int:
    copy = replace(inners["a"], copied=unread)
    return inner.in_a_union + (lambda: copy)().passed_on
"""


def reads_of(sources: list[BuildSource]) -> Reads:
    """Return the fields that the sources read; reads in `__post_init__` do not count."""
    options = Options()
    options.export_types = options.preserve_asts = True
    options.incremental = False
    options.cache_dir = os.devnull
    options.python_version = sys.version_info[:2]
    options.follow_imports = "skip"  # the classes of libraries do not matter
    options.ignore_errors = True
    options.explicit_package_bases = True
    options.mypy_path = [str(ROOT / "src"), str(ROOT)]
    result = build(sources, options)
    found = Reads()
    for source in sources:
        members = NameAndMemberCollector()
        result.files[source.module].accept(members)
        text = source.text or Path(source.path or "").read_text(encoding="utf-8")
        skipped = set(lines_of_checks(text))
        for member in members.member_exprs:
            if member.line not in skipped:
                owners = get_proper_type(result.types.get(member.expr))
                for owner in owners.items if isinstance(owners, UnionType) else [owners]:
                    if isinstance(instance := get_proper_type(owner), Instance):
                        found |= {(base.fullname, member.name) for base in instance.type.mro}
    return found


def lines_of_checks(text: str) -> Iterator[int]:
    """Yield the lines of every `__post_init__`."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.name == "__post_init__":
            yield from range(node.lineno, (node.end_lineno or node.lineno) + 1)


def reads_of_dvc(kind: type, dvc_yaml: str) -> Reads:
    """Return the fields of the sections in `kind` that `${section.field}` reads."""
    hints = get_type_hints(kind)
    found = Reads()
    for section, field in re.findall(r"\$\{(\w+)\.(\w+)\}", dvc_yaml):
        if section in hints:
            found |= {(name_of(hints[section]), field)}
    return found


def name_of(kind: type) -> str:
    """Return the full name of a class, as in mypy."""
    return f"{kind.__module__}.{kind.__qualname__}"


def modules(folder: Path) -> Iterator[BuildSource]:
    """Yield every module of a package."""
    for path in sorted(folder.rglob("*.py")):
        name = ".".join(path.relative_to(folder.parent).with_suffix("").parts)
        yield BuildSource(str(path), name.removesuffix(".__init__"))


def classes(kind: Any) -> Iterator[type]:
    """Yield the dataclasses inside a type, including those in fields, unions and containers."""
    if isinstance(kind, type) and is_dataclass(kind):
        yield kind
        for hint in get_type_hints(kind, include_extras=True).values():
            yield from classes(hint)
    for part in get_args(kind):
        yield from classes(part)


def unread(kinds: set[type], reads: Reads) -> list[str]:
    """Return the fields that no code reads, except discriminators, which pydantic reads.

    A field that a class inherits may be read as one of the class that defines it.
    """
    return sorted(
        f"{kind.__name__}.{field.name}"
        for kind in kinds
        for field in fields(kind)
        if field.name not in DISCRIMINATORS
        and not any((name_of(base), field.name) in reads for base in kind.__mro__ if is_dataclass(base))
    )


@pytest.fixture(scope="module")
def reads() -> Reads:
    toy = BuildSource(None, "toy", TOY)
    found = reads_of([toy, *modules(ROOT / "src/groundup"), *modules(ROOT / "pipelines")])
    for pipeline in PIPELINES.values():
        found |= reads_of_dvc(pipeline.sections, (ROOT / pipeline.dvc_yaml).read_text(encoding="utf-8"))
    return found


def test_every_value_is_read(reads: Reads) -> None:
    sections = {kind for table in TABLES for kind in classes(table)} - set(TABLES)
    assert len(sections) > 40
    assert unread(sections, reads) == []


def test_every_dataclass_rejects_unknown_names() -> None:
    assert {
        kind
        for table in TABLES
        for kind in classes(table)
        if vars(kind)["__pydantic_config__"]["extra"] != "forbid"
    } == set()


def test_what_counts_as_reading(reads: Reads) -> None:
    """Checks in `__post_init__`, copies, and reads of another class's field do not count."""
    toy: dict[str, Any] = {"__name__": "toy"}
    exec(TOY, toy)
    found = unread({toy["Inner"], toy["Other"]}, reads)
    assert found == ["Inner.checked", "Inner.copied", "Inner.unread", "Other.unread"]
    assert reads_of_dvc(PIPELINES["study"].sections, "foreach: ${data.datasets} ${nothing.here} ${item}") == {
        ("groundup.datasets.catalogue.StudyDataConfig", "datasets")
    }
