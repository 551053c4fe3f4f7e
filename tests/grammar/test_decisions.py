import numpy as np
import pytest

from groundup.evaluation.ngram_baselines import NgramScores
from groundup.grammar.decisions import accuracies, decisions, occur_in, of_decoder, of_ngrams, table
from groundup.grammar.minimal_pairs import MinimalPair, minimal_pairs
from groundup.tokenizers.bpe import BPETokenizer
from tests.tiny import random_decoder

PAIRS = [
    MinimalPair("a", 0, "He goes.", "He go."),
    MinimalPair("a", 0, "They go.", "They goes."),
    MinimalPair("b", 0, "I see it.", "I it see."),
    MinimalPair("b", 1, "See it!", "It see!"),
]


def test_a_decision_is_right_if_the_right_sentence_is_more_likely() -> None:
    """The measure prefers short sentences; ties are wrong."""
    right = decisions(PAIRS, lambda sentences: [-len(sentence) for sentence in sentences])
    assert right == [False, True, False, False]
    assert accuracies(PAIRS, right) == {"a": 0.5, "b": 0.0}


def test_the_table_by_hand() -> None:
    right = {"model": [True, True, True, False], "ngrams": [False] * 4}
    found = table(PAIRS, right, leaked=[True, False, False, False])
    assert found["pairs"] == 4 and found["chance"] == 0.5 and found["leaked"] == 0.25
    assert found["accuracy"]["model"]["mean"] == 0.75 and found["accuracy"]["ngrams"]["mean"] == 0
    first, second = found["phenomena"]["a"], found["phenomena"]["b"]
    assert first["pairs"] == second["pairs"] == 2 and (first["leaked"], second["leaked"]) == (0.5, 0)
    # Wilson's interval for 1 of 2: (0.5 + z²/4 ± z sqrt(1/8 + z²/16)) / (1 + z²/2) with z = 1.96
    assert second["accuracy"]["model"] == pytest.approx(
        {"mean": 0.5, "low": 0.0945, "high": 0.9055}, abs=1e-4
    )


def test_sentences_are_found_as_words() -> None:
    texts = ["Oh, my BOYS\nlike music: yes", "she and we", "do too"]
    wanted = ["My boys like music.", "My boy like music.", "my boys like", "We do too.", "Yes my boys like."]
    assert occur_in(wanted, texts) == [True, False, True, False, False]


def test_ngrams_know_what_they_counted_and_an_untrained_model_nothing() -> None:
    pairs = minimal_pairs(40, seed=1)
    tokenizer = BPETokenizer.train([pair.good + pair.bad for pair in pairs], 600)
    stream = [i for pair in pairs for i in (tokenizer.eot_id, *tokenizer.encode(pair.good))]
    counted = NgramScores.fit(np.array(stream, dtype=np.uint16), tokenizer.vocab_size, 5)
    right = decisions(pairs, of_ngrams(counted, tokenizer))
    assert np.mean(right) > 0.95
    model = random_decoder(vocab_size=tokenizer.vocab_size, context_length=64)
    right = decisions(pairs, of_decoder(model, tokenizer))
    assert 0.42 < np.mean(right) < 0.58
