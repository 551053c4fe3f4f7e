"""The log-likelihood of a continuation of a text, measured as lm-evaluation-harness does (Gao et al. 2024)."""

from collections.abc import Sequence
from dataclasses import dataclass

from groundup.errors import BadInput
from groundup.evaluation.language_model import bits_per_byte
from groundup.generation.likelihood import score
from groundup.generation.logprobs import TokenLogprob
from groundup.nn.decoder import Decoder
from groundup.tokenizers.loading import Tokenizer


@dataclass(frozen=True)
class LogLikelihood:
    """How likely a model finds a continuation of a text.

    Attributes:
        total: the natural logarithm of its probability: the sum over `tokens`.
        is_greedy: whether the model would write it if it always took the most likely token.
        tokens: the log-probability of each token.
        n_bytes: length of the continuation in UTF-8, with the spaces at the end of the context.
    """

    total: float
    is_greedy: bool
    tokens: tuple[TokenLogprob, ...]
    n_bytes: int

    @property
    def bits_per_byte(self) -> float:
        """Bits that the model needs for a byte of the continuation, which can be compared across tokenizers."""
        return bits_per_byte(-self.total, self.n_bytes)


def log_likelihoods(
    model: Decoder,
    tokenizer: Tokenizer,
    pairs: Sequence[tuple[str, str]],
    *,
    top: int = 1,
    description: str | None = None,
) -> list[LogLikelihood]:
    """Compute how likely a decoder finds the continuation of each context.

    Context and continuation are encoded together, and spaces at the end of the context belong to the continuation.
    The model reads the token that it expects before each text, or, after an empty context, the one that ends texts. If
    a text does not fit the model's context, the tokens that are furthest away are left out; a continuation that is
    longer than the context is read in windows (see `likelihood.windows`).

    Args:
        model: the decoder.
        tokenizer: its tokenizer.
        pairs: contexts, which may be empty, with their continuations.
        top: how many of the most likely tokens to report at each place, at least 1.
        description: title of the progress bar; None: show no bar.

    Raises:
        BadInput: a continuation is empty, or has no tokens of its own.
    """
    bare = [context.rstrip() for context, _ in pairs]
    ends = [context[len(kept) :] + more for kept, (context, more) in zip(bare, pairs, strict=True)]
    before = tokenizer.encode_batch(bare)
    whole = tokenizer.encode_batch([kept + end for kept, end in zip(bare, ends, strict=True)])
    sequences, given = [], []
    for ids, known, end in zip(whole, before, ends, strict=True):
        if len(ids) <= len(known):
            raise BadInput(
                f"the continuation {end[:40]!r} has no token of its own; expected at least one: give some text."
            )
        start = tokenizer.prefix_ids or (() if known else (tokenizer.eot_id,))
        sequences.append([*start, *ids])
        given.append(len(start) + len(known))
    scores = score(model, sequences, given, top=max(top, 1), description=description)
    return [
        LogLikelihood(
            sum(token.logprob for token in tokens),
            all(token.token == token.top[0][0] for token in tokens),
            tuple(tokens),
            len(end.encode()),
        )
        for tokens, end in zip(scores, ends, strict=True)
    ]
