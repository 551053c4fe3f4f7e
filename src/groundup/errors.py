"""The one exception meant for the person who runs groundup."""


class BadInput(ValueError):
    """Input that a user can put right: one sentence with what was found, what was expected and what to do.

    Stages and the command line print the sentence without a traceback and exit non-zero. A ValueError, so that
    pydantic collects those raised by the sections of params.yaml and reports all at once.
    """
