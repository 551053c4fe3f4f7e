"""Greedy and beam search with an encoder-decoder, for a batch of sources, with a key/value cache.

Beam search of width K keeps the K most likely prefixes (beams) of a text for each source. Each step extends
all of them by every token and again keeps the best K. With K = 1 it is greedy search. A longer text always
has a lower probability, so finished texts are compared by a score that depends on their length (Wu et al.
2016, eq. 14):

    log p(text | source) / lp(length),    lp(n) = ((5 + n) / 6) ** length_penalty

Shapes: N unfinished sources, K beams, V tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from groundup.nn.attention import Memory
from groundup.nn.encoder_decoder import EncoderDecoder
from groundup.nn.transformer import check_finite


@dataclass(frozen=True)
class Hypothesis:
    """A finished text of beam search.

    Attributes:
        tokens: its token ids; the last is the end token, unless the text was cut.
        log_probability: the sum over its tokens, in nats.
        score: log_probability / lp(length).
    """

    tokens: list[int]
    log_probability: float
    score: float


def penalty(length: int, length_penalty: float) -> float:
    """Return lp(length), by which beam search divides the log probability of a text of `length` tokens."""
    return float(((5 + length) / 6) ** length_penalty)


@torch.inference_mode()
def beam_search(
    model: EncoderDecoder,
    memory: Memory,
    *,
    start_id: int,
    end_id: int,
    beam_size: int,
    length_penalty: float,
    max_tokens: Sequence[int],
) -> list[list[Hypothesis]]:
    """Find the best texts for each encoded source by beam search.

    The search for a source ends when it has `beam_size` finished texts, and its best unfinished text would
    score no higher than the worst of them if it ended here. The source then leaves the batch, so the others
    get faster. Stopping at the first `beam_size` finished texts would keep bad texts only because they are
    short.

    Args:
        model: the encoder-decoder.
        memory: the encoded sources.
        start_id: the first token of the decoder's input.
        end_id: the token that ends a text.
        beam_size: K.
        length_penalty: the exponent in lp; 0 = no penalty.
        max_tokens: for each source, the length at which its texts are cut.

    Returns:
        For each source, 1 to `beam_size` texts, the best first.

    Raises:
        BadInput: the model's logits are not finite.
    """
    n, device = len(memory.mask), memory.mask.device
    limits = torch.tensor(list(max_tokens), device=device)
    found: list[list[Hypothesis]] = [[] for _ in range(n)]
    rows = list(range(n))  # the source of each of the N rows
    cache = model.empty_cache(memory, int(limits.max())).keep(
        torch.arange(n, device=device).repeat_interleave(beam_size)
    )
    # one prefix at first: the others are copies of it and must not be chosen
    totals = torch.full((n, beam_size), -torch.inf, device=device)
    totals[:, 0] = 0.0
    last = torch.full((n * beam_size, 1), start_id, device=device)
    for length in range(1, int(limits.max()) + 1):
        logits = model.logits(model.decode(last, cache)[:, -1]).float()
        check_finite(logits.amax(dim=-1))
        cache.lengths += 1
        scores = totals[:, :, None] + logits.log_softmax(dim=-1).view(len(rows), beam_size, -1)
        # 2 K candidates: at most K of them end here, so K are left to continue
        best, where = scores.flatten(1).topk(min(2 * beam_size, scores[0].numel()), dim=1)
        beams, tokens = where // scores.shape[2], where % scores.shape[2]
        done = (tokens == end_id) | (length >= limits[:, None])
        texts = cache.tokens.view(len(rows), beam_size, -1)
        for i, j in (done & (best > -torch.inf)).nonzero().tolist():
            if j < beam_size:  # a text that ends outside the K best is no better than the K that continue
                written = [*texts[i, beams[i, j], 1:length].tolist(), int(tokens[i, j])]
                total = float(best[i, j])
                found[rows[i]].append(Hypothesis(written, total, total / penalty(length, length_penalty)))
        order = torch.where(done, -torch.inf, best).topk(beam_size, dim=1)
        totals, chosen = order.values, order.indices
        attainable = (totals[:, 0] / penalty(length, length_penalty)).tolist()
        going = []
        for i, row in enumerate(rows):
            found[row] = sorted(found[row], key=lambda text: -text.score)[:beam_size]
            settled = len(found[row]) == beam_size and found[row][-1].score >= attainable[i]
            if attainable[i] > -torch.inf and not settled:
                going.append(i)
        if not going:
            break
        keep = torch.tensor(going, device=device)
        origin = (keep[:, None] * beam_size + beams.gather(1, chosen)[keep]).flatten()
        if beam_size > 1 or len(going) < len(rows):  # the beams of one source read the same memory
            cache = cache.keep(origin, same_memory=len(going) == len(rows))
        totals, limits = totals[keep], limits[keep]
        last = tokens.gather(1, chosen)[keep].view(-1, 1)
        rows = [rows[i] for i in going]
    return found
