import pytest
import torch

from groundup.inspection.architecture import stacks
from groundup.inspection.explanation import (
    END,
    attended,
    habits,
    habits_of,
    sizes_of,
    trace_text,
    trace_translation,
)
from groundup.nn.encoder import Encoder
from groundup.nn.encoder_decoder import EncoderDecoder
from groundup.tokenizers.characters import CharacterTokenizer
from tests.tiny import model_config, random_decoder

TOKENIZER = CharacterTokenizer.train(["abcdefgh $"])


def sized(**changes):
    return {"vocab_size": TOKENIZER.vocab_size, **changes}


def test_a_text_is_read_between_end_tokens_with_one_label_per_token():
    model = random_decoder("modern", **sized())
    seen = trace_text(model, TOKENIZER, "bad $")
    assert seen.tokens == [END, "b", "a", "d", " ", "$", END]
    assert seen.idx.tolist()[0] == [TOKENIZER.eot_id, *TOKENIZER.encode("bad $"), TOKENIZER.eot_id]
    assert [tuple(weights.shape) for weights in seen.trace.weights] == [(1, 4, 7, 7)] * 2
    assert seen.tokens[seen.last_word] == "d" and trace_text(model, TOKENIZER, "$").last_word == 2


def test_a_decoder_attends_to_the_past_and_an_encoder_to_everything():
    past = attended(trace_text(random_decoder("gpt2", **sized()), TOKENIZER, "bad").trace.weights)
    both = attended(
        trace_text(Encoder(model_config("bert", **sized())).eval(), TOKENIZER, "bad").trace.weights
    )
    assert torch.equal(past, torch.ones(5, 5).tril().bool()) and both.all() and both.shape == (5, 5)


@pytest.mark.parametrize("favourite", ["h", None])
def test_a_translation_is_traced_on_both_sides(favourite):
    """Row r of cross-attention belongs to the token written at r; the decoder's input is shifted by one."""
    model = EncoderDecoder(
        model_config("transformer", **sized(n_encoder_layer=1, tie_embeddings=False))
    ).eval()
    end = TOKENIZER.eot_id
    always = end if favourite is None else TOKENIZER.encode(favourite)[0]
    with torch.no_grad():  # one channel dominates the state, and the head reads only that channel
        model.decoder.h[-1].ln_2.bias[0] = 9.0
        model.decoder.lm_head.weight.zero_()
        model.decoder.lm_head.weight[always, 0] = 1.0
    seen = trace_translation(model, TOKENIZER, "abcd")
    written = [END] if favourite is None else ["h"] * 12  # the model never ends the text; the context does
    assert seen.source.tokens == ["a", "b", "c", "d", END] and seen.target.tokens == written
    assert seen.target.idx.tolist()[0] == [end, *[always] * (len(written) - 1)]
    assert [tuple(w.shape) for w in seen.target.trace.cross_weights] == [(1, 4, len(written), 5)] * 2
    assert len(seen.source.trace.weights) == 1 and seen.text == "".join(written).replace(END, "")


def test_habits_by_hand():
    head = torch.tensor([[1.0, 0, 0], [0.75, 0.25, 0], [0.5, 0.25, 0.25]])
    ahead = torch.tensor([[0, 0, 1.0], [0.5, 0, 0.5], [0, 0, 1.0]])
    past, looking = habits(torch.stack((head, ahead)))
    assert past["itself"] == pytest.approx((0.25 + 0.25) / 2)
    assert past["before"] == pytest.approx((0.75 + 0.25) / 2)
    assert past["first"] == pytest.approx((0.75 + 0.5) / 2)
    assert past["later"] == 0
    assert looking["later"] == pytest.approx((0.5 + 0) / 2)
    assert looking["spread"] == pytest.approx((2 + 1) / 2)  # two tokens equally, then one token


def test_the_size_of_a_model_is_that_of_all_its_parts():
    model = EncoderDecoder(model_config("transformer", n_encoder_layer=3)).eval()
    made_of = stacks(model, torch.arange(5)[None], torch.arange(7)[None])
    sizes = sizes_of(made_of, vars(model.config))
    assert sizes["layers"] == [3, 2] and (sizes["heads"], sizes["channels"]) == (4, 16)
    assert sizes["parameters"] == sum(p.numel() for p in model.parameters())
    assert sizes["flops_per_token"] == sum(stack.flops for stack in made_of)


def test_every_head_of_every_layer_has_habits():
    seen = trace_text(random_decoder("modern", **sized()), TOKENIZER, "bad cab")
    found = habits_of(seen)
    assert [(habit["layer"], habit["head"]) for habit in found] == [
        (n, h) for n in (1, 2) for h in (1, 2, 3, 4)
    ]
    assert habits(seen.trace.weights[1][0])[3].items() <= found[7].items()
