"""Every value of every params.yaml is read: each has a field (other names are refused), and each field has a reader.

Readers are found by mypy, which knows the class of every expression, so that `config.seed` of one section does not
pass for the `seed` of another; and in dvc.yaml, where `${data.datasets}` reads a value.
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

from groundup.settings import DISCRIMINATORS, STRICT
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
    """The fields that the sources read; what a class reads to check its own values does not count."""
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
    """The lines of every `__post_init__`."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.name == "__post_init__":
            yield from range(node.lineno, (node.end_lineno or node.lineno) + 1)


def reads_of_dvc(kind: type, dvc_yaml: str) -> Reads:
    """The fields that `${section.field}` reads, of the sections in `kind`."""
    hints = get_type_hints(kind)
    found = Reads()
    for section, field in re.findall(r"\$\{(\w+)\.(\w+)\}", dvc_yaml):
        if section in hints:
            found |= {(name_of(hints[section]), field)}
    return found


def name_of(kind: type) -> str:
    """As mypy has it."""
    return f"{kind.__module__}.{kind.__qualname__}"


def modules(folder: Path) -> Iterator[BuildSource]:
    """Every module of a package."""
    for path in sorted(folder.rglob("*.py")):
        name = ".".join(path.relative_to(folder.parent).with_suffix("").parts)
        yield BuildSource(str(path), name.removesuffix(".__init__"))


def classes(kind: Any) -> Iterator[type]:
    """The dataclasses that a type is made of, through fields, unions and containers."""
    if isinstance(kind, type) and is_dataclass(kind):
        yield kind
        for hint in get_type_hints(kind, include_extras=True).values():
            yield from classes(hint)
    for part in get_args(kind):
        yield from classes(part)


def unread(kinds: set[type], reads: Reads) -> list[str]:
    """The fields that nothing reads; those that choose a variant of a union are read by pydantic."""
    return sorted(
        f"{kind.__name__}.{field.name}"
        for kind in kinds
        for field in fields(kind)
        if field.name not in DISCRIMINATORS and (name_of(kind), field.name) not in reads
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


def test_a_name_without_a_field_is_refused() -> None:
    assert {
        kind for table in TABLES for kind in classes(table) if vars(kind)["__pydantic_config__"] != STRICT
    } == set()


def test_what_counts_as_reading(reads: Reads) -> None:
    """The test's own test: no check of a class's own values counts, no copy, and no reading of another's field."""
    toy: dict[str, Any] = {"__name__": "toy"}
    exec(TOY, toy)
    found = unread({toy["Inner"], toy["Other"]}, reads)
    assert found == ["Inner.checked", "Inner.copied", "Inner.unread", "Other.unread"]
    assert reads_of_dvc(PIPELINES["study"].sections, "foreach: ${data.datasets} ${nothing.here} ${item}") == {
        ("groundup.datasets.catalogue.StudyDataConfig", "datasets")
    }
