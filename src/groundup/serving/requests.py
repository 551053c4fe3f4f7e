"""What requests may say: OpenAI's parameters, as far as the models have a use for them.

Parameters that would change the answer but are not supported are refused, except with the value that changes nothing.
"""

from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, Len
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Probability = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
Count = Annotated[int, Ge(0)]
TokenIds = Annotated[list[Count], Len(1)]
Seed = Annotated[int, Ge(-(2**63)), Le(2**63 - 1)]


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _one_or(several: type[list[str]]) -> BeforeValidator:
    """Return a validator that takes one text for a list of texts."""
    return BeforeValidator(_listed, json_schema_input_type=str | several)


StopTexts = Annotated[list[Annotated[str, Len(1, 1000)]], Len(0, 16)]
Stop = Annotated[StopTexts, _one_or(StopTexts)]
ManyTexts = Annotated[list[str], Len(1, 256)]
Texts = Annotated[ManyTexts, _one_or(ManyTexts)]
Nothing = Literal[0] | None
STRICT = ConfigDict(extra="forbid", strict=True)
MOST_TEXTS = 128  # of one request


class _Request(BaseModel):
    model_config = STRICT

    model: str
    """Name of the model; `GET /v1/models` lists them."""
    user: str | None = None
    """Ignored, as are further facts about the client in the other requests."""


class StreamOptions(BaseModel):
    """What a stream says besides the text."""

    model_config = STRICT

    include_usage: bool = False
    """End with a chunk that has the number of tokens."""
    include_obfuscation: bool | None = None
    """Ignored: chunks are never padded."""


class GenerationRequest(_Request):
    """What a request for a continuation and one for a message have in common."""

    temperature: Temperature | None = None
    """0 takes the most likely token; None: the model's default."""
    top_p: Probability | None = None
    """Sample from the most likely tokens that add up to this probability."""
    top_k: Count | None = None
    """Sample from the k most likely tokens; 0 for all. Not one of OpenAI's parameters."""
    seed: Seed | None = None
    """Equal seeds give equal texts; the i-th text of a request has the seed `seed` + i. None: a new seed."""
    n: Annotated[int, Ge(1), Le(MOST_TEXTS)] | None = None
    """Number of texts per prompt; None: 1."""
    stop: Stop | None = None
    """Strings before which the text ends."""
    stream: bool | None = None
    """Send the text piece by piece, as server-sent events."""
    stream_options: StreamOptions | None = None

    frequency_penalty: Nothing = None
    presence_penalty: Nothing = None
    logit_bias: Annotated[dict[str, Any], Len(0, 0)] | None = None


class CompletionRequest(GenerationRequest):
    """A request to continue texts."""

    prompt: (
        str
        | Annotated[list[str], Len(1, MOST_TEXTS)]
        | TokenIds
        | Annotated[list[TokenIds], Len(1, MOST_TEXTS)]
    )
    """One text or several, or their token ids."""
    max_tokens: Count | None = None
    """Largest number of new tokens; None: 16. 0 only with echo."""
    logprobs: Annotated[int, Ge(0), Le(20)] | None = None
    """Report the log-probability of each token and of this many most likely ones."""
    echo: bool | None = None
    """Return the prompt before its continuation, with its log-probabilities if there are any."""

    best_of: Annotated[int, Ge(1), Le(1)] | None = None
    suffix: Annotated[str, Len(0, 0)] | None = None


class TextPart(BaseModel):
    """A part of a message."""

    model_config = STRICT

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """A message of a conversation."""

    model_config = STRICT

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: str | None = None
    """Ignored."""

    @property
    def text(self) -> str:
        """The content as one text."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content)


class TextFormat(BaseModel):
    """The only format of answers."""

    model_config = STRICT

    type: Literal["text"]


class ChatRequest(GenerationRequest):
    """A request for the next message of a conversation."""

    messages: Annotated[list[Message], Len(1, 1000)]
    """An optional system message, then user and assistant in turn; the last is the user's."""
    max_completion_tokens: Annotated[int, Ge(1)] | None = None
    """Longest answer, in tokens; None: 512."""
    max_tokens: Annotated[int, Ge(1)] | None = None
    """The former name of `max_completion_tokens`."""
    logprobs: bool | None = None
    """Report the log-probability of each token."""
    top_logprobs: Annotated[int, Ge(0), Le(20)] | None = None
    """Report also this many most likely tokens."""

    response_format: TextFormat | None = None
    tools: Annotated[list[Any], Len(0, 0)] | None = None
    tool_choice: Literal["none", "auto"] | None = None
    parallel_tool_calls: bool | None = None
    modalities: Annotated[list[Literal["text"]], Len(0, 1)] | None = None
    store: Literal[False] | None = None
    metadata: dict[str, str] | None = None
    service_tier: Literal["auto", "default"] | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None


class EmbeddingRequest(_Request):
    """A request for vectors that represent texts."""

    input: Texts
    """One text or several."""
    encoding_format: Literal["float", "base64"] | None = None
    """Numbers, or the bytes of little-endian float32."""
    dimensions: None = None


class ClassificationRequest(_Request):
    """A request to classify texts."""

    input: Texts
    """One text or several."""
