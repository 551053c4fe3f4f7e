import pytest

from groundup.datasets.bibles import verses
from groundup.datasets.readers import READERS
from groundup.errors import BadInput


def module(pieces: dict[int, str]) -> str:
    """A module like those of the packages, whose offsets count each backslash twice."""
    text, starts, ends = "", {}, {}
    for key, piece in pieces.items():
        starts[key] = len(text.replace("\\", "\\\\"))
        text += piece
        ends[key] = len(text.replace("\\", "\\\\"))
    return f"from x import Bible\n\nbible = Bible(Version.X, {text!r}, {starts!r}, {ends!r}, {{Book.A: 1}}, False)\n"


def test_verses_come_without_number_and_space() -> None:
    found = verses(module({1001001: "1. In the beginning.", 1001002: " 2. And [it was] so.\n"}), "m")
    assert found == {(1, 1, 1): "In the beginning.", (1, 1, 2): "And [it was] so."}


def test_offsets_after_a_backslash_and_hebrew_numbers_are_corrected() -> None:
    pieces = {
        1001038: "38. He said.",
        1001039: " 39.\\2:1\\Now the land.",
        1002001: " 1.\\2:2\\And when.",
        1002002: " 2. A verse of its own number, which another bears.",
        1002003: " 3.\\2:2\\The later of two with one number.\\",
        1003001: " 1. Far behind.",
    }
    assert verses(module(pieces), "m") == {
        (1, 1, 38): "He said.",
        (1, 2, 1): "Now the land.",
        (1, 2, 2): "The later of two with one number.",
        (1, 3, 1): "Far behind.",
    }


def test_chapters_have_no_gap_and_a_joined_verse_moves_the_rest_up() -> None:
    pieces = {
        23064001: "1. One.",
        23065001: " 1.\\64:2\\Two.",
        23066001: " 1. Three.",
        43001038: " 38. Where?",
        43001039: " 39.+",
        43001040: " 40. Come.",
        44002001: " 1. Acts.",
    }
    assert verses(module(pieces), "m") == {
        (23, 1, 1): "One.",
        (23, 1, 2): "Two.",
        (23, 2, 1): "Three.",
        (43, 1, 38): "Where?",
        (43, 1, 39): "Come.",
        (44, 1, 1): "Acts.",
    }


def test_the_module_is_never_run() -> None:
    with pytest.raises(BadInput, match=r"m: .*expected a module with one `bible = Bible"):
        verses("bible = Bible(1, print('run'), {}, {})", "m")


@pytest.mark.parametrize("source", ["not python at all!", "x = 1", "bible = Bible(1, 'a', {1: 0}, {})"])
def test_another_module_is_one_sentence(source: str) -> None:
    with pytest.raises(BadInput, match="expected a module with one `bible"):
        verses(source, "m")


def test_wrong_offsets_are_refused() -> None:
    shifted = module({1001001: "1. In the beginning.", 1001002: " 2. And."}).replace(
        "1001002: 20", "1001002: 12"
    )
    with pytest.raises(BadInput, match=r"verse 1001002 is .* expected it to begin with '2\.'"):
        verses(shifted, "m")


def test_reader_writes_ids_of_eight_digits() -> None:
    rows = READERS["python_bible"](module({1001001: "1. In the beginning."}).encode(), "verses", "m")
    assert rows == [{"id": "01001001", "text": "In the beginning."}]
