import pytest

from groundup.verifiable.family import Family, Task, listed, only, words_in

SAY = Family(
    "say",
    ("Say {a} and {b}.", "{a} (and {b}): say both."),
    lambda rng: Task("", ""),
    lambda slots, input: f"{slots['a']}/{slots['b']}/{input}",
)


@pytest.mark.parametrize(
    ("instruction", "answer"),
    [
        ("Say tea and red.", "tea/red/x"),
        (" Say tea and red.\n", "tea/red/x"),  # white space around a prompt is ignored
        ("tea (and milk): say both.", "tea/milk/x"),  # brackets are brackets, not a pattern
        (
            "Say a b and c and d.",
            "a b/c and d/x",
        ),  # a slot may have several words; the first slot takes as few as possible
    ],
)
def test_the_solver_reads_the_slots_back(instruction: str, answer: str) -> None:
    assert SAY.answer(instruction, " x ") == answer


@pytest.mark.parametrize("instruction", ["Say tea and red", "Saytea and red.", ""])
def test_other_instructions_are_refused(instruction: str) -> None:
    with pytest.raises(ValueError, match="is not an instruction of the family say"):
        SAY.answer(instruction, "")
    assert SAY.slots(instruction) is None


def test_parts_of_a_prompt() -> None:
    assert listed("dog, red ,  car") == ["dog", "red", "car"]
    assert words_in("Tom's dog, at 5: home.") == ["Tom", "s", "dog", "at", "home"]
    assert only(["tea"]) == "tea"
    for items in ([], ["tea", "tea"]):
        with pytest.raises(ValueError, match="unpack"):
            only(items)
