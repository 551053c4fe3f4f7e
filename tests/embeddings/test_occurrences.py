import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from groundup.embeddings.occurrences import (
    Occurrence,
    contextual_vectors,
    occurrence_of,
    occurrences,
    token_spans,
    unit,
)
from groundup.errors import BadInput
from groundup.nn.attention import Trace
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tokenizers.characters import CharacterTokenizer
from groundup.tokenizers.normalization import Normalization
from groundup.tokenizers.wordpiece import WordPieceConfig, WordPieceTokenizer, WordRules
from tests.tiny import random_decoder, random_encoder

TEXT = "the bank by the river, the bank by the bank; low lower lowest don't don't"
CASED = WordRules(Normalization(True, True, False, False), "bert", 12)
TOKENIZERS = {
    "bpe": BPETokenizer.train([TEXT], 290),
    "gpt4": BPETokenizer.train(["(bank"] * 3, 262, pattern="gpt4"),
    "bytes": BPETokenizer.train([TEXT], 257),
    "characters": CharacterTokenizer.train([TEXT]),
    "wordpiece": WordPieceTokenizer.train(
        [TEXT], WordPieceConfig("wordpiece", 60, CASED, alphabet_limit=40, min_pair_count=2)
    ),
}


def pieces(kind, word, text):
    """The tokens of the span, each as text."""
    tokenizer = TOKENIZERS[kind]
    [(first, last)] = token_spans(tokenizer, [occurrence_of(word, text)])
    ids = tokenizer.encode(text)
    if kind in ("bpe", "gpt4", "bytes"):
        return [tokenizer.decode([i]) for i in ids[first:last]]
    return tokenizer.pieces(text)[first:last]


@pytest.mark.parametrize(
    ("kind", "word", "text", "expected"),
    [
        ("bpe", "bank", "by the bank, low", [" bank"]),  # the space belongs to its word
        ("bpe", "bank", "the (bank) low", ["b", "an", "k"]),
        ("bpe", "lower", "the river\nlower", ["l", "o", "w", "er"]),
        ("bpe", "don't", "the don't low", [" don", "'t"]),
        ("bpe", "bank", "é 👍 bank", [" bank"]),
        ("bytes", "bank", "the bank, low", list("bank")),  # a space by itself belongs to no word
        ("bytes", "low", "low", list("low")),
        ("gpt4", "bank", "(bank", ["(bank"]),  # a token that crosses the edge of the word
        ("characters", "bank", "by the bank.", list("bank")),
        ("characters", "zoo", "the zoo", ["\ufffd", "o", "o"]),
        ("wordpiece", "bank", "by the bank, low", ["bank"]),
        ("wordpiece", "lowest", "the lowest!", ["low", "##e", "##s", "##t"]),
        ("wordpiece", "don't", "a don't low", ["don", "'", "t"]),
        ("wordpiece", "qqq", "the qqq low", ["[UNK]"]),
    ],
)
def test_spans_by_hand(kind, word, text, expected):
    found = pieces(kind, word, text)
    assert "".join(found).replace("##", "") == "".join(expected).replace("##", "")
    if kind not in ("bpe", "wordpiece") or len(expected) == 1:  # several pieces depend on the training
        assert found == expected


@given(
    st.lists(st.sampled_from("the bank lower zoo don't x".split()), min_size=1, max_size=8),
    st.lists(st.sampled_from([" ", ", ", ". ", "\n", " - "]), min_size=8, max_size=8),
    st.sampled_from(["bpe", "bytes", "characters", "wordpiece"]),
)
def test_spans_contain_their_words_and_do_not_overlap(words, gaps, kind):
    text = "".join(word + gap for word, gap in zip(words, gaps, strict=False))
    tokenizer, places = TOKENIZERS[kind], occurrences(text)
    assert [place.word for place in places] == words
    spans = token_spans(tokenizer, places)
    ends = [0, *(end for span in spans for end in span)]
    assert ends == sorted(ends) and all(first < last for first, last in spans)
    if kind in ("bpe", "bytes"):
        ids = tokenizer.encode(text)
        assert [tokenizer.decode(ids[a:b]).strip() for a, b in spans] == words


def test_words_are_those_of_static_embeddings():
    assert [p.word for p in occurrences("Don’t, 2 DON'T! snake_case")] == "don't 2 don't snake case".split()
    with pytest.raises(BadInput, match="'low' occurs 2 times in 'low low'; expected once"):
        occurrence_of("low", "low low")


def test_a_word_without_tokens_is_reported():
    class Silent(CharacterTokenizer):
        def encode(self, text):
            return [i for i, c in zip(super().encode(text), text, strict=True) if c != "x"]

    with pytest.raises(BadInput, match="has no token for 'x' in 'a x b'"):
        token_spans(Silent("abx "), [occurrence_of("x", "a x b")])


def models():
    sizes = {"vocab_size": TOKENIZERS["bpe"].vocab_size, "context_length": 16}
    return random_decoder(**sizes), random_encoder("gpt2", **sizes)


PLACES = [
    occurrence_of(*pair)
    for pair in (("bank", "the bank by the river"), ("river", "the bank by the river"), ("low", "low"))
]


@pytest.mark.parametrize("which", [0, 1])
def test_vectors_equal_the_model_s_for_any_batch_size(which):
    model, tokenizer = models()[which], TOKENIZERS["bpe"]
    found = contextual_vectors(model, tokenizer, PLACES, batch_size=8)
    alone = contextual_vectors(model, tokenizer, PLACES, batch_size=1)
    np.testing.assert_allclose(found.target, alone.target, atol=1e-5)
    np.testing.assert_allclose(found.last, alone.last, atol=1e-5)
    assert found.target.shape == found.last.shape == (3, 3, 16)
    text, trace = PLACES[1].text, Trace()
    ids = tokenizer.encode(text)
    [(first, last)] = token_spans(tokenizer, PLACES[1:2])
    assert last - first > 1
    with torch.no_grad():
        model(torch.tensor([[tokenizer.eot_id, *ids, tokenizer.eot_id]]), trace=trace)
    for layer, hidden in enumerate(trace.hidden):
        np.testing.assert_allclose(
            found.target[layer, 1], hidden[0, 1 + first : 1 + last].mean(dim=0), atol=1e-5
        )
        np.testing.assert_allclose(found.last[layer, 1], hidden[0, -2], atol=1e-5)


def test_right_context_changes_a_word_s_vector_in_an_encoder_only():
    places = [occurrence_of("bank", text) for text in ("the bank by the river", "the bank by the low")]
    decoder, encoder = (contextual_vectors(model, TOKENIZERS["bpe"], places, 2) for model in models())
    np.testing.assert_array_equal(decoder.target[:, 0], decoder.target[:, 1])
    assert not np.allclose(decoder.last[:, 0], decoder.last[:, 1], atol=1e-3)
    np.testing.assert_array_equal(encoder.target[0, 0], encoder.target[0, 1])
    assert not np.allclose(encoder.target[1, 0], encoder.target[1, 1], atol=1e-3)


def test_a_text_longer_than_the_context_is_reported():
    place = Occurrence("low " * 20, 0, 3)
    with pytest.raises(
        BadInput, match=r"has \d+ tokens with both end-of-text tokens; the model reads at most 16"
    ):
        contextual_vectors(models()[0], TOKENIZERS["bpe"], [place], 1)


def test_unit_keeps_a_zero_vector():
    np.testing.assert_allclose(unit(np.array([[3.0, 4.0], [0.0, 0.0]])), [[0.6, 0.8], [0.0, 0.0]])
