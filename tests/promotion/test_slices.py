"""Slices of messages and families by hand, and the veto of a slice that got worse."""

from dataclasses import replace

import numpy as np
import pytest

from groundup.promotion.slices import compare_slices, family_slices, spam_slices, style_of
from tests.promotion.settings import GATE

MESSAGES = {
    "Are you coming home?": "ham short, without number, without link, style plain",
    "c u at 5": "ham short, with number, without link, style texting",
    "WINNER!! CLAIM YOUR PRIZE AT www.prize.com NOW": "spam medium, without number, with link, style shouting",
    "Visit prizes.co.uk/win for a reward, " * 4: "spam long, without number, with link, style plain",
}


def test_slices_by_hand() -> None:
    expected = [text.replace(" ", ", ", 1).split(", ") for text in MESSAGES.values()]
    truth = np.array([int(names[0] == "spam") for names in expected])
    slices = spam_slices(list(MESSAGES), truth)
    for row, names in enumerate(expected):
        assert {name for name, mask in slices.items() if mask[row]} == set(names)


@pytest.mark.parametrize(
    ("text", "style"),
    [
        ("OK", "plain"),  # too short to shout
        ("I'm sure we'd like that, don't you?", "plain"),  # no spelling of text messages behind an apostrophe
        ("Wat r u doing", "texting"),
        ("I AM NOT SHOUTING", "shouting"),
        ("12345", "plain"),
        ("", "plain"),
    ],
)
def test_style(text: str, style: str) -> None:
    assert style_of(text) == style


def test_families() -> None:
    slices = family_slices(["b", "a", "b"])
    assert {name: mask.tolist() for name, mask in slices.items()} == {
        "family a": [False, True, False],
        "family b": [True, False, True],
    }


def test_a_guarded_slice_vetoes_and_a_small_one_does_not() -> None:
    # on 25 rows the challenger loses 7 and wins none (p = 1/128), on the others it wins 20
    champion = np.arange(100) < 25
    challenger = np.arange(100) >= 7
    challenger[45:] = False
    slices = {"first": np.arange(100) < 25, "others": np.arange(100) >= 25, "few": np.arange(100) < 19}
    vetoes, table = compare_slices(slices, champion, challenger, GATE)
    assert [words.partition(":")[0] for words in vetoes] == ["worse on the slice 'first'"]
    assert "p = 0.0078, veto at 0.01" in vetoes[0]
    assert table["first"] == {"rows": 25, "wins": 0, "losses": 7, "guarded": True, "p_worse": 1 / 128}
    assert table["few"] == {"rows": 19, "wins": 0, "losses": 7, "guarded": False, "p_worse": 1 / 128}
    assert table["others"]["wins"] == 20
    assert compare_slices(slices, champion, challenger, replace(GATE, veto_level=0.005))[0] == []
