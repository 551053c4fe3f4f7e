from typing import Any

import pytest
import torch

from groundup.errors import BadInput
from groundup.nn.attention import Trace
from groundup.nn.config import PRESETS, ModelConfig
from groundup.nn.encoder_decoder import EncoderDecoder
from tests.tiny import model_config, random_encoder_decoder

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("modern", {}),
    ("transformer", {}),
    ("transformer", {"norm_first": True, "n_encoder_layer": 1}),
]


@pytest.fixture(scope="module")
def bart() -> Any:
    from transformers import BartConfig, BartForConditionalGeneration

    torch.manual_seed(0)
    config = BartConfig(
        vocab_size=61, d_model=32, encoder_layers=3, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=128, decoder_ffn_dim=128, max_position_embeddings=16,
        scale_embedding=True,
    )  # fmt: skip
    model = BartForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    return model


def twin(bart: Any) -> EncoderDecoder:
    """Our model with BART's weights: post-norm, exact GELU, learned positions (BART's begin at row 2)."""
    theirs = bart.state_dict()
    changes = {
        "position": "learned", "activation": "gelu_erf", "embedding_norm": True, "n_encoder_layer": 3
    }  # fmt: skip
    config = ModelConfig(
        vocab_size=61, context_length=16, n_layer=2, n_head=4, n_kv_head=4, n_embd=32, dropout=0.0,
        ngram_rows=0, ngram_embd=0, ngram_orders=(), **{**PRESETS["transformer"], **changes},
    )  # fmt: skip
    weights = {"decoder.wte.weight": theirs["model.shared.weight"]}
    for side, layers in (("encoder", 3), ("decoder", 2)):
        weights[f"{side}.wpe.weight"] = theirs[f"model.{side}.embed_positions.weight"][2:]
        for kind in ("weight", "bias"):
            weights[f"{side}.ln_e.{kind}"] = theirs[f"model.{side}.layernorm_embedding.{kind}"]
            for layer in range(layers):

                def take(name: str, base: str = f"model.{side}.layers.{layer}.", kind: str = kind) -> Any:
                    return theirs[f"{base}{name}.{kind}"]

                ours = f"{side}.h.{layer}."
                self_attention = [take(f"self_attn.{part}_proj") for part in "qkv"]
                weights[f"{ours}attn.c_attn.{kind}"] = torch.cat(self_attention)
                weights[f"{ours}attn.c_proj.{kind}"] = take("self_attn.out_proj")
                weights[f"{ours}ln_1.{kind}"] = take("self_attn_layer_norm")
                weights[f"{ours}mlp.c_fc.{kind}"] = take("fc1")
                weights[f"{ours}mlp.c_proj.{kind}"] = take("fc2")
                weights[f"{ours}ln_2.{kind}"] = take("final_layer_norm")
                if side == "decoder":
                    weights[f"{ours}cross_attn.c_q.{kind}"] = take("encoder_attn.q_proj")
                    both = [take(f"encoder_attn.{part}_proj") for part in "kv"]
                    weights[f"{ours}cross_attn.c_kv.{kind}"] = torch.cat(both)
                    weights[f"{ours}cross_attn.c_proj.{kind}"] = take("encoder_attn.out_proj")
                    weights[f"{ours}ln_cross.{kind}"] = take("encoder_attn_layer_norm")
    model = EncoderDecoder(config).eval()
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert set(missing) == {"encoder.wte.weight", "decoder.lm_head.weight"} and not unexpected  # one table
    return model


@torch.no_grad()
def test_logits_equal_those_of_bart_with_padding(bart: Any) -> None:
    model = twin(bart)
    source, idx, lengths = torch.randint(61, (3, 12)), torch.randint(61, (3, 9)), torch.tensor([12, 5, 1])
    real = (torch.arange(12) < lengths[:, None]).long()
    expected = bart(input_ids=source, attention_mask=real, decoder_input_ids=idx).logits
    torch.testing.assert_close(model.logits(model(source, lengths, idx)), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("preset", "changes"), VARIANTS)
