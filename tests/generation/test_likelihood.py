import pytest
import torch

from groundup.errors import BadInput
from groundup.generation import likelihood
from groundup.generation.likelihood import score, windows
from groundup.nn.decoder import Decoder
from tests.tiny import random_decoder

CONTEXT = 12  # of random_decoder


@torch.no_grad()
def alone(model: Decoder, ids: list[int]) -> torch.Tensor:
    """The log-probabilities of the next token after `ids`, which are read by themselves."""
    return model.logits(model(torch.tensor([ids])))[0, -1].log_softmax(dim=-1)


@pytest.mark.parametrize(
    ("length", "given", "expected"),
    [
        (4, 1, [(0, 1, 4)]),
        (6, 1, [(0, 1, 6)]),  # five tokens are read
        (7, 1, [(0, 1, 6), (1, 6, 7)]),  # the last window reads as many
        (16, 1, [(0, 1, 6), (5, 6, 11), (10, 11, 16)]),
        (9, 8, [(3, 8, 9)]),  # of a long context, the beginning is not read
        (9, 2, [(1, 2, 7), (3, 7, 9)]),
        (3, 3, []),
    ],
)
def test_windows_by_hand(length: int, given: int, expected: list[tuple[int, int, int]]) -> None:
    assert [(w.start, w.first, w.end) for w in windows(0, length, given, 5)] == expected
    assert all(w.length <= 5 for w in windows(0, length, given, 5))


@pytest.mark.parametrize(("read", "scored"), [(2**13, 2**8), (20, 3)])
def test_equals_token_by_token(read: int, scored: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likelihood, "READ_AT_ONCE", read)
    monkeypatch.setattr(likelihood, "SCORED_AT_ONCE", scored)
    model, generator = random_decoder(), torch.Generator().manual_seed(1)
    lengths, given = [5, 2, 40, 1, 13, 30], [1, 1, 1, 1, 4, 29]
    rows = [torch.randint(11, (n,), generator=generator).tolist() for n in lengths]
    found = score(model, rows, given, top=3)
    for ids, first, tokens in zip(rows, given, found, strict=True):
        assert [token.token for token in tokens] == ids[first:]
        for n, token in enumerate(tokens, start=first):
            block = first + (n - first) // CONTEXT * CONTEXT
            start = max(0, min(block + CONTEXT, len(ids)) - 1 - CONTEXT)
            logprobs = alone(model, ids[start:n])
            assert token.logprob == pytest.approx(float(logprobs[ids[n]]), abs=1e-5)
            assert [i for i, _ in token.top] == logprobs.topk(3).indices.tolist()


def test_refuses_texts_without_a_first_token_and_scores_that_are_not_finite() -> None:
    model = random_decoder()
    for ids, given in (([], 0), ([1, 2], 0), ([1, 2], 3)):
        with pytest.raises(BadInput, match=f"{len(ids)} tokens, of which {given} are given"):
            score(model, [ids], [given])
    with torch.no_grad():
        model.lm_head.weight[3] = torch.inf
    with pytest.raises(BadInput, match="not finite"):
        score(model, [[1, 2]])
