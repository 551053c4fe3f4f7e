from typing import Any

import pytest
import torch

from groundup.errors import BadInput
from groundup.nn.config import PRESETS, ModelConfig
from groundup.nn.encoder import Encoder
from tests.tiny import model_config, random_encoder


@pytest.fixture(scope="module")
def bert() -> Any:
    return random_bert()


def random_bert() -> Any:
    """A tiny BertForMaskedLM."""
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=61,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=16,
    )
    return randomised(BertForMaskedLM(config).eval())


def randomised(model: torch.nn.Module) -> torch.nn.Module:
    """Make every parameter random, including biases and norms."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    return model


def twin(bert: Any) -> Encoder:
    """Our encoder with BERT's weights."""
    theirs = bert.state_dict()
    config = ModelConfig(
        vocab_size=61, context_length=16, n_layer=2, n_head=4, n_kv_head=4, n_embd=32, dropout=0.0,
        ngram_rows=0, ngram_embd=0, ngram_orders=(), **{**PRESETS["bert"], "pooler": False},
    )  # fmt: skip
    embeddings = "bert.embeddings."
    names = {
        "wte": f"{embeddings}word_embeddings",
        "wpe": f"{embeddings}position_embeddings",
        "wse": f"{embeddings}token_type_embeddings",
        "ln_e": f"{embeddings}LayerNorm",
        "c_predict": "cls.predictions.transform.dense",
        "ln_predict": "cls.predictions.transform.LayerNorm",
    }
    parts = {
        "attn.c_proj": "attention.output.dense",
        "ln_1": "attention.output.LayerNorm",
        "mlp.c_fc": "intermediate.dense",
        "mlp.c_proj": "output.dense",
        "ln_2": "output.LayerNorm",
    }
    weights: dict[str, torch.Tensor] = {"lm_head.bias": theirs["cls.predictions.bias"]}
    for layer in range(2):
        base = f"bert.encoder.layer.{layer}."
        names |= {f"h.{layer}.{ours}": base + name for ours, name in parts.items()}
        for kind in ("weight", "bias"):
            stacked = [theirs[f"{base}attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            weights[f"h.{layer}.attn.c_attn.{kind}"] = torch.cat(stacked)
    for ours, name in names.items():
        for kind in ("weight", "bias"):
            if f"{name}.{kind}" in theirs:
                weights[f"{ours}.{kind}"] = theirs[f"{name}.{kind}"]
    model = Encoder(config).eval()
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert missing == ["lm_head.weight"] and not unexpected  # tied to the token table
    return model


@torch.no_grad()
def test_logits_equal_those_of_bert_with_segments_and_padding(bert: Any) -> None:
    model = twin(bert)
    idx, segments = torch.randint(61, (3, 16)), torch.randint(2, (3, 16))
    lengths = torch.tensor([16, 9, 1])
    real = torch.arange(16) < lengths[:, None]
    expected = bert(idx, attention_mask=real.long(), token_type_ids=segments).logits
    found = model.logits(model(idx, lengths, segments))
    torch.testing.assert_close(found[real], expected[real], atol=1e-4, rtol=0)


@torch.no_grad()
def test_pooled_equals_berts_pooler() -> None:
    from transformers.models.bert.modeling_bert import BertConfig, BertPooler

    theirs = randomised(BertPooler(BertConfig(hidden_size=16)))
    model = random_encoder("bert")
    assert model.c_pool is not None
    model.c_pool.load_state_dict(theirs.dense.state_dict())
    x = model(torch.randint(11, (2, 5)))
    torch.testing.assert_close(model.pooled(x), theirs(x))


@pytest.mark.parametrize("preset", ["bert", "modern"])
@torch.no_grad()
def test_every_position_sees_both_sides_but_no_padding(preset: str) -> None:
    model = random_encoder(preset)
    idx = torch.randint(11, (1, 8))
    lengths = torch.tensor([6])
    before = model(idx, lengths)
    for t in range(8):
        changed = idx.clone()
        changed[:, t] = (changed[:, t] + 1) % 11
        after = model(changed, lengths)[:, :6]
        same = torch.isclose(after, before[:, :6], atol=1e-7, rtol=0).all(dim=-1)
        assert bool(same.all() if t >= 6 else (~same).all()), t
    torch.testing.assert_close(before[:, :6], model(idx[:, :6]), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_segments_matter_and_default_to_the_first() -> None:
    model, idx = random_encoder("bert"), torch.randint(11, (2, 5))
    first = torch.zeros_like(idx)
    assert torch.equal(model(idx), model(idx, segments=first))
    assert not torch.isclose(model(idx), model(idx, segments=first + 1)).all()


def test_refuses_a_causal_shape() -> None:
    with pytest.raises(BadInput, match="causal is true"):
        Encoder(model_config("gpt2"))
