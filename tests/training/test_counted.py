from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from groundup.errors import BadInput
from groundup.nn.decoder import Decoder
from groundup.training.counted import Contexts, CountedBatch, count_contexts, counted_batches, counted_lm
from tests.tiny import model_config

TEXT = np.array([0, 1, 0, 1, 0, 1, 2], dtype=np.uint16)


def everything(contexts: Contexts) -> CountedBatch:
    """Make a batch of all contexts with their counts."""
    arrays = (contexts.tokens, contexts.starts[:-1], contexts.following)
    weights = np.add.reduceat(contexts.counts, contexts.starts[:-1])
    return CountedBatch(
        *map(torch.from_numpy, arrays), *(torch.from_numpy(a).float() for a in (contexts.counts, weights))
    )


def test_counts_the_tokens_after_each_pair() -> None:
    contexts = count_contexts(TEXT, vocab_size=3)
    assert contexts.tokens.tolist() == [[0, 1], [1, 0]]
    assert contexts.starts.tolist() == [0, 2, 3]
    assert contexts.following.tolist() == [0, 2, 1]  # 0 and 2 follow 0 1, and 1 follows 1 0
    assert contexts.counts.tolist() == [2, 1, 2]


def test_a_text_without_a_context() -> None:
    with pytest.raises(BadInput, match="2 tokens"):
        count_contexts(TEXT[:2], vocab_size=3)


@pytest.mark.parametrize(
    "ngrams", [{"ngram_rows": 0, "ngram_embd": 0, "ngram_orders": ()}, {"ngram_orders": (1, 2)}]
)
def test_the_loss_and_its_gradients_are_those_of_the_decoder_on_each_place_of_the_text(
    ngrams: dict[str, Any],
) -> None:
    torch.manual_seed(0)
    model = Decoder(model_config(vocab_size=5, zero_init=True, token_shift=True, **ngrams))
    torch.nn.init.normal_(model.lm_head.weight)
    assert model.shift is not None
    torch.nn.init.normal_(model.shift)
    text = torch.randint(5, (60,))
    if model.ngrams is not None:
        model.ngrams.learn(text)
        assert model.ngrams.known >= 20
    loss, count = counted_lm(model, everything(count_contexts(text.numpy(), vocab_size=5)))
    windows = text.unfold(0, 3, 1)
    logits = model.logits(model(windows[:, :2])[:, -1])  # the blocks add nothing yet
    expected = F.cross_entropy(logits, windows[:, 2], reduction="sum")
    assert float(count) == 58
    torch.testing.assert_close(loss, expected)
    trained: list[Tensor] = [model.wte.weight, model.shift, model.lm_head.weight]
    if model.ngrams is not None:
        trained += [model.ngrams.table.weight, model.ngrams.c_ngram.weight]
    torch.testing.assert_close(
        torch.autograd.grad(loss, trained), torch.autograd.grad(expected, trained), rtol=1e-4, atol=1e-3
    )


def test_draws_have_the_loss_of_the_text_on_average() -> None:
    contexts = count_contexts(TEXT, vocab_size=3)
    (batch,) = counted_batches(contexts, batch_size=40_000, seed=1)(0)
    first = batch.idx[:, 0] == 0
    assert float(first.float().mean()) == pytest.approx(3**0.5 / (3**0.5 + 2**0.5), abs=0.01)
    assert float(batch.weights[first].sum() / batch.weights.sum()) == pytest.approx(3 / 5, abs=0.01)
    rare = batch.shares[batch.following == 2]  # only after 0 1, in one of three places
    torch.testing.assert_close(rare, torch.full_like(rare, 3**0.5 / 3))


def test_batches_depend_only_on_seed_and_step() -> None:
    contexts = count_contexts(np.arange(100, dtype=np.uint16) % 7, vocab_size=7)
    (one,), (same,) = (counted_batches(contexts, 16, seed=3)(5) for _ in range(2))
    (other,) = counted_batches(contexts, 16, seed=3)(6)
    assert torch.equal(one.idx, same.idx)
    assert not torch.equal(one.idx, other.idx)


def test_longer_ngrams_than_a_context_add_nothing() -> None:
    torch.manual_seed(0)
    ngrams = Decoder(model_config(vocab_size=5, ngram_rows=7, ngram_orders=(3, 2))).ngrams
    assert ngrams is not None
    ngrams.learn(torch.tensor([4, 0, 1, 4, 0, 1, 3, 2, 3, 2]))
    pairs, triples = torch.tensor([[0, 1], [3, 2]]), torch.tensor([[4, 0, 1], [4, 3, 2]])
    found = ngrams(pairs)
    assert bool(found.any(dim=1).all()) and not torch.allclose(found, ngrams(triples))
    with torch.no_grad():
        ngrams.table.weight[ngrams.rows(triples, (3,))] = 0.0
    torch.testing.assert_close(found, ngrams(triples))
