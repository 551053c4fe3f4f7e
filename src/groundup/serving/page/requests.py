"""What the page may ask for: bounded, so that no request takes long."""

from typing import Annotated, Literal

from annotated_types import Ge, Le, Len
from pydantic import BaseModel, ConfigDict

from groundup.serving.requests import Count, Message, Probability, Seed, Temperature

LONGEST_ATTENTION = 64  # tokens: layers · heads · tokens² numbers
LONGEST_LENS = 48  # tokens: layers · tokens · vocabulary scores
MOST_WORDS = 150  # of a text that is classified without each
Text = Annotated[str, Len(1, 4000)]
Line = Annotated[str, Len(1, 200)]
Top = Annotated[int, Ge(1), Le(20)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class TextBody(_Body):
    """A text for a model."""

    model: str
    text: Text


class LensBody(TextBody):
    """A text for the logit lens."""

    top: Top = 5


class PromptBody(_Body):
    """A conversation for a model."""

    model: str
    messages: Annotated[list[Message], Len(1, 1000)]


class ContinuationBody(_Body):
    """A text to continue."""

    model: str
    text: Text | None = None
    """The text, or:"""
    ids: Annotated[list[Count], Len(1, 8192)] | None = None
    """its token ids."""
    max_new_tokens: Annotated[int, Ge(0), Le(200)] = 40
    temperature: Temperature = 0.8
    top_p: Annotated[Probability, Ge(0.01)] = 0.95
    seed: Seed = 1
    top: Top = 8


class TokenizersBody(_Body):
    """A text to cut into tokens."""

    text: Text


class NeighboursBody(_Body):
    """A word whose neighbours are wanted."""

    vectors: Line
    word: Line
    count: Annotated[int, Ge(1), Le(50)] = 12


class VoteBody(_Body):
    """A comparison of two answers to one request."""

    prompt: Text
    models: Annotated[list[Line], Len(2, 2)]
    answers: Annotated[list[Annotated[str, Len(0, 20_000)]], Len(2, 2)]
    better: Literal[0, 1] | None
    """Which answer is better; null: neither."""
