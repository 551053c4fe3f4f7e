from dataclasses import dataclass
from typing import Annotated

import pytest
from annotated_types import Ge
from pydantic import TypeAdapter, ValidationError

from groundup.errors import BadInput
from groundup.settings import STRICT, describe


@dataclass(frozen=True)
class Inner:
    __pydantic_config__ = STRICT
    steps: Annotated[int, Ge(1)]

    def __post_init__(self) -> None:
        if self.steps == 13:
            raise BadInput("steps is 13; expected a lucky number; choose another")


@dataclass(frozen=True)
class Outer:
    __pydantic_config__ = STRICT
    training: Inner
    name: str


@pytest.mark.parametrize(
    ("values", "problems"),
    [
        ({"training": {"steps": 0}}, {"training.steps: Input", "name: Field required"}),
        ({"training": {"step": 1, "steps": 1}, "name": "a"}, {"training.step: Unexpected"}),
        (
            {"training": {"steps": 13}, "name": "a"},
            {"training: Value error, steps is 13; expected a lucky number"},
        ),
        (None, {"the file: Input should be"}),
    ],
)
def test_every_problem_in_one_line_with_its_path(values: object, problems: set[str]) -> None:
    with pytest.raises(ValidationError) as error:
        TypeAdapter(Outer).validate_python(values)
    told = describe(error.value)
    assert error.value.error_count() == len(problems) and "\n" not in told
    assert all(problem in told for problem in problems), told


def test_sound_values_pass() -> None:
    assert TypeAdapter(Outer).validate_python({"training": {"steps": "5"}, "name": "a"}) == Outer(
        Inner(5), "a"
    )
