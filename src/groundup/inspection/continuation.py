"""A text that a model continues, with the probability of every token and what could stand there instead."""

from collections.abc import Sequence
from dataclasses import dataclass

from groundup.checkpoint import Checkpoint
from groundup.generation.decoding import generate
from groundup.generation.likelihood import score
from groundup.generation.logprobs import TokenLogprob
from groundup.generation.sampling import Sampling


@dataclass(frozen=True)
class Continuation:
    """A continued text.

    Attributes:
        ids: all tokens: those that were given, then the new ones.
        given: number of tokens that were given.
        scores: the scores of all tokens but the first, which nothing predicts.
        ended: whether the model ended the text.
    """

    ids: list[int]
    given: int
    scores: list[TokenLogprob]
    ended: bool


def continue_text(
    checkpoint: Checkpoint, ids: Sequence[int], *, max_new_tokens: int, sampling: Sampling, top: int
) -> Continuation:
    """Continue a text with a decoder, and score all its tokens.

    Args:
        checkpoint: the decoder.
        ids: the beginning of the text, at least one token.
        max_new_tokens: most tokens to add; 0 scores the beginning alone.
        sampling: how tokens are chosen. The scores are those at temperature 1, whatever the sampling.
        top: how many of the most likely tokens to report at each place.

    Raises:
        BadInput: the text leaves no space in the context, or the model's logits are not finite.
    """
    new: list[int] = []
    if max_new_tokens:
        [new] = generate(
            checkpoint.model,
            [ids],
            max_new_tokens=max_new_tokens,
            sampling=sampling,
            stop_ids=checkpoint.stop_ids,
        )
    whole = [*ids, *new]
    [scores] = score(checkpoint.model, [whole], top=top)
    ended = len(new) < max_new_tokens and len(whole) < checkpoint.config.model.context_length
    return Continuation(whole, len(ids), scores, ended)
