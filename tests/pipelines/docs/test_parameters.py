"""Types, bounds and values of a small params.yaml."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Lt
from pydantic import Discriminator, TypeAdapter

from pipelines.docs.parameters import kind, read_parameters
from pipelines.params import Pipeline


@dataclass
class Inner:
    """What is inside."""

    steps: Annotated[int, Ge(1)]


@dataclass
class Plain:
    """Nothing to choose."""

    kind: Literal["plain"]


@dataclass
class Fancy:
    """The section."""

    kind: Literal["fancy"]
    name: str | None
    inner: Inner


@dataclass
class Sections:
    """All sections."""

    own: Annotated[Plain | Fancy, Discriminator("kind")]
    alone: int


def test_sections_with_their_values_types_and_alternatives(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("own: {kind: fancy, name: x|y, inner: {steps: 3}}\nalone: 5\n")
    schema = TypeAdapter(Sections).json_schema()
    files, types = read_parameters(tmp_path, {"p": Pipeline(".", Sections)}, {"p": schema})
    own, alone = files["params.yaml"]
    assert (own.name, own.meaning, own.others) == ("own", "The section.", ("Plain",))
    assert [(key.name, key.type, key.value) for key in own.keys] == [
        ("kind", "`fancy`", '`"fancy"`'),
        ("name", "string or `null`", '`"x\\|y"`'),
        ("inner", "[Inner](#inner)", '`{"steps": 3}`'),
    ]
    assert [(key.name, key.type, key.value) for key in alone.keys] == [("alone", "integer", "`5`")]
    assert [(type_.name, [key.type for key in type_.keys]) for type_ in types] == [
        ("Inner", ["integer ≥ 1"]),
        ("Plain", ["`plain`"]),
    ]


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (Annotated[float, Ge(0), Lt(1)], "number ≥ 0 < 1"),
        (Literal["a", "b"], "`a` or `b`"),
        (tuple[int, ...], "list of integer"),
        (tuple[int, float], "[integer, number]"),
        (dict[str, bool], "mapping of boolean"),
    ],
)
def test_a_type_is_named_with_its_bounds(annotation: object, expected: str) -> None:
    assert kind(TypeAdapter(annotation).json_schema()) == expected
