"""Reading one's own text; the oracles are the model's own answer and a reading without a trace."""

import pytest
import torch

from groundup.errors import BadInput
from groundup.inspection.explanation import END
from groundup.inspection.logit_lens import logit_lens
from groundup.inspection.reading import START, attention_weights, trace_reading
from tests.cli.chat_model import chat_checkpoint
from tests.serving.running import classifier_checkpoint


def test_each_kind_reads_a_text_as_in_its_training() -> None:
    chat, spam = chat_checkpoint(), classifier_checkpoint()
    end, tea = chat.tokenizer.eot_id, chat.tokenizer.encode("a tea")
    decoder, classifier = trace_reading(chat, "a tea"), trace_reading(spam, "a tea")
    assert decoder.idx.tolist() == [[end, *tea]] and classifier.idx.tolist() == [[*tea, end]]
    assert decoder.tokens == [START, *chat.tokenizer.pieces("a tea")]
    assert classifier.tokens == [*chat.tokenizer.pieces("a tea"), END]


def test_attention_is_causal_and_its_rows_sum_to_1() -> None:
    seen = trace_reading(chat_checkpoint(), "tea and cake")
    weights, size = attention_weights(seen), len(seen.tokens)
    assert weights.shape == (2, 4, size, size)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 4, size))
    assert torch.equal(weights, weights.tril())


def test_the_last_layer_of_the_lens_is_the_models_answer() -> None:
    chat = chat_checkpoint()
    lens = logit_lens(chat, "tea and", top=3)
    ids = [chat.tokenizer.eot_id, *chat.tokenizer.encode("tea and")]
    with torch.inference_mode():
        expected = chat.model.logits(chat.model(torch.tensor([ids])))[0].log_softmax(dim=-1)
    assert len(lens.layers) == 3 and all(len(layer) == len(ids) == len(lens.tokens) for layer in lens.layers)
    for place, token in enumerate(lens.layers[-1]):
        follows = [*ids[1:], chat.tokenizer.eot_id][place]
        values, best = expected[place].topk(3)
        assert token.token == follows and token.logprob == pytest.approx(expected[place, follows].item())
        assert [i for i, _ in token.top] == best.tolist()
        assert [p for _, p in token.top] == pytest.approx(values.tolist())


def test_the_first_layer_of_the_lens_is_the_head_on_the_embeddings() -> None:
    """The model has no positions to add, so equal tokens after equal ones are read alike before the first block."""
    chat = chat_checkpoint()
    first = logit_lens(chat, "tttttt", top=2).layers[0]
    assert first[4].top == first[5].top and first[1].top != logit_lens(chat, "tttttt", top=2).layers[1][1].top


def test_wrong_texts_and_models_are_refused() -> None:
    with pytest.raises(BadInput, match="6 tokens; expected at most 5"):
        trace_reading(chat_checkpoint(), "xxxxx", longest=5)
    with pytest.raises(BadInput, match="empty"):
        trace_reading(chat_checkpoint(), " ")
    with pytest.raises(BadInput, match="a classifier; expected a decoder"):
        logit_lens(classifier_checkpoint(), "tea", top=1)
