r"""The Bibles of the pythonbible packages: one long string in a Python module, and where each verse lies in it.

    bible = Bible(Version.KING_JAMES, "1. In the beginning ...", {1001001: 1, ...}, {1001001: 58, ...}, ...)

The module is parsed, never run. Three of its faults are repaired. Nothing in the package tells of them, and in the
Bible in Basic English they put every verse from Genesis 42:39 on in the wrong place, by up to 2,752 characters:

- The offsets count each backslash of the text twice.
- Where the source counted as the Hebrew Bible does, the King James number follows between backslashes
  (`2.\43:3\And Judah said ...`), and the package counts on in Hebrew. The mark tells; what bears the number of a
  marked verse and stands before it is the heading of a psalm, which has no verse of its own in the King James.
- Isaiah 64 stands there as 65, so all that follows in the book is one chapter late; and a verse "+" (John 1:39)
  belongs to the one before, so the rest of that chapter is one verse late.
"""

import ast
import re

from groundup.errors import BadInput

_MARK = re.compile(r"\\(\d+):(\d+)\\")
_JOINED = "+"  # a verse that the translation has as part of the one before
Key = tuple[int, int, int]  # book, chapter, verse


def verses(source: str, name: str) -> dict[Key, str]:
    """The verses of a pythonbible module (plain_text_bible.py), without their numbers, by book, chapter and verse.

    Raises:
        BadInput: not such a module, or a verse does not begin with its number: the offsets are not those of the text.
    """
    text, starts, ends = _arguments(source, name)
    text = text.replace("\\", "\\\\")  # as it was when the offsets were taken
    found: dict[Key, str] = {}
    marked: set[Key] = set()
    for number in sorted(starts):
        book, chapter, verse = number // 1_000_000, number // 1_000 % 1_000, number % 1_000
        piece = text[starts[number] : ends[number]].replace("\\\\", "\\").strip()
        if not piece.startswith(f"{verse}."):
            raise BadInput(
                f"{name}: verse {number} reads {piece[:40]!r}; expected it to begin with '{verse}.': use the module "
                f"plain_text_bible.py of a version of the package whose offsets fit its text."
            )
        piece = piece.removeprefix(f"{verse}.").strip().removesuffix("\\")
        key = (book, chapter, verse)
        if mark := _MARK.match(piece):
            key, piece = (book, int(mark[1]), int(mark[2])), piece[mark.end() :]
            marked.add(key)
        elif key in marked:
            continue
        found[key] = piece.strip()
    return _renumbered(found)


def _arguments(source: str, name: str) -> tuple[str, dict[int, int], dict[int, int]]:
    """The text, and where each verse starts and ends."""
    try:
        calls = [node.value for node in ast.parse(source).body if isinstance(node, ast.Assign)]
        (call,) = (node for node in calls if isinstance(node, ast.Call))
        text, starts, ends = (ast.literal_eval(argument) for argument in call.args[1:4])
        if not isinstance(text, str) or not starts or starts.keys() != ends.keys():
            raise ValueError("a text and two equal sets of verses were not found")
        return text, starts, ends
    except (SyntaxError, ValueError, TypeError, AttributeError) as error:
        raise BadInput(
            f"{name}: {error}; expected a module with one `bible = Bible(version, text, starts, ends, ...)`."
        ) from error


def _renumbered(found: dict[Key, str]) -> dict[Key, str]:
    """The chapters of each book counted from 1 without a gap, and the verses behind a joined one moved up."""
    chapters: dict[int, list[int]] = {}
    for book, chapter in sorted({key[:2] for key in found}):
        chapters.setdefault(book, []).append(chapter)
    place = {(b, c): i for b, numbers in chapters.items() for i, c in enumerate(numbers, start=1)}
    moved: dict[Key, str] = {}
    joined: set[tuple[int, int]] = set()
    for (book, chapter, verse), text in sorted(found.items()):
        if text == _JOINED:
            joined.add((book, chapter))
            continue
        moved[book, place[book, chapter], verse - ((book, chapter) in joined)] = text
    return moved
