"""A trained model with everything that it can do: `groundup.load` and what it returns.

from groundup import load

model = load("data/models/instructions")
model.chat([{"role": "user", "content": "Sort the words: pear apple"}])
"""

from collections.abc import Generator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, overload

import torch
from torch import Tensor

from groundup.checkpoint import TITLES, Checkpoint, Kind, load_checkpoint
from groundup.errors import BadInput
from groundup.evaluation.language_model import LogLikelihood, log_likelihoods
from groundup.generation.chat_template import Message
from groundup.generation.decoding import generate_text, stream_text
from groundup.generation.precision import Weights, rounded_copy
from groundup.generation.sampling import CONTINUATION, Sampling, new_seed
from groundup.hub.fetching import resolve
from groundup.tasks.classification import Classification, classify
from groundup.tasks.embedding import embed
from groundup.tasks.translation import translate
from groundup.training.devices import find_device

if TYPE_CHECKING:
    from groundup.nn.decoder import Decoder


def load(
    name_or_path: str | Path, *, device: torch.device | str = "auto", weights: Weights | None = None
) -> "Model":
    """Load a trained model.

    Args:
        name_or_path: a checkpoint folder, or a published model (see `groundup.hub.fetching.resolve`).
        device: where the model computes; "auto": CUDA, then Apple's MPS, then the CPU.
        weights: those with which a decoder generates (see `round_weights`); everything else is computed with the
            trained ones. None: float16 on a CPU where that is faster, as in the command `chat`.

    Raises:
        BadInput: there is no such model, it is damaged, or the machine lacks the device.

    Example:
        >>> model = load("data/models/pretrained")  # doctest: +SKIP
        >>> model.generate("Last night we", seed=1)  # doctest: +SKIP
    """
    return Model(load_checkpoint(resolve(name_or_path), find_device(str(device), "device")), weights)


