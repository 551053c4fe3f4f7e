import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
import yaml
from annotated_types import Ge, Le
from pydantic import Discriminator, TypeAdapter, ValidationError

from groundup.errors import BadInput
from groundup.settings import STRICT, check_cron, check_schedule, describe, load_yaml


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


@pytest.mark.parametrize(
    "good", ["* * * * *", "0 3 * * 1", "*/15 0-6,22 1,15 jan-mar mon-fri", "59 23 31 12 7"]
)
def test_cron_accepted(good: str) -> None:
    check_cron(good)


@pytest.mark.parametrize(
    "bad", ["", "0 3 * *", "0 3 * * 1 2", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8",
            "5-1 * * * *", "*/0 * * * *", "a * * * *", "@daily", "1,,2 * * * *", "-1 * * * *", "* * mon * *",
            "0 3 31 2 *", "0 3 LW * *", "0 3 * * 5L", "0 3 * * 1#2", "0 3 L * *", "٣ 3 * * *"],
)  # fmt: skip
def test_cron_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="cron"):
        check_cron(bad)


def test_cron_agrees_with_prefect() -> None:
    from prefect.schedules import Cron

    for expression in ("*/15 0-6,22 1,15 jan-mar mon-fri", "59 23 31 12 7"):
        check_cron(expression)
        assert Cron(expression).cron == expression


# a folder of the database, other files in it, paths, names of another case, no name, a name too long for a file
NO_ZONES = ("Europe", "America/Argentina", "tzdata.zi", "zone.tab", "posix/UTC", "posixrules", "/etc/localtime", "..",
            "../zoneinfo/UTC", "Europe/Berlin/", "Europe/Berlin ", "utc", "Mars", "", "a" * 300, "UTC\0")  # fmt: skip


@pytest.mark.parametrize("name", NO_ZONES)
def test_time_zone_refused(name: str) -> None:
    with pytest.raises(ValueError, match="IANA name, such as"):
        check_schedule("0 3 * * 1", name)


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin"])
def test_time_zone_accepted(name: str) -> None:
    check_schedule("0 3 * * 1", name)


MERGED = "a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b, x: 3}\nd: [{x: 1}, {x: 2}]\n"


def test_yaml_is_that_of_pyyaml() -> None:
    assert load_yaml(MERGED) == yaml.safe_load(MERGED) == {
        "a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": {"x": 3, "y": 2}, "d": [{"x": 1}, {"x": 2}]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", "the key 'a' occurs twice in one section.*line 3"),
        ("a: {b: 1, b: 2}", "the key 'b' occurs twice"),
        ("a: " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("a: " + "9" * 5000, "4300 digits"),
        ("a: 2026-99-01", "month must be in 1..12"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: [", "while parsing"),
    ],
)
def test_yaml_that_is_refused(text: str, words: str) -> None:
    with pytest.raises(yaml.YAMLError) as caught:
        load_yaml(text)
    assert re.search(words, str(caught.value), re.DOTALL)
