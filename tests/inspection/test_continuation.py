"""A continuation with scores; the oracle is the model read token by token."""

from dataclasses import replace

import pytest
import torch

from groundup.generation.sampling import Sampling
from groundup.inspection.continuation import continue_text
from tests.cli.chat_model import chat_checkpoint


def test_every_token_has_the_probability_that_the_model_gives_it() -> None:
    chat = chat_checkpoint()
    ids = chat.tokenizer.encode("tea and")
    found = continue_text(chat, ids, max_new_tokens=5, sampling=Sampling(), top=3)
    assert found.ids[: len(ids)] == ids and found.given == len(ids)
    assert len(found.scores) == len(found.ids) - 1
    for place, token in enumerate(found.scores, start=1):
        with torch.inference_mode():
            last = chat.model.logits(chat.model(torch.tensor([found.ids[:place]])))[0, -1].log_softmax(dim=-1)
        assert token.token == found.ids[place]
        assert token.logprob == pytest.approx(last[found.ids[place]].item(), abs=1e-5)
        assert [i for i, _ in token.top] == last.topk(3).indices.tolist()
        if place >= found.given:  # greedy
            assert token.token == token.top[0][0]


def test_it_says_whether_the_model_has_ended_the_text() -> None:
    chat = chat_checkpoint()
    ids = chat.tokenizer.encode("tea")
    found = continue_text(chat, ids, max_new_tokens=3, sampling=Sampling(), top=1)
    assert len(found.ids) == len(ids) + 3 and not found.ended
    ends = replace(chat, config=replace(chat.config, stop_ids=(found.ids[-1],)))
    found = continue_text(ends, ids, max_new_tokens=3, sampling=Sampling(), top=1)
    assert len(found.ids) < len(ids) + 3 and found.ended
    found = continue_text(chat, ids, max_new_tokens=0, sampling=Sampling(), top=1)
    assert found.ids == ids and not found.ended and len(found.scores) == len(ids) - 1
