"""Properties of a family, checked with one task whose answer was worked out by hand."""

from groundup.verifiable.family import Family
from groundup.verifiable.tasks import check

Example = tuple[str, str, str, list[str]]  # instruction, input, right answer, wrong answers


def assert_holds(family: Family, example: Example) -> None:
    """The right answer passes, up to whitespace and one full stop; nothing else does, however it is asked."""
    instruction, input, right, wrong = example
    assert family.answer(instruction, input) == right
    assert check(family.name, instruction, input, f" {right}.\n")
    for response in ["", right + "!", right + "..", f"{right} {right}", *wrong]:
        assert not check(family.name, instruction, input, response), response
    asked = next(
        pattern.fullmatch(instruction) for pattern in family._patterns if pattern.fullmatch(instruction)
    )
    for template in family.templates:  # a paraphrase has the same answer
        assert family.answer(template.format(**asked.groupdict()), input) == right, template
