"""Make text from files safe to print on a terminal: control characters are shown, not executed."""

# line breaks, tabs, and the spaces and joiners of ordinary text, which Python does not count as printable
TEXT = "\n\t\u00a0\u202f\u3000\u200c\u200d"


def printable(text: str, keep: str = "\n") -> str:
    r"""Return the text with an escape sequence in place of each character that is neither printable nor in `keep`.

    This covers terminals' escape sequences, marks that reverse the order of characters, and halves of surrogate pairs,
    so that the result can always be printed and encoded.

    >>> printable("red: \x1b[31m")
    'red: \\x1b[31m'
    """
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)
