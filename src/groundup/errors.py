"""The exception whose message is for the user of groundup, and what it quotes of other errors."""


class BadInput(ValueError):
    """An error that the user can fix; its message is one sentence: what was found, what was expected, what to do.

    Stages and the command line print the message without a traceback and exit with a non-zero status. It is a
    ValueError, so that pydantic collects those raised by the sections of params.yaml and reports all of them at once.
    """


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type without one; some libraries' messages fill pages."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
