"""Text from files on a terminal: control characters are shown, not executed."""


def printable(text: str, keep: str = "\n") -> str:
    r"""Return the text with every character that is not printable, but for those in `keep`, as an escape sequence.

    This covers the escape sequences of terminals, marks that reverse the order of characters, and halves of surrogate
    pairs, so that the result can always be printed and encoded.

    >>> printable("red: \x1b[31m")
    'red: \\x1b[31m'
    """
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)