class Model:
    """A model and its tokenizer, with one method for each thing that models can do.

    A method that does not fit the kind of the model raises BadInput, with the kind that it expects. Where a method
    takes one text or several, it returns one result or a list. Results do not depend on the other texts of a list,
    apart from rounding.

    Attributes:
        checkpoint: the model, its tokenizer and what is known about its training.
    """

    def __init__(self, checkpoint: Checkpoint, weights: Weights | None = None) -> None:
        """Wrap a loaded checkpoint; for `weights` see `load`."""
        self.checkpoint = checkpoint
        self._weights = weights

    def __repr__(self) -> str:
        """Return kind and size, such as `<groundup model: a decoder (language model), 18,100,000 parameters>`."""
        size = sum(p.numel() for p in self.checkpoint.model.parameters())
        return f"<groundup model: {TITLES[self.checkpoint.kind]}, {size:,} parameters>"

    @overload
    def generate(  # type: ignore[overload-overlap]
        self,
        prompt: str,
        *,
        max_new_tokens: int = ...,
        temperature: float = ...,
        top_k: int = ...,
        top_p: float = ...,
        seed: int | None = ...,
        stop: str | Sequence[str] = ...,
    ) -> str: ...

    @overload
    def generate(
        self,
        prompt: Sequence[str],
        *,
        max_new_tokens: int = ...,
        temperature: float = ...,
        top_k: int = ...,
        top_p: float = ...,
        seed: int | None = ...,
        stop: str | Sequence[str] = ...,
    ) -> list[str]: ...

    def generate(
        self,
        prompt: str | Sequence[str],
        *,
        max_new_tokens: int = 100,
        temperature: float = CONTINUATION.temperature,
        top_k: int = CONTINUATION.top_k,
        top_p: float = CONTINUATION.top_p,
        seed: int | None = None,
        stop: str | Sequence[str] = (),
    ) -> str | list[str]:
        """Continue one text or several, and return what was added.

        Args:
            prompt: the text or texts.
            max_new_tokens: most tokens to add.
            temperature: 0 takes the most likely token; higher is more random.
            top_k: sample from the k most likely tokens; 0: all.
            top_p: sample from the most likely tokens that add up to this probability.
            seed: equal seeds give equal text; text i of a list has seed + i. None: a new seed.
            stop: the text ends before the first occurrence of this string, or of one of several.

        Raises:
            BadInput: the model is not a decoder, a value is out of range, or a text leaves no space in the context.
        """
        texts = _listed(prompt)
        tokenizer = self.checkpoint.tokenizer
        prompts = [[*tokenizer.prefix_ids, *ids] for ids in tokenizer.encode_batch(texts)]
        found = generate_text(
            self._writer,
            tokenizer,
            prompts,
            max_new_tokens=max_new_tokens,
            sampling=_sampling(temperature, top_k, top_p, seed),
            stop_ids=self.checkpoint.stop_ids,
            stop=_stops(stop),
        )
        return found[0] if isinstance(prompt, str) else found

    def stream(
        self,
        prompt: str,
        *,
        max_new_tokens: int = 100,
        temperature: float = CONTINUATION.temperature,
        top_k: int = CONTINUATION.top_k,
        top_p: float = CONTINUATION.top_p,
        seed: int | None = None,
        stop: str | Sequence[str] = (),
    ) -> Generator[str, None, None]:
        """Continue a text, and yield what is added piece by piece; otherwise as `generate`."""
        tokenizer = self.checkpoint.tokenizer
        return stream_text(
            self._writer,
            tokenizer,
            [*tokenizer.prefix_ids, *tokenizer.encode(prompt)],
            max_new_tokens=max_new_tokens,
            sampling=_sampling(temperature, top_k, top_p, seed),
            stop_ids=self.checkpoint.stop_ids,
            stop=_stops(stop),
        )

    def chat(
        self,
        messages: Sequence[Message],
        *,
        max_new_tokens: int | None = None,
        temperature: float = Sampling.temperature,
        top_k: int = Sampling.top_k,
        top_p: float = Sampling.top_p,
        seed: int | None = None,
        stop: str | Sequence[str] = (),
    ) -> str:
        """Answer a conversation.

        A model without a chat template was trained on single instructions. If an instruction has an input, a blank
        line separates them.

        Args:
            messages: {"role": "system" | "user" | "assistant", "content": text}; the last one is the user's.
            max_new_tokens: longest answer, in tokens; None: the default of the model's kind.
            temperature: see `generate`, as all further ones.
            top_k: see `generate`.
            top_p: see `generate`.
            seed: see `generate`.
            stop: see `generate`.

        Raises:
            BadInput: the model is not a decoder, it cannot express the conversation, or the conversation leaves no
                space in the context.
        """
        [answer] = generate_text(
            self._writer,
            self.checkpoint.tokenizer,
            [self.checkpoint.prompter().dialogue(messages)],
            max_new_tokens=self.checkpoint.reply_tokens if max_new_tokens is None else max_new_tokens,
            sampling=_sampling(temperature, top_k, top_p, seed),
            stop_ids=self.checkpoint.answer_ends,
            stop=_stops(stop),
        )
        return answer.strip()

    def stream_chat(
        self,
        messages: Sequence[Message],
        *,
        max_new_tokens: int | None = None,
        temperature: float = Sampling.temperature,
        top_k: int = Sampling.top_k,
        top_p: float = Sampling.top_p,
        seed: int | None = None,
        stop: str | Sequence[str] = (),
    ) -> Generator[str, None, None]:
        """Answer a conversation, and yield the answer piece by piece, untrimmed; otherwise as `chat`."""
        return stream_text(
            self._writer,
            self.checkpoint.tokenizer,
            self.checkpoint.prompter().dialogue(messages),
            max_new_tokens=self.checkpoint.reply_tokens if max_new_tokens is None else max_new_tokens,
            sampling=_sampling(temperature, top_k, top_p, seed),
            stop_ids=self.checkpoint.answer_ends,
            stop=_stops(stop),
        )

    @overload
    def classify(self, text: str) -> Classification: ...  # type: ignore[overload-overlap]

    @overload
    def classify(self, text: Sequence[str]) -> list[Classification]: ...

    def classify(self, text: str | Sequence[str]) -> Classification | list[Classification]:
        """Classify one text or several; a text that is too long for the context is cut at its end.

        Raises:
            BadInput: the model is not a classifier.
        """
        self._expect("classifier")
        found = classify(self.checkpoint, _listed(text))
        return found[0] if isinstance(text, str) else found

    @overload
    def log_likelihood(  # type: ignore[overload-overlap]
        self, context: str, continuation: str, *, top: int = ...
    ) -> LogLikelihood: ...

    @overload
    def log_likelihood(
        self, context: Sequence[str], continuation: Sequence[str], *, top: int = ...
    ) -> list[LogLikelihood]: ...

    def log_likelihood(
        self, context: str | Sequence[str], continuation: str | Sequence[str], *, top: int = 1
    ) -> LogLikelihood | list[LogLikelihood]:
        """Compute how likely a decoder finds a continuation of a context, or several of them.

        With an empty context it scores whole texts, of any length. What is read and scored is described in
        evaluation/language_model.py; it is what lm-evaluation-harness does.

        Args:
            context: the text that is given; may be empty.
            continuation: the text that is scored.
            top: how many of the most likely tokens to report at each place.

        Raises:
            BadInput: the model is not a decoder, a continuation is empty, or there are not as many continuations as
                contexts.
        """
        decoder = self._decoder()
        contexts, continuations = _listed(context), _listed(continuation)
        if len(contexts) != len(continuations):
            raise BadInput(
                f"there are {len(contexts)} contexts and {len(continuations)} continuations; expected one continuation "
                "for each context: correct them."
            )
        pairs = [*zip(contexts, continuations, strict=True)]
        found = log_likelihoods(decoder, self.checkpoint.tokenizer, pairs, top=top)
        return found[0] if isinstance(context, str) else found

    def bits_per_byte(self, text: str) -> float:
        """Compute how many bits per UTF-8 byte a decoder needs for a text of any length; lower is better.

        Raises:
            BadInput: the model is not a decoder, or the text is empty.
        """
        return self.log_likelihood("", text).bits_per_byte

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Turn n texts into vectors (n, C): the mean of the last hidden states of each text's tokens.

        A text that is too long for the context is cut at its end. Of a classifier, the trunk is used.

        Raises:
            BadInput: the model is an encoder-decoder.
        """
        return embed(self.checkpoint, _listed(texts))

    @overload
    def translate(  # type: ignore[overload-overlap]
        self, text: str, *, beam_size: int = ..., length_penalty: float = ...
    ) -> str: ...

    @overload
    def translate(
        self, text: Sequence[str], *, beam_size: int = ..., length_penalty: float = ...
    ) -> list[str]: ...

    def translate(
        self, text: str | Sequence[str], *, beam_size: int = 4, length_penalty: float = 1.5
    ) -> str | list[str]:
        """Translate one text or several, by beam search.

        Args:
            text: the text or texts.
            beam_size: partial translations kept at each step; 1 is greedy.
            length_penalty: higher values give longer translations.

        Raises:
            BadInput: the model is not an encoder-decoder, or a text has no words or is too long.
        """
        self._expect("encoder_decoder")
        found = translate(self.checkpoint, _listed(text), beam_size=beam_size, length_penalty=length_penalty)
        return found[0] if isinstance(text, str) else found

    def _expect(self, *kinds: Kind) -> None:
        if self.checkpoint.kind not in kinds:
            raise BadInput(
                f"the model is {TITLES[self.checkpoint.kind]}; expected {' or '.join(TITLES[kind] for kind in kinds)}: "
                "load another model."
            )

    def _decoder(self) -> "Decoder":
        self._expect("decoder")
        found: Decoder = self.checkpoint.model
        return found

    @cached_property
    def _writer(self) -> "Decoder":
        """The decoder that generates: the checkpoint's, or a copy with rounded weights."""
        return rounded_copy(self._decoder(), self._weights)


def _listed(texts: str | Sequence[str]) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts)


def _stops(texts: str | Sequence[str]) -> list[str]:
    if "" in (listed := _listed(texts)):
        raise BadInput("stop has an empty text; expected texts that end the answer: leave it out.")
    return listed


def _sampling(temperature: float, top_k: int, top_p: float, seed: int | None) -> Sampling:
    return Sampling(temperature, top_k, top_p, new_seed() if seed is None else seed)
