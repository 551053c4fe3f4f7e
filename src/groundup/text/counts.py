"""Numbers with their nouns, in the singular or the plural."""


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun; `many` is the plural if it is not `one` with an s.

    >>> counted(1, "message"), counted(2000, "message"), counted(0, "entry", "entries")
    ('1 message', '2,000 messages', '0 entries')
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
