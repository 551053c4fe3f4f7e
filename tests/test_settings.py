from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Le
from pydantic import Discriminator, TypeAdapter, ValidationError

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
def test_all_problems_are_in_one_line_with_their_paths(values: object, problems: set[str]) -> None:
    with pytest.raises(ValidationError) as error:
        TypeAdapter(Outer).validate_python(values)
    message = describe(error.value)
    assert error.value.error_count() == len(problems) and "\n" not in message
    assert all(problem in message for problem in problems), message


@dataclass(frozen=True)
class Mine:
    __pydantic_config__ = STRICT
    source: Literal["dataset"]
    dataset: str
    share: Annotated[float, Le(1)]


@dataclass(frozen=True)
class Other:
    __pydantic_config__ = STRICT
    source: Literal["tasks"]
    inner: Inner | None


@dataclass(frozen=True)
class Chosen:
    __pydantic_config__ = STRICT
    pairs: tuple[Annotated[Mine | Other, Discriminator("source")], ...]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([{"source": "web"}], "pairs.0.source: found 'web'; expected one of 'dataset', 'tasks'"),
        ([{"dataset": "a"}], "pairs.0.source: Field required"),
        ([3], "pairs.0: Input should be a dictionary"),
        # the variant and one of its fields have one name
        ([{"source": "dataset", "share": 1}], "pairs.0.dataset: Field required with source dataset"),
        (
            [{"source": "dataset", "dataset": 3, "share": 1}],
            "pairs.0.dataset: Input should be a valid string",
        ),
        (
            [{"source": "dataset", "dataset": "a", "share": 2}],
            "pairs.0.share: Input should be less than or equal to 1",
        ),
        (
            [{"source": "tasks", "inner": None, "share": 1}],
            "pairs.0.share: Unexpected keyword argument with source tasks",
        ),
        ([{"source": "tasks", "inner": {}}], "pairs.0.inner.steps: Field required"),
        (
            [{"source": "tasks", "inner": {"steps": 13}}],
            "pairs.0.inner: Value error, steps is 13; expected a lucky number",
        ),
    ],
)
def test_the_path_omits_the_variant_of_a_union(pairs: list[Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        TypeAdapter(Chosen).validate_python({"pairs": pairs})
    assert describe(error.value, {"pairs": pairs}).removesuffix("; choose another") == message


def test_valid_values_pass() -> None:
    assert TypeAdapter(Outer).validate_python({"training": {"steps": "5"}, "name": "a"}) == Outer(
        Inner(5), "a"
    )
