import pytest

from groundup.verifiable.questions import PAIRS, ask, is_right


def test_a_model_that_knows_the_words_but_answers_in_one() -> None:
    """Every first question is answered with its word, every second one with nothing."""
    words = {question: right.split("|")[0] for (question, right), _ in PAIRS}
    seen = []

    def respond(asked: object) -> list[str]:
        assert isinstance(asked, list)
        seen.append(asked)
        return [words.get(question, "") for _, question in asked]

    before = [
        {"role": "user", "content": "Say the last word.\n\nred tea"},
        {"role": "assistant", "content": "tea"},
    ]
    found = ask(respond, before)
    assert found["instances"] == 50 and found["right"]["mean"] == 0.5 and found["sentences"]["mean"] == 0
    assert [row["right"] for row in found["answers"]] == [True, False] * 25
    first, second = seen
    assert all(history[:2] == before for history, _ in first + second)
    (history, question) = second[0]
    assert [message["content"] for message in history[2:]] == ["What is the capital of France?", "Paris"]
    assert question == "And of Italy?"


@pytest.mark.parametrize(
    ("answer", "words", "right"),
    [
        ("The capital of Italy is ROME.", "Rome", True),
        ("Romeo", "Rome", False),
        ("It has 40 legs.", "four|4", False),
        ("4", "four|4", True),
        ("H2O.", "H2O|H₂O", True),
        ("", "Rome", False),
    ],
)
def test_whole_words_count_in_any_case(answer: str, words: str, right: bool) -> None:
    assert is_right(answer, words) is right
