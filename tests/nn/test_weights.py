import math
from typing import Any

import pytest
import torch

from groundup.errors import BadInput
from groundup.nn.weights import keep_tokens, unusable
from tests.tiny import random_decoder, random_encoder, random_encoder_decoder

PLAIN: dict[str, Any] = {"ngram_rows": 0, "ngram_embd": 0, "ngram_orders": ()}


@torch.no_grad()
@pytest.mark.parametrize("tied", [True, False])
def test_a_decoder_keeps_its_tokens_and_nothing_else_changes(tied: bool) -> None:
    changes = {**PLAIN, "tie_embeddings": tied}
    model, idx = random_decoder(vocab_size=14, **changes), torch.tensor([[3, 0, 10, 7]])
    expected = model.logits(model(idx))[..., :11]
    keep_tokens(model, 11)
    assert model.config.vocab_size == 11 and model.logits(model(idx)).shape[-1] == 11
    torch.testing.assert_close(model.logits(model(idx)), expected)
    assert (model.lm_head.weight is model.wte.weight) == tied


@torch.no_grad()
def test_an_encoder_keeps_the_biases_of_its_tokens() -> None:
    model, idx = random_encoder("bert", vocab_size=14), torch.tensor([[3, 0, 10, 7]])
    expected = model.logits(model(idx))[..., :11]
    keep_tokens(model, 11)
    torch.testing.assert_close(model.logits(model(idx)), expected)


@torch.no_grad()
def test_an_encoder_decoder_keeps_its_tokens_on_both_sides() -> None:
    model = random_encoder_decoder(vocab_size=14, token_shift=True)
    source, lengths, idx = torch.tensor([[3, 0, 10]]), torch.tensor([3]), torch.tensor([[1, 9]])
    expected = model.logits(model(source, lengths, idx))[..., :11]
    keep_tokens(model, 11)
    torch.testing.assert_close(model.logits(model(source, lengths, idx)), expected)
    assert {model.config.vocab_size, model.encoder.config.vocab_size, len(model.encoder.wte.weight)} == {11}


def test_a_model_with_n_grams_cannot_be_cut() -> None:
    with pytest.raises(BadInput, match="14 rows of token embeddings for 11 tokens"):
        keep_tokens(random_decoder(vocab_size=14), 11)


@pytest.mark.parametrize(
    ("tensor", "problem"),
    [
        (torch.ones(2), ""),
        (torch.ones(2, dtype=torch.bfloat16), ""),
        (torch.full((9,), 3e38), ""),  # the sum overflows
        (torch.ones(2, dtype=torch.int8), "is int8 instead of float32"),
        (torch.ones(2, dtype=torch.bool), "is bool instead of float32"),
        (torch.ones(2, dtype=torch.complex64), "is complex64 instead of float32"),
        (torch.ones(2).to(torch.float8_e4m3fn), "is float8_e4m3fn instead of float32"),
        (torch.tensor([1.0, math.nan]), "has 1 values that are infinite or not a number"),
        (torch.tensor([math.inf, 1.0, -math.inf]), "has 2 values that are infinite or not a number"),
    ],
)
def test_values_that_are_no_weights(tensor: torch.Tensor, problem: str) -> None:
    assert unusable(tensor, torch.float32) == problem


def test_whole_numbers_are_no_fractions() -> None:
    assert unusable(torch.ones(2, dtype=torch.int64), torch.int64) == ""
    assert unusable(torch.ones(2), torch.int64) == "is float32 instead of int64"
