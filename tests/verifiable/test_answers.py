"""The check: the families' own programs if there are any, else the outputs of the data."""

from groundup.verifiable import tasks
from groundup.verifiable.answers import check_for, stored_answers


def row(family: str, output: str, number: int = 0) -> dict[str, str]:
    return {"family": family, "instruction": f"Say {output}.", "input": str(number), "output": output}


def test_stored_answers_accept_any_answer_of_a_repeated_prompt() -> None:
    rows = [row("a", "red", 1), {**row("a", "red", 1), "output": "blue."}]
    check = stored_answers(rows)
    assert check("a", "Say red.", "1", "blue") and check("a", "Say red.", "1", " red.\n")
    assert not check("a", "Say red.", "1", "green") and not check("a", "Say red.", "2", "red")
    assert not check("b", "Say red.", "1", "red") and not check("a", "Say red.", "1", "red..")


def test_a_program_judges_generated_tasks_only() -> None:
    generated = tasks.generate(1, seed=1)
    wrong = generated[0] | {"output": "something else"}  # a program ignores the stored output
    asked = wrong["family"], wrong["instruction"], wrong["input"]
    assert not check_for([*generated, wrong])(*asked, "something else")
    assert check_for([wrong, row("own", "red")])(*asked, "something else")
    assert check_for([row("own", "red")])("own", "Say red.", "0", "red")
