from groundup.datasets.preferences import with_wrong_answers


def check(family: str, instruction: str, input: str, response: str) -> bool:
    """Any of the words is right for "any", the last one otherwise."""
    words = input.split()
    return response in words if family == "any" else response == words[-1]


def row(number: int, family: str, input: str, output: str) -> dict[str, str]:
    return {"id": str(number), "family": family, "instruction": "Say", "input": input, "output": output}


ROWS = [
    row(0, "last", "tea red house", "house"),
    row(1, "last", "red tea", "tea"),
    row(2, "last", "big house", "house"),
    row(3, "any", "cat dog", "cat"),
    row(4, "any", "dog cat", "dog"),
]


def test_the_rejected_answer_is_of_the_family_and_wrong() -> None:
    found = {pair["id"]: pair for pair in with_wrong_answers(ROWS, check, seed=1)}
    # of the family "any" both answers are right for both rows
    assert {name: (pair["chosen"], pair["rejected"]) for name, pair in found.items()} == {
        "0": ("house", "tea"),
        "1": ("tea", "house"),
        "2": ("house", "tea"),
    }


def test_equal_seeds_give_equal_pairs() -> None:
    many = [row(i, "last", f"a w{i}", f"w{i}") for i in range(30)]
    first = with_wrong_answers(many, check, seed=1)
    assert with_wrong_answers(list(reversed(many)), check, seed=1) == list(reversed(first))
    assert with_wrong_answers(many, check, seed=2) != first
