import numpy as np
from scipy.stats import binomtest

from groundup.monitoring.samples import Messages, draw
from groundup.tokenizers.bpe import BPETokenizer
from tests.monitoring.words import TOKENIZER, messages, sentences


def measured(rows: list[dict[str, str]], tokenizer: object = TOKENIZER) -> Messages:
    zeros = np.zeros(len(rows))
    return Messages.of(
        rows, tokenizer, spam_probability=zeros, bits_per_byte=zeros, embeddings=zeros[:, None]
    )


def test_what_is_measured_of_each_text() -> None:
    rows = [{"text": "abc", "label": "ham"}, {"text": "aé1é", "label": "spam"}, {"text": "!"}]
    found = measured(rows)
    assert found.characters.tolist() == [3, 4, 1]
    assert found.bytes_per_token.tolist() == [1, 6 / 4, 1]
    assert found.unknown_share.tolist() == [0, 3 / 4, 0]
    np.testing.assert_array_equal(found.truth, [0, 1, np.nan])


def test_parts_of_characters_are_unknown_in_a_vocabulary_of_bytes() -> None:
    tokenizer = BPETokenizer.train(["an an an an é é é é"], vocab_size=260)
    assert tokenizer.unk_id is None
    found = measured([{"text": "an é"}, {"text": "日"}], tokenizer)
    assert found.unknown_share.tolist() == [0, 1]  # é is a learned token, 日 three bytes


def test_taking_and_adding() -> None:
    rng = np.random.default_rng(1)
    whole = messages(sentences(20, rng), rng)
    again = whole.take(np.arange(7)) + whole.take(np.arange(7, 20))
    assert again.texts == whole.texts and len(again) == 20
    np.testing.assert_array_equal(again.embeddings, whole.embeddings)
    np.testing.assert_array_equal(again.truth, whole.truth)


def test_one_message_of_each_group_is_drawn_and_each_is_equally_likely() -> None:
    reference = ["Your code is 17", "see you soon"]
    window = ["your code is 1234", "your code is 5", "Your code is 99!", "call me"]
    window_has_it = 0
    for seed in range(400):
        sample = draw(reference, window, (), 100, seed)
        assert sample.near_duplicates == 3
        assert len(sample.reference) + len(sample.window) == 3
        assert {1} <= set(sample.reference.tolist()) and {3} <= set(sample.window.tolist())
        window_has_it += len(sample.window) == 2
    assert binomtest(window_has_it, 400, 3 / 4).pvalue > 0.001


def test_near_duplicates_of_training_messages_are_left_out() -> None:
    """A campaign that goes on is in the window and in the training data, and by the splits not in the reference."""
    window = ["call me", "You have won 1,000 pounds!", "you have won 5 pounds", "Call me?"]
    sample = draw(["see you soon"], window, ["YOU HAVE WON 20 POUNDS", "hello"], 100, seed=1)
    assert (sample.reference.tolist(), len(sample.window)) == ([0], 1)
    assert window[sample.window[0]] in {"call me", "Call me?"}
    assert (sample.trained_on, sample.near_duplicates) == (2, 1)


def test_at_most_so_many_are_drawn() -> None:
    texts = sentences(90, np.random.default_rng(2))
    sample = draw(texts[:60], texts[60:], (), 25, seed=1)
    assert len(set(sample.reference.tolist())) == 25 == len(set(sample.window.tolist()))
    assert sample.reference.max() < 60 and sample.window.max() < 30
