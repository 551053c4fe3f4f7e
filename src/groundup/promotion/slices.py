"""Slices of the gate rows, and the veto of a slice on which the challenger is significantly worse.

Legend: n: number of rows. A slice is a mask (n,), True for its rows. Whether a row is in a slice depends on this row
alone, so a slice means the same in every look.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.promotion.config import GateConfig
from groundup.promotion.paired import Pairs, mcnemar

Mask = npt.NDArray[np.bool_]
Slices = Mapping[str, Mask]

SHORT, LONG = 40, 120  # characters; about the quartiles of SMS messages
SHOUTING = 0.5  # share of capitals among the letters
FEWEST_LETTERS = 10  # "OK" does not shout
_LINK = re.compile(r"https?://|www\.|\b[\w-]+\.(?:com|net|org|info|biz|tv|co|uk|de|fr|eu)\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
# spellings of text messages that no dictionary of standard English has
TEXTING = frozenset(
    "u ur r n b c k y b4 gr8 l8r 2day 2nite 2moro 2morrow pls plz thx thanx tks txt txting msg msgs lol wat wot wen "
    "dat dis den da dun gonna wanna gotta gona wana lor lar leh haf hav coz cos cuz bcoz cud wud shud ppl luv wkend "
    "tmr tmrw tomo nite rite abt jus juz im dont cant wont didnt ive".split()
)


def spam_slices(texts: Sequence[str], truth: npt.NDArray[Any]) -> dict[str, Mask]:
    """Return the slices of messages by label, length, number, link and style.

    Args:
        texts: n messages.
        truth: (n,), 1 = spam.
    """
    lengths = np.array([len(text) for text in texts])
    numbers = np.array([any(char.isdigit() for char in text) for text in texts], dtype=bool)
    links = np.array([_LINK.search(text) is not None for text in texts], dtype=bool)
    styles = np.array([style_of(text) for text in texts], dtype=str)
    return {
        "ham": truth != 1,
        "spam": truth == 1,
        "short": lengths <= SHORT,
        "medium": (lengths > SHORT) & (lengths < LONG),
        "long": lengths >= LONG,
        "with number": numbers,
        "without number": ~numbers,
        "with link": links,
        "without link": ~links,
        **{f"style {style}": styles == style for style in ("shouting", "texting", "plain")},
    }


def style_of(text: str) -> str:
    """Return the language style of a message: shouting, texting or plain.

    Shouting: most letters are capitals. Texting: otherwise, a word is a spelling of text messages.

    >>> [style_of(text) for text in ("CALL THIS NUMBER", "c u 2nite", "See you tonight.")]
    ['shouting', 'texting', 'plain']
    """
    letters = [char for char in text if char.isalpha()]
    if len(letters) >= FEWEST_LETTERS and sum(char.isupper() for char in letters) > SHOUTING * len(letters):
        return "shouting"
    return "texting" if TEXTING.intersection(_WORD.findall(text.lower())) else "plain"


def family_slices(families: Sequence[str]) -> dict[str, Mask]:
    """Return one slice per family of instructions."""
    names = np.array(families)
    return {f"family {name}": names == name for name in sorted(set(families))}


def compare_slices(
    slices: Slices, champion: npt.NDArray[np.bool_], challenger: npt.NDArray[np.bool_], gate: GateConfig
) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """Test on every guarded slice whether the challenger is worse.

    Args:
        slices: the masks.
        champion, challenger: (n,), True where the model is right.
        gate: a slice is guarded if it has at least `min_slice_rows` rows; the test's level is `veto_level`.

    Returns:
        One sentence per veto, and {slice: {"rows", "wins", "losses", "guarded", "p_worse"}}.
    """
    vetoes, table = [], {}
    for name, mask in slices.items():
        pairs = Pairs.of(champion[mask], challenger[mask])
        p_worse = mcnemar(pairs.wins, pairs.losses, "worse")
        guarded = pairs.rows >= gate.min_slice_rows
        table[name] = {
            "rows": pairs.rows,
            "wins": pairs.wins,
            "losses": pairs.losses,
            "guarded": guarded,
            "p_worse": p_worse,
        }
        if guarded and p_worse <= gate.veto_level:
            vetoes.append(
                f"worse on the slice {name!r}: right on {pairs.wins} of its {pairs.rows} rows where the champion is "
                f"wrong, wrong on {pairs.losses} where it is right (p = {p_worse:.2g}, veto at {gate.veto_level:g})"
            )
    return vetoes, table
