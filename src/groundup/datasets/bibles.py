r"""The Bibles of the pythonbible packages: one long string in a Python module, with the offsets of each verse.

    bible = Bible(Version.KING_JAMES, "1. In the beginning ...", {1001001: 1, ...}, {1001001: 58, ...}, ...)

The module is parsed, never run. Three undocumented faults of the package are repaired. In the Bible in Basic
English they shift every verse from Genesis 42:39 on, by up to 2,752 characters:

- The offsets count each backslash of the text twice.
- Where the source follows the numbering of the Hebrew Bible, the King James number is added between backslashes
  (`2.\43:3\And Judah said ...`), but the package keeps the Hebrew number. The number between backslashes is used.
  Another verse with that number but without backslashes (such as the heading of a psalm) is dropped.
- Isaiah 64 is numbered 65, so the rest of that book is one chapter late. A verse "+" (John 1:39) is part of the verse
  before it, so the rest of that chapter is one verse late.
"""

import ast
import re

from groundup.errors import BadInput

_MARK = re.compile(r"\\(\d+):(\d+)\\")
_JOINED = "+"  # a verse that this translation joins to the one before
Key = tuple[int, int, int]  # book, chapter, verse


def verses(source: str, name: str) -> dict[Key, str]:
    """Return the verses of a pythonbible module: (book, chapter, verse) -> text without the number.

    Args:
        source: the text of plain_text_bible.py.
        name: the name of the source, for messages.

    Raises:
        BadInput: the module has another layout, or a verse does not begin with its number, so the offsets are wrong.
    """
    text, starts, ends = _arguments(source, name)
    text = text.replace("\\", "\\\\")  # the text for which the offsets were computed
    found: dict[Key, str] = {}
    marked: set[Key] = set()
    for number in sorted(starts):
        book, chapter, verse = number // 1_000_000, number // 1_000 % 1_000, number % 1_000
        piece = text[starts[number] : ends[number]].replace("\\\\", "\\").strip()
        if not piece.startswith(f"{verse}."):
            raise BadInput(
                f"{name}: verse {number} is {piece[:40]!r}; expected it to begin with '{verse}.': use "
                f"plain_text_bible.py from a version of the package whose offsets match its text."
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
    """Return three arguments of `Bible(...)`: the text, and verse -> offset of its start and of its end."""
    try:
        calls = [node.value for node in ast.parse(source).body if isinstance(node, ast.Assign)]
        (call,) = (node for node in calls if isinstance(node, ast.Call))
        text, starts, ends = (ast.literal_eval(argument) for argument in call.args[1:4])
        if not isinstance(text, str) or not starts or starts.keys() != ends.keys():
            raise ValueError("a text and two equal sets of verses were not found")
        return text, starts, ends
    except (SyntaxError, ValueError, TypeError, AttributeError) as error:
        raise BadInput(
            f"{name}: {error}; expected a module with one `bible = Bible(version, text, starts, ends, ...)`: use "
            f"plain_text_bible.py of a pythonbible package."
        ) from error


def _renumbered(found: dict[Key, str]) -> dict[Key, str]:
    """Number the chapters of each book from 1 without gaps, and lower the numbers of the verses after a joined one."""
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
