import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from gensim.models import Word2Vec as Gensim
from torch import Tensor

from groundup.embeddings.vocabulary import Corpus, build_vocabulary
from groundup.embeddings.word2vec import (
    NOISE_POWER,
    TextBlocks,
    Word2Vec,
    cbow,
    keep_probabilities,
    skip_gram,
    text_batches,
    windows,
)
from tests.embeddings import toy

V, D, B, N, W, M, K = 9, 4, 3, 5, 2, 6, 5


@pytest.fixture
def model() -> Word2Vec:
    torch.manual_seed(0)
    model = Word2Vec(V, D).double()
    for table in (model.words, model.contexts):
        torch.nn.init.normal_(table.weight)
    return model


@pytest.fixture
def batch() -> TextBlocks:
    generator = torch.Generator().manual_seed(1)

    def draw(high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, generator=generator)

    left, right = draw(W + 1, B, N).to(torch.int16), draw(W + 1, B, N).to(torch.int16)
    left[0, 0] = right[0, 0] = 0  # a centre without context
    return TextBlocks(draw(V, B, N + 2 * W), left, right, draw(V, B, M), tokens=15)


def naive_skip_gram(model: Word2Vec, batch: TextBlocks, noise: Tensor | None = None) -> tuple[Tensor, int]:
    """The loss, one pair at a time; with `noise` (V,), the expectation over negatives drawn from it."""
    u, v = model.words.weight, model.contexts.weight
    loss, pairs = u.new_zeros(()), 0
    for b in range(B):
        for i in range(N):
            place = W + i
            for j in range(place - int(batch.left[b, i]), place + int(batch.right[b, i]) + 1):
                if j == place:
                    continue
                pairs += 1
                centre = u[batch.ids[b, place]]
                loss = loss - F.logsigmoid(centre @ v[batch.ids[b, j]])
                if noise is None:
                    against = [F.logsigmoid(-centre @ v[n]) / M for n in batch.negatives[b]]
                else:
                    against = [F.logsigmoid(-centre @ v[n]) * noise[n] for n in range(V)]
                loss = loss - K * torch.stack(against).sum()
    return loss, pairs


def naive_cbow(model: Word2Vec, batch: TextBlocks) -> tuple[Tensor, int]:
    u, v = model.words.weight, model.contexts.weight
    loss, centres = u.new_zeros(()), 0
    for b in range(B):
        for i in range(N):
            place = W + i
            around = [
                j
                for j in range(place - int(batch.left[b, i]), place + int(batch.right[b, i]) + 1)
                if j != place
            ]
            if not around:
                continue
            centres += 1
            h = torch.stack([u[batch.ids[b, j]] for j in around]).mean(dim=0)
            loss = loss - F.logsigmoid(h @ v[batch.ids[b, place]])
            loss = loss - K / M * sum(F.logsigmoid(-h @ v[n]) for n in batch.negatives[b])
    return loss, centres


def gradients(model: Word2Vec, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(model.parameters())))


