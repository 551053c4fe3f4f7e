import pytest
import torch
from torch import Tensor

from groundup.nn.ngrams import NgramEmbedding
from tests.tiny import model_config, random_decoder

TEXT = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 4])
START = 11  # the id of places before the first token


def learned(rows: int = 5, orders: tuple[int, ...] = (2, 3), text: Tensor = TEXT) -> NgramEmbedding:
    """The n-gram embedding of 11 tokens that has seen a text."""
    torch.manual_seed(0)
    ngrams = NgramEmbedding(model_config(vocab_size=11, ngram_rows=rows, ngram_orders=orders))
    ngrams.learn(text)
    return ngrams


def code(*tokens: int) -> int:
    return sum((token + 1) * 13**place for place, token in enumerate(reversed(tokens)))


def test_the_most_frequent_ngrams_are_learned() -> None:
    # 0 1 occurs three times; 1 2, 2 0, 0 1 2, 1 2 0 and 2 0 1 twice; 1 4 and 0 1 4 once
    twice = [code(1, 2), code(2, 0), code(0, 1, 2), code(1, 2, 0), code(2, 0, 1)]
    assert learned(rows=3).codes.tolist() == [0, code(0, 1), code(1, 2)]  # the shorter first
    all_rows = learned(rows=9)
    assert all_rows.codes.tolist() == [0, code(0, 1), *twice, 2**63 - 1, 2**63 - 1]
    assert all_rows.known == 6
    assert learned(orders=(3,)).codes[1:4].tolist() == twice[2:]


@pytest.mark.parametrize("text", [TEXT[:0], TEXT[:1], TEXT[:3]], ids=len)
def test_a_text_without_repetition_has_no_ngrams(text: Tensor) -> None:
    ngrams = learned(text=text)
    assert ngrams.known == 0
    assert not ngrams.rows(TEXT.unfold(0, 3, 1), (2, 3)).any()


def test_learning_again_forgets_the_first_text() -> None:
    ngrams = learned(rows=9)
    ngrams.learn(torch.tensor([5, 6, 5, 6]))
    assert ngrams.codes[:2].tolist() == [0, code(5, 6)] and ngrams.known == 1


def test_vectors_by_hand() -> None:
    ngrams = learned()  # the rows are: none, 0 1, 1 2, 2 0, 0 1 2
    torch.nn.init.normal_(ngrams.table.weight[1:])
    places = torch.tensor([[START, START, 0, 1, 2, 9]]).unfold(
        1, 3, 1
    )  # each token after its two predecessors
    expected = [[0, 0], [1, 0], [2, 4], [0, 0]]
    assert ngrams.rows(places, (2, 3))[0].tolist() == expected
    with torch.no_grad():
        ngrams.table.weight[0] = 0.0
        for found, rows in zip(ngrams(places)[0], expected, strict=True):
            concatenated = torch.cat([ngrams.table.weight[row] for row in rows])  # (12,)
            torch.testing.assert_close(found, ngrams.c_ngram.weight @ concatenated)
            assert bool(found.any()) == any(rows)


def test_the_vector_of_other_ngrams_stays_0() -> None:
    model = random_decoder(vocab_size=11).train()
    assert model.ngrams is not None
    model(torch.randint(11, (2, 12))).sum().backward()
    gradient = model.ngrams.table.weight.grad
    assert gradient is not None and gradient[1:].any() and not gradient[0].any()


def test_every_code_of_the_largest_vocabulary_fits() -> None:
    size = 2_000_000  # with trigrams, 2,000,002 ** 3 < 2 ** 63
    ngrams = NgramEmbedding(model_config(vocab_size=size, ngram_rows=4, ngram_orders=(3,)))
    ngrams.learn(torch.full((9,), size - 1))
    assert ngrams.rows(torch.full((1, 3), size - 1), (3,)).tolist() == [[1]]
