import pytest
import torch

from groundup.inspection.architecture import stacks
from groundup.nn.decoder import Decoder
from groundup.nn.encoder import Encoder
from groundup.nn.encoder_decoder import EncoderDecoder
from tests.tiny import model_config

IDX, SOURCE = torch.arange(5)[None], torch.arange(7)[None]


def models():
    return {
        "modern": Decoder(model_config("modern")),
        "gpt2": Decoder(model_config("gpt2", tie_embeddings=True)),
        "swiglu": Decoder(model_config("modern", activation="swiglu")),
        "bert": Encoder(model_config("bert")),
        "modern encoder": Encoder(model_config("modern", causal=False)),
        "translation": EncoderDecoder(model_config("transformer", n_encoder_layer=3)),
        "modern translation": EncoderDecoder(model_config("modern", n_encoder_layer=1)),
    }


@pytest.fixture(params=list(models()))
def model(request):
    return models()[request.param].eval()


def stacks_of(model):
    return stacks(model, IDX, SOURCE if isinstance(model, EncoderDecoder) else None)


def test_the_parts_hold_all_parameters(model):
    assert sum(stack.parameters for stack in stacks_of(model)) == sum(p.numel() for p in model.parameters())


def test_inspection_does_not_change_the_model(model):
    stacks_of(model)
    assert not any(module._forward_hooks for module in model.modules())


def test_shapes_have_the_length_of_the_text(model):
    for stack in stacks_of(model):
        length = 7 if len(stacks_of(model)) == 2 and stack.title == "encoder" else 5
        for part in (*stack.embeddings, *stack.block):
            assert part.shape[-2:] == (length, 16), part


def test_parts_are_in_the_order_of_their_calls():
    def names(stack):
        return [part.name.rpartition(".")[2] for part in (*stack.embeddings, *stack.block, *stack.head)]

    found = models()
    [modern], [bert] = stacks_of(found["modern"].eval()), stacks_of(found["bert"].eval())
    assert names(modern) == ["wte", "ngrams", "shift", "ln_1", "attn", "ln_2", "mlp", "ln_f", "lm_head"]
    assert names(bert) == [
        "wte", "wpe", "wse", "ln_e", "attn", "ln_1", "mlp", "ln_2", "c_predict", "ln_predict", "lm_head",
    ]  # fmt: skip
    assert [part.name for part in bert.aside] == ["c_pool"]
    encoder, decoder = stacks_of(found["translation"].eval())
    assert (encoder.layers, decoder.layers) == (3, 2)
    assert names(encoder) == ["wte", "", "attn", "ln_1", "mlp", "ln_2"]
    assert names(decoder) == [
        "wte", "", "attn", "ln_1", "cross_attn", "ln_cross", "mlp", "ln_2", "lm_head",
    ]  # fmt: skip
    assert modern.head[-1].shape == (1, 5, 11)
    assert [part.title for part in (modern.block[1], bert.block[0], decoder.block[2])] == [
        "causal self-attention", "bidirectional self-attention", "cross-attention",
    ]  # fmt: skip


def test_sizes_and_counts_by_hand():
    """16 channels, 4 heads of 4 channels, 2 key/value heads, 11 tokens, context 12, 2 layers; relu2 has no gate."""
    [stack] = stacks_of(models()["modern"].eval())
    attn, mlp = stack.block[1], stack.block[3]
    assert (attn.detail, attn.parameters) == ("4 heads of 4, 2 of keys, rotary", 16 * 32 + 16 * 16)
    assert attn.flops == 2 * (16 * 32 + 16 * 16) + 4 * 12 * 16
    assert (mlp.detail, mlp.parameters, mlp.flops) == ("16 → 64 → 16, relu2", 2 * 16 * 64, 4 * 16 * 64)
    ngrams = stack.embeddings[1]
    assert (ngrams.detail, ngrams.parameters) == ("300 × 6, → 16", 300 * 6 + 12 * 16)
    assert stack.flops == 2 * 12 * 16 + 2 * (attn.flops + mlp.flops) + 2 * 16 * 11


def test_a_shared_embedding_is_counted_once():
    [stack] = stacks_of(models()["gpt2"].eval())
    assert stack.head[-1].parameters == 0 and stack.head[-1].detail == "16 → 11, shared table"
    encoder, decoder = stacks_of(models()["translation"].eval())
    assert encoder.embeddings[0].parameters == 11 * 16 and decoder.embeddings[0].parameters == 0