@pytest.mark.parametrize(("objective", "naive"), [(skip_gram, naive_skip_gram), (cbow, naive_cbow)])
def test_matrix_products_equal_single_pairs(model, batch, objective, naive):
    loss, count = objective(model, batch, K)
    expected, terms = naive(model, batch)
    torch.testing.assert_close(loss, expected)
    assert int(count) == terms
    for ours, theirs in zip(gradients(model, loss), gradients(model, expected), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_shared_negatives_have_the_expectation_of_k_draws_per_pair(model, batch):
    """The loss is linear in the negatives: its expectation over one draw per block is a weighted sum over V cases."""
    noise = torch.arange(1, V + 1, dtype=torch.float64) / (V * (V + 1) / 2)
    mean = model.words.weight.new_zeros(())
    for word in range(V):
        shared = TextBlocks(batch.ids, batch.left, batch.right, torch.full((B, 1), word), 0)
        mean = mean + noise[word] * skip_gram(model, shared, K)[0]
    expected, _ = naive_skip_gram(model, batch, noise)
    torch.testing.assert_close(mean, expected)
    for ours, theirs in zip(gradients(model, mean), gradients(model, expected), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_loss_of_an_untrained_model():
    """Context vectors start at zero, so every product is 0 and each of 1 + k terms costs log 2."""
    corpus = build_vocabulary(toy.documents(9), 1).encode(toy.documents(9))
    vocabulary = build_vocabulary(toy.documents(9), 1)
    batches, _ = text_batches(corpus, vocabulary.counts, toy.config().word2vec, seed=1)
    for objective in (skip_gram, cbow):
        loss, count = objective(Word2Vec(len(vocabulary), 4), batches(0)[0], negative=5)
        assert float(loss.detach() / count) == pytest.approx(6 * math.log(2))


def test_subsampling_equals_gensim_s():
    documents = toy.documents()
    vocabulary = build_vocabulary(documents, 1)
    reference = Gensim(sentences=documents, vector_size=2, min_count=1, sample=0.02, epochs=1, workers=1)
    theirs = [reference.wv.get_vecattr(word, "sample_int") / 2**32 for word in vocabulary.words]
    ours = keep_probabilities(vocabulary.counts, 0.02)
    assert ours.min() < 0.9
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert keep_probabilities(vocabulary.counts, 0).tolist() == [1.0] * len(vocabulary)


def test_windows_end_at_the_edges_of_the_document():
    documents = np.array([0] * 7 + [2] + [3] * 30)
    left, right = windows(documents, 4, np.random.default_rng(0))
    for place, (before, after) in enumerate(zip(left, right, strict=True)):
        inside = documents[place - before : place + after + 1]
        assert (inside == documents[place]).all()
    assert (left[7], right[7]) == (0, 0)
    assert (
        left[15:30] == right[15:30]
    ).all()  # far from both edges only the draw matters, and it is the same for both sides
    assert set(left[15:30]) == {1, 2, 3, 4}


def pairs_of(corpus: Corpus, counts: np.ndarray, epoch: int = 0, **changes) -> tuple[list, list[TextBlocks]]:
    batches, steps = text_batches(corpus, counts, toy.config(**changes).word2vec, seed=3)
    found, read = [], []
    for step in range(epoch * steps, (epoch + 1) * steps):
        [batch] = batches(step)
        read.append(batch)
        blocks, centres, contexts = torch.nonzero(batch.band(), as_tuple=True)
        found += list(
            zip(batch.centres[blocks, centres].tolist(), batch.ids[blocks, contexts].tolist(), strict=True)
        )
    return found, read


def test_an_epoch_reads_every_pair_once():
    """With window 1 nothing is random: the pairs are all neighbours, in both directions."""
    corpus = Corpus(np.arange(500), np.repeat([0, 1, 2], [3, 297, 200]), raw_words=600)
    found, read = pairs_of(corpus, np.ones(500, dtype=np.int64), window=1)
    expected = [(i, j) for i in range(500) for j in (i - 1, i + 1)
                if 0 <= j < 500 and corpus.documents[i] == corpus.documents[j]]  # fmt: skip
    assert sorted(found) == sorted(expected)
    assert sum(batch.tokens for batch in read) == 600


def test_batches_are_a_function_of_the_step():
    corpus = build_vocabulary(toy.documents(), 1).encode(toy.documents())
    counts = build_vocabulary(toy.documents(), 1).counts
    first, steps = text_batches(corpus, counts, toy.config(sample=0.01).word2vec, seed=3)
    second, _ = text_batches(corpus, counts, toy.config(sample=0.01).word2vec, seed=3)
    for step in (steps, 0, 2 * steps - 1):  # in another order, with another epoch in between
        [one], [two] = first(step), second(step)
        for name in ("ids", "left", "right", "negatives"):
            assert torch.equal(getattr(one, name), getattr(two, name))
    assert not torch.equal(first(0)[0].ids, first(steps)[0].ids[: len(first(0)[0].ids)])


def test_negatives_follow_the_three_quarter_power():
    documents = [["often"] * 81 + ["seldom"] * 16]
    vocabulary = build_vocabulary(documents, 1)
    corpus = vocabulary.encode(documents * 20)
    changes = {"block_negatives": 200, "step_words": 10**6}
    _, [batch] = pairs_of(corpus, vocabulary.counts, **changes)
    share = float((batch.negatives == 0).float().mean())
    assert NOISE_POWER == 0.75
    assert share == pytest.approx(27 / (27 + 8), abs=0.01)


def test_subsampled_text_keeps_the_expected_share():
    documents = toy.documents(400)
    vocabulary = build_vocabulary(documents, 1)
    corpus = vocabulary.encode(documents)
    _, read = pairs_of(corpus, vocabulary.counts, sample=0.02)
    _, again = pairs_of(corpus, vocabulary.counts, epoch=1, sample=0.02)
    expected = float(keep_probabilities(vocabulary.counts, 0.02)[corpus.ids].sum())
    for batches in (read, again):
        kept = sum(int(((batch.left + batch.right) > 0).sum()) for batch in batches)
        assert kept == pytest.approx(expected, rel=0.02)


def test_the_widest_window_reaches_every_word_of_a_long_document() -> None:
    words, widest = 300, 100
    reach = torch.full((1, words), widest, dtype=torch.int16)
    batch = TextBlocks(
        torch.zeros(1, words + 2 * widest, dtype=torch.long), reach, reach, torch.zeros(1, 4).long(), 0
    )
    assert batch.band().sum(dim=-1).unique().tolist() == [2 * widest]
    pairs = skip_gram(Word2Vec(2, 4), batch, negative=2)[1]
    assert int(pairs) == 2 * widest * words
