"""A trained model with everything that it can do: `groundup.load` and what it returns.

from groundup import load

model = load("data/models/instructions")
model.chat([{"role": "user", "content": "Sort the words: pear apple"}])
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, overload

import torch
from torch import Tensor

from groundup.checkpoint import TITLES, Checkpoint, Kind, load_checkpoint
from groundup.errors import BadInput
from groundup.evaluation.language_model import document_bits
from groundup.generation.chat_template import Message
from groundup.generation.decoding import generate_text, stream_text
from groundup.generation.likelihood import score
from groundup.generation.logprobs import TokenLogprob
from groundup.generation.precision import Weights, round_weights
from groundup.generation.sampling import CONTINUATION, MAX_NEW_TOKENS, Sampling, new_seed
from groundup.tasks.classification import encode_texts, predict
from groundup.tasks.translation import translate
from groundup.training.batching import pad
from groundup.training.devices import best_device

if TYPE_CHECKING:
    from groundup.nn.decoder import Decoder


@dataclass(frozen=True)
class Classification:
    """The answer of a classifier to one text.

    Attributes:
        label: the most likely label.
        probabilities: the probability of each label.
    """

    label: str
    probabilities: dict[str, float]


@dataclass(frozen=True)
class LogLikelihood:
    """How likely a model finds a continuation of a text.

    Attributes:
        total: the natural logarithm of its probability: the sum over `tokens`.
        is_greedy: whether the model would write it if it always took the most likely token.
        tokens: the log-probability of each token.
    """

    total: float
    is_greedy: bool
    tokens: tuple[TokenLogprob, ...]


def load(
    name_or_path: str | Path, *, device: torch.device | str = "auto", weights: Weights | None = "float32"
) -> "Model":
    """Load a trained model.

    Args:
        name_or_path: a checkpoint folder.
        device: where the model computes; "auto": CUDA, then Apple's MPS, then the CPU.
        weights: rounding for faster generation on a CPU (see `round_weights`); None: as the command `chat` does.

    Raises:
        BadInput: there is no such model, or it is damaged.

    Example:
        >>> model = load("data/models/pretrained")  # doctest: +SKIP
        >>> model.generate("Last night we", seed=1)  # doctest: +SKIP
    """
    place = best_device() if str(device) == "auto" else torch.device(device)
    checkpoint = load_checkpoint(Path(name_or_path), place)
    if weights != "float32":
        round_weights(checkpoint.model, weights)
    return Model(checkpoint)


class Model:
    """A model and its tokenizer, with one method for each thing that models can do.

    A method that does not fit the kind of the model raises BadInput, with the kind that it expects. Where a method
    takes one text or several, it returns one result or a list. Results do not depend on the other texts of a list,
    apart from rounding.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Wrap a loaded checkpoint."""
        self.checkpoint = checkpoint

    def __repr__(self) -> str:
        """Return kind and size, such as `<groundup model: a decoder (language model), 18,100,000 parameters>`."""
        size = sum(p.numel() for p in self.checkpoint.model.parameters())
        return f"<groundup model: {TITLES[self.checkpoint.kind]}, {size:,} parameters>"

    # a str is a sequence of str too; the first overload is the one that is meant
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
        stop: Sequence[str] = ...,
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
        stop: Sequence[str] = ...,
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
        stop: Sequence[str] = (),
    ) -> str | list[str]:
        """Continue one text or several, and return what was added.

        Args:
            prompt: the text or texts.
            max_new_tokens: most tokens to add.
            temperature: 0 takes the most likely token; higher is more random.
            top_k: sample from the k most likely tokens; 0: all.
            top_p: sample from the most likely tokens that add up to this probability.
            seed: equal seeds give equal text; text i of a list has seed + i. None: a new seed.
            stop: the text ends before the first of these.

        Raises:
            BadInput: the model is not a decoder, a value is out of range, or a text leaves no space in the context.
        """
        texts = [prompt] if isinstance(prompt, str) else list(prompt)
        decoder = self._decoder()
        tokenizer = self.checkpoint.tokenizer
        found = generate_text(
            decoder,
            tokenizer,
            [[*tokenizer.prefix_ids, *ids] for ids in tokenizer.encode_batch(texts)],
            max_new_tokens=max_new_tokens,
            sampling=_sampling(temperature, top_k, top_p, seed),
            stop_ids=self.checkpoint.stop_ids,
            stop=stop,
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
        stop: Sequence[str] = (),
    ) -> Generator[str, None, None]:
        """Continue a text, and yield what is added piece by piece; otherwise as `generate`."""
        decoder, tokenizer = self._decoder(), self.checkpoint.tokenizer
        return stream_text(
            decoder,
            tokenizer,
            [*tokenizer.prefix_ids, *tokenizer.encode(prompt)],
            max_new_tokens=max_new_tokens,
            sampling=_sampling(temperature, top_k, top_p, seed),
            stop_ids=self.checkpoint.stop_ids,
            stop=stop,
        )

    def chat(
        self,
        messages: Sequence[Message],
        *,
        max_new_tokens: int = MAX_NEW_TOKENS,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
    ) -> str:
        """Answer a conversation.

        A model without a chat template was trained on single instructions. If an instruction has an input, a blank
        line separates them.

        Args:
            messages: {"role": "system" | "user" | "assistant", "content": text}; the last one is the user's.
            max_new_tokens: longest answer, in tokens.
            temperature: see `generate`, as all further ones.
            top_k: see `generate`.
            top_p: see `generate`.
            seed: see `generate`.
            stop: see `generate`.

        Raises:
            BadInput: the model is not a decoder, it cannot express the conversation, or the conversation leaves no
                space in the context.
        """
        decoder = self._decoder()
        [answer] = generate_text(
            decoder,
            self.checkpoint.tokenizer,
            [self.checkpoint.prompter().dialogue(messages)],
            max_new_tokens=max_new_tokens,
            sampling=_sampling(temperature, top_k, top_p, seed),
            stop_ids=self.checkpoint.answer_ends,
            stop=stop,
        )
        return answer.strip()

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
        texts = [text] if isinstance(text, str) else list(text)
        config = self.checkpoint.config
        ids = encode_texts(self.checkpoint.tokenizer, texts, config.model.context_length)
        found = []
        for row in predict(self.checkpoint.model, ids):
            probabilities = dict(zip(config.labels, row, strict=True))
            found.append(Classification(max(probabilities, key=probabilities.__getitem__), probabilities))
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

        Context and continuation are encoded together, and spaces at the end of the context belong to the
        continuation, as in lm-evaluation-harness. After an empty context, the model reads the token that begins or
        ends a text. If both are longer than the model's context, the oldest tokens are left out.

        Args:
            context: the text that is given; may be empty.
            continuation: the text that is scored.
            top: how many of the most likely tokens to report at each place.

        Raises:
            BadInput: the model is not a decoder, a continuation has no tokens or more than the context, or there are
                not as many continuations as contexts.
        """
        decoder = self._decoder()
        single = isinstance(context, str)
        contexts = [context] if isinstance(context, str) else list(context)
        continuations = [continuation] if isinstance(continuation, str) else list(continuation)
        if len(contexts) != len(continuations):
            raise BadInput(
                f"there are {len(contexts)} contexts and {len(continuations)} continuations; expected one continuation "
                "for each context: correct them."
            )
        pairs = [self._pair(*pair) for pair in zip(contexts, continuations, strict=True)]
        scores = score(decoder, [ids for ids, _ in pairs], [given for _, given in pairs], top=max(top, 1))
        found = [
            LogLikelihood(
                sum(token.logprob for token in tokens),
                all(token.token == token.top[0][0] for token in tokens),
                tuple(tokens),
            )
            for tokens in scores
        ]
        return found[0] if single else found

    def bits_per_byte(self, text: str) -> float:
        """Compute how many bits per UTF-8 byte a decoder needs for a text of any length; lower is better.

        The text is read in windows of the model's context, of which each begins with the last token of the one
        before. The token that ends the text is scored too.

        Raises:
            BadInput: the model is not a decoder, or the text is empty.
        """
        decoder = self._decoder()
        if not text:
            raise BadInput("the text is empty; expected at least one character: give some text.")
        window = decoder.config.context_length
        return document_bits(decoder, self.checkpoint.tokenizer, [[text]], window)["bits_per_byte"]

    @torch.inference_mode()
    def embed(self, texts: Sequence[str], *, batch_size: int = 32) -> Tensor:
        """Turn texts into vectors: the mean of the last hidden states of each text's tokens -> (len(texts), C).

        A text that is too long for the context is cut at its end. Of a classifier, the trunk is used.

        Raises:
            BadInput: the model is an encoder-decoder.
        """
        self._expect("decoder", "encoder", "classifier")
        found = self.checkpoint.model
        trunk = found.trunk if self.checkpoint.kind == "classifier" else found
        ids = encode_texts(self.checkpoint.tokenizer, texts, trunk.config.context_length)
        device, rows = trunk.wte.weight.device, []
        for start in range(0, len(ids), batch_size):
            part = ids[start : start + batch_size]
            lengths = torch.tensor([len(row) for row in part], device=device)
            x = trunk.read(pad(part, 0).to(device), lengths=lengths)
            real = torch.arange(x.shape[1], device=device) < lengths[:, None]
            rows.append((x * real[..., None]).sum(dim=1) / lengths[:, None])
        return torch.cat(rows) if rows else torch.empty(0, trunk.config.n_embd, device=device)

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
        texts = [text] if isinstance(text, str) else list(text)
        found = translate(self.checkpoint, texts, beam_size=beam_size, length_penalty=length_penalty)
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

    def _pair(self, context: str, continuation: str) -> tuple[list[int], int]:
        """Return the ids of a context and its continuation, and how many of them are given."""
        tokenizer = self.checkpoint.tokenizer
        bare = context.rstrip()
        context, continuation = bare, context[len(bare) :] + continuation
        before, whole = tokenizer.encode_batch([context, context + continuation])
        start = list(tokenizer.prefix_ids) or ([] if before else [tokenizer.eot_id])
        ids, given = [*start, *whole], len(start) + len(before)
        longest = self.checkpoint.config.model.context_length + 1
        if not 0 < len(ids) - given < longest:
            raise BadInput(
                f"the continuation {continuation[:40]!r} has {len(ids) - given} tokens; expected 1 to {longest - 1}: "
                "give another one, or use bits_per_byte for a long text."
            )
        return ids[-longest:], given - max(0, len(ids) - longest)


def _sampling(temperature: float, top_k: int, top_p: float, seed: int | None) -> Sampling:
    return Sampling(temperature, top_k, top_p, new_seed() if seed is None else seed)
