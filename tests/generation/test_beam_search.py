from itertools import product

import pytest
import torch

from groundup.errors import BadInput
from groundup.generation.beam_search import beam_search, penalty
from groundup.nn.encoder_decoder import EncoderDecoder
from tests.tiny import random_encoder_decoder

START = END = 4
SOURCES = [[1, 2, 3, 4], [3, 4], [2, 2, 1, 0, 4]]
LENGTHS = torch.tensor([len(source) for source in SOURCES])
SOURCE = torch.tensor([source + [0] * (5 - len(source)) for source in SOURCES])


def tiny(seed: int = 0) -> EncoderDecoder:
    """A model of five tokens, so that all texts of four tokens can be listed."""
    return random_encoder_decoder(seed=seed, vocab_size=5)


def search(
    model: EncoderDecoder, beam_size: int, length_penalty: float = 0.0, limits: list[int] | None = None
):
    with torch.inference_mode():
        memory = model.encode(SOURCE, LENGTHS)
    return beam_search(
        model,
        memory,
        start_id=START,
        end_id=END,
        beam_size=beam_size,
        length_penalty=length_penalty,
        max_tokens=limits or [4, 4, 4],
    )


@torch.inference_mode()
def log_probability(model: EncoderDecoder, source: list[int], tokens: list[int]) -> float:
    """The log probability of one sentence, in one pass without a cache."""
    hidden = model(torch.tensor([source]), torch.tensor([len(source)]), torch.tensor([[START, *tokens[:-1]]]))
    logs = model.logits(hidden)[0].log_softmax(-1)
    return float(logs[torch.arange(len(tokens)), tokens].sum())


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_a_beam_as_wide_as_the_tree_equals_exhaustive_search(length_penalty: float) -> None:
    model = tiny()
    words = [token for token in range(5) if token != END]
    ended = [[*text, END] for n in range(4) for text in product(words, repeat=n)]
    cut = [list(text) for text in product(words, repeat=4)]
    for source, found in zip(SOURCES, search(model, 4**4 + 1, length_penalty), strict=True):
        scores = {
            tuple(text): log_probability(model, source, text) / penalty(len(text), length_penalty)
            for text in [*ended, *cut]
        }
        best = sorted(scores, key=lambda text: -scores[text])
        assert [tuple(text.tokens) for text in found[:20]] == best[:20]
        assert [text.score for text in found[:20]] == pytest.approx(
            [scores[text] for text in best[:20]], abs=1e-4
        )


@pytest.mark.parametrize("seed", range(3))
def test_a_beam_of_one_equals_greedy_search_without_a_cache(seed: int) -> None:
    model = tiny(seed)
    limits = [9, 6, 9]
    for source, limit, found in zip(SOURCES, limits, search(model, 1, 1.0, limits), strict=True):
        tokens: list[int] = []
        with torch.inference_mode():
            while len(tokens) < limit and tokens[-1:] != [END]:
                idx = torch.tensor([[START, *tokens]])
                hidden = model(torch.tensor([source]), torch.tensor([len(source)]), idx)
                tokens.append(int(model.logits(hidden[:, -1]).argmax()))
        assert len(found) == 1
        assert found[0].tokens == tokens
        assert found[0].log_probability == pytest.approx(log_probability(model, source, tokens), abs=1e-4)


def test_a_source_has_the_same_texts_alone_and_in_a_batch() -> None:
    model = tiny(1)
    together = search(model, 3, 0.6, [7, 7, 7])
    for row, source in enumerate(SOURCES):
        with torch.inference_mode():
            memory = model.encode(torch.tensor([source]), torch.tensor([len(source)]))
        (alone,) = beam_search(
            model, memory, start_id=START, end_id=END, beam_size=3, length_penalty=0.6, max_tokens=[7]
        )
        assert [text.tokens for text in alone] == [text.tokens for text in together[row]]


def test_a_wider_beam_scores_no_less_here_and_the_best_text_comes_first() -> None:
    greedy, wide = search(tiny(2), 1), search(tiny(2), 4)
    for one, many in zip(greedy, wide, strict=True):
        assert many[0].score >= one[0].score - 1e-6
        assert [text.score for text in many] == sorted((text.score for text in many), reverse=True)
        assert all(text.tokens.count(END) <= 1 and len(text.tokens) <= 4 for text in many)


def test_length_penalty_by_hand() -> None:
    assert penalty(1, 0.6) == 1.0
    assert penalty(7, 1.0) == 2.0
    assert penalty(30, 0.0) == 1.0


def test_refuses_scores_that_are_not_finite() -> None:
    model = tiny()
    with torch.no_grad():
        model.decoder.wte.weight.fill_(float("nan"))
    for beam_size in (1, 3):
        with pytest.raises(BadInput, match="scores that are not finite numbers"):
            search(model, beam_size)