@torch.no_grad()
def test_the_target_sees_the_whole_source_and_only_its_own_past(preset: str, changes: dict[str, Any]) -> None:
    model = random_encoder_decoder(preset, **changes)
    source, idx, lengths = torch.randint(11, (1, 6)), torch.randint(11, (1, 5)), torch.tensor([4])
    before = model(source, lengths, idx)
    for t in range(6):
        changed = source.clone()
        changed[:, t] = (changed[:, t] + 1) % 11
        same = torch.isclose(model(changed, lengths, idx), before, atol=1e-7, rtol=0).all(dim=-1)
        assert bool(same.all() if t >= 4 else (~same).all()), t  # positions 4 and 5 are padding
    for t in range(4):
        changed = idx.clone()
        changed[:, t + 1 :] = (changed[:, t + 1 :] + 1) % 11
        assert torch.equal(model(source, lengths, changed)[:, : t + 1], before[:, : t + 1])


@pytest.mark.parametrize(("preset", "changes"), VARIANTS)
@torch.no_grad()
def test_decoding_with_a_cache_equals_one_pass_even_for_repeated_rows(
    preset: str, changes: dict[str, Any]
) -> None:
    model = random_encoder_decoder(preset, **changes)
    source, idx, lengths = torch.randint(11, (2, 6)), torch.randint(11, (2, 5)), torch.tensor([6, 3])
    whole = model(source, lengths, idx)
    cache = model.empty_cache(model.encode(source, lengths), 5)
    first = model.decode(idx[:, :2], cache)
    cache.lengths += 2
    torch.testing.assert_close(first, whole[:, :2], atol=1e-5, rtol=1e-4)
    rows = torch.tensor([1, 0, 1])
    cache = cache.keep(rows)
    for t in range(2, 5):
        x = model.decode(idx[rows, t : t + 1], cache)
        torch.testing.assert_close(x[:, 0], whole[rows, t], atol=1e-5, rtol=1e-4)
        cache.lengths += 1


@torch.no_grad()
def test_a_trace_has_both_sides_and_the_attention_between_them() -> None:
    model, trace = random_encoder_decoder(n_encoder_layer=3), Trace()
    source, idx, lengths = torch.randint(11, (2, 6)), torch.randint(11, (2, 5)), torch.tensor([6, 3])
    model(source, lengths, idx, trace)
    assert trace.encoder is not None
    assert (len(trace.encoder.hidden), len(trace.hidden)) == (4, 3)
    assert [tuple(w.shape) for w in trace.cross_weights] == [(2, 4, 5, 6)] * 2
    assert [tuple(w.shape) for w in trace.encoder.weights] == [(2, 4, 6, 6)] * 3
    for weights in trace.cross_weights:
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 4, 5))
        assert bool((weights[1, :, :, 3:] == 0).all())  # padding of the shorter source


@torch.no_grad()
def test_a_trace_without_attention_holds_the_same_states_and_no_weights() -> None:
    model, full, trace = random_encoder_decoder(), Trace(), Trace(attention=False)
    source, idx, lengths = torch.randint(11, (2, 6)), torch.randint(11, (2, 5)), torch.tensor([6, 3])
    for seen in (full, trace):
        model(source, lengths, idx, seen)
    assert full.encoder is not None and trace.encoder is not None
    for one, other in ((full, trace), (full.encoder, trace.encoder)):
        torch.testing.assert_close(other.hidden, one.hidden, atol=1e-5, rtol=1e-5)
        assert one.weights and not other.weights and not other.cross_weights


def test_one_token_table_is_trained_once() -> None:
    model = random_encoder_decoder()
    assert model.encoder.wte.weight is model.decoder.wte.weight
    assert sum(name.endswith("wte.weight") for name, _ in model.named_parameters()) == 1


def test_refuses_a_shape_without_encoder() -> None:
    with pytest.raises(BadInput, match="n_encoder_layer is 0"):
        EncoderDecoder(model_config())
