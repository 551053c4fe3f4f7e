"""Every value of every params.yaml is read: each has a field (misspelt names are refused), and each field a reader.

Mypy says which class every expression has, so that `config.seed` is told apart from the `seed` of another section.
"""

import ast
import os
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from mypy.build import build
from mypy.modulefinder import BuildSource
from mypy.options import Options
from mypy.traverser import NameAndMemberCollector
from mypy.types import Instance, UnionType, get_proper_type

from groundup.settings import DISCRIMINATORS, STRICT
from pipelines.params import PIPELINES

ROOT = Path(__file__).parents[2]
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
Read = set[tuple[str, str]]  # class, field


def reads(sources: list[BuildSource]) -> Read:
    """What the sources read, by mypy; what a class's own check of its values reads does not count."""
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
    found = Read()
    for source in sources:
        members = NameAndMemberCollector()
        result.files[source.module].accept(members)
        text = source.text or Path(source.path).read_text(encoding="utf-8")
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


def modules(folder: Path) -> Iterator[BuildSource]:
    """Every module below a folder, named as seen from the one above it."""
    for path in sorted(folder.rglob("*.py")):
        name = ".".join(path.relative_to(folder.parent).with_suffix("").parts).removesuffix(".__init__")
        yield BuildSource(str(path), name)


def classes(kind: Any) -> Iterator[type]:
    """The dataclasses that a type is made of, of the sections' own types as well as of unions and containers."""
    if isinstance(kind, type) and is_dataclass(kind):
        yield kind
        for hint in get_type_hints(kind, include_extras=True).values():
            yield from classes(hint)
    for part in get_args(kind):
        yield from classes(part)


def unread(kinds: set[type], read: Read) -> list[str]:
    """The fields that nothing reads; those that choose a variant of a union are read by pydantic."""
    return sorted(
        f"{kind.__name__}.{field.name}"
        for kind in kinds
        for field in fields(kind)
        if field.name not in DISCRIMINATORS or get_origin(get_type_hints(kind)[field.name]) is not Literal
        if (f"{kind.__module__}.{kind.__qualname__}", field.name) not in read
    )


@pytest.fixture(scope="module")
def read() -> Read:
    toy = BuildSource(None, "toy", TOY)
    return reads([toy, *modules(ROOT / "src/groundup"), *modules(ROOT / "pipelines")])


def test_every_value_is_read(read: Read) -> None:
    tables = {pipeline.sections for pipeline in PIPELINES.values()}
    sections = {kind for table in tables for kind in classes(table)} - tables
    assert len(sections) > 40
    assert unread(sections, read) == []


def test_a_name_without_a_field_is_refused() -> None:
    for pipeline in PIPELINES.values():
        for kind in classes(pipeline.sections):
            assert getattr(kind, "__pydantic_config__", None) == STRICT, kind


def test_what_counts_as_reading(read: Read) -> None:
    """The test's own test: neither a check, a copy, nor another name's reading is one."""
    namespace: dict[str, Any] = {"__name__": "toy"}
    exec(TOY, namespace)
    assert unread({namespace["Inner"], namespace["Other"]}, read) == [
        "Inner.checked",
        "Inner.copied",
        "Inner.unread",
        "Other.unread",
    ]
