import math

import pytest
import torch

from groundup.errors import BadInput
from groundup.nn.config import PRESETS
from groundup.nn.decoder import Decoder
from groundup.nn.encoder_decoder import EncoderDecoder
from groundup.nn.transformer import (
    COMMON,
    PADDING,
    Transformer,
    positions_within,
    real_tokens,
    same_document,
    sinusoidal_table,
)
from tests.tiny import model_config, random_decoder, random_encoder


@torch.no_grad()
def test_token_shift_adds_a_share_of_the_previous_embedding() -> None:
    model = random_decoder(n_layer=1, ngram_rows=0)
    assert model.shift is not None
    seen: list[torch.Tensor] = []
    model.drop.register_forward_hook(lambda module, args, output: seen.append(output))
    model(torch.tensor([[3, 5, 5]]))
    embedding = model.wte.weight
    expected = [
        embedding[3],
        embedding[5] + model.shift * embedding[3],
        embedding[5] + model.shift * embedding[5],
    ]
    torch.testing.assert_close(seen[0][0], torch.stack(expected))


def test_sinusoidal_positions_by_hand() -> None:
    # C = 4: the second pair is 100 times slower
    table = sinusoidal_table(torch.tensor([0, 3]), 4)
    expected = [[0.0, 1.0, 0.0, 1.0], [math.sin(3), math.cos(3), math.sin(0.03), math.cos(0.03)]]
    torch.testing.assert_close(table, torch.tensor(expected))


def test_real_tokens() -> None:
    assert real_tokens(torch.tensor([1, 3]), 3)[:, 0, 0].tolist() == [
        [True, False, False],
        [True, True, True],
    ]


def test_positions_and_masks_of_documents_by_hand() -> None:
    documents = torch.tensor([[4, 4, 4, 7, 2, 2]])
    assert positions_within(documents).tolist() == [[0, 1, 2, 0, 0, 1]]
    assert positions_within(torch.tensor([[0, 0, -1, -1]])).tolist() == [[0, 1, 0, 0]]
    both_sides = torch.tensor(
        [
            [1, 1, 1, 0, 0, 0],
            [1, 1, 1, 0, 0, 0],
            [1, 1, 1, 0, 0, 0],
            [0, 0, 0, 1, 0, 0],
            [0, 0, 0, 0, 1, 1],
            [0, 0, 0, 0, 1, 1],
        ]
    )
    assert torch.equal(same_document(documents, causal=False)[0, 0].long(), both_sides)
    assert torch.equal(same_document(documents, causal=True)[0, 0].long(), both_sides.tril())


@pytest.mark.parametrize("model", [random_decoder(), random_decoder("gpt2"), random_encoder()])
@pytest.mark.parametrize("blocks", [0, 1, 2])
@torch.no_grad()
def test_below_and_above_together_equal_read(model: Transformer, blocks: int) -> None:
    idx, lengths = torch.randint(11, (2, 7)), torch.tensor([4, 7])
    lower = model.below(idx, blocks, lengths=lengths)
    assert torch.equal(model.above(lower, blocks, lengths=lengths), model.read(idx, lengths=lengths))


@pytest.mark.parametrize("preset", sorted(PRESETS))
@torch.no_grad()
def test_packed_documents_are_read_as_if_each_were_alone(preset: str) -> None:
    causal = PRESETS[preset].get("causal", True)
    model = random_decoder(preset) if causal else random_encoder(preset)
    torch.manual_seed(0)
    lengths = [[5, 1, 12, 2], [7, 3, 4]]  # together more than the context of 12, and the second row is padded
    rows = [[torch.randint(11, (n,)) for n in row] for row in lengths]
    idx, documents = torch.zeros(2, 20, dtype=torch.long), torch.full((2, 20), -1)
    for b, row in enumerate(rows):
        idx[b, : sum(lengths[b])] = torch.cat(row)
        documents[b, : sum(lengths[b])] = torch.cat([torch.full_like(text, i) for i, text in enumerate(row)])
    packed = model.read(idx, documents=documents)
    for b, row in enumerate(rows):
        for text, found in zip(row, packed[b].split([*lengths[b], 20 - sum(lengths[b])]), strict=False):
            torch.testing.assert_close(found, model.read(text[None])[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("preset", sorted(name for name in PRESETS if PRESETS[name].get("causal", True)))
@torch.no_grad()
def test_documents_with_a_shared_prefix_are_read_as_if_each_were_alone(preset: str) -> None:
    model = random_decoder(preset)
    torch.manual_seed(0)
    begins = [torch.randint(11, (5,)), torch.randint(11, (3,))]
    lengths = [[4, 1, 7], [2, 9]]
    rows = [[torch.randint(11, (n,)) for n in row] for row in lengths]
    idx, documents = torch.zeros(2, 18, dtype=torch.long), torch.full((2, 18), PADDING)
    for b, (begin, row) in enumerate(zip(begins, rows, strict=True)):
        texts = torch.cat([begin, *row])
        numbers = [torch.full_like(begin, COMMON), *(torch.full_like(text, i) for i, text in enumerate(row))]
        idx[b, : len(texts)], documents[b, : len(texts)] = texts, torch.cat(numbers)
    packed = model.read(idx, documents=documents)
    for b, (begin, row) in enumerate(zip(begins, rows, strict=True)):
        place = len(begin)
        torch.testing.assert_close(packed[b, :place], model.read(begin[None])[0], atol=1e-5, rtol=1e-5)
        for text in row:
            alone = model.read(torch.cat([begin, text])[None])[0, len(begin) :]
            torch.testing.assert_close(packed[b, place : place + len(text)], alone, atol=1e-5, rtol=1e-5)
            place += len(text)


def test_a_packed_document_must_fit_the_context() -> None:
    model = random_decoder()
    with pytest.raises(BadInput, match="the text has 13 tokens; the model reads at most 12"):
        model(torch.zeros(1, 15, dtype=torch.long), documents=torch.tensor([[0] * 2 + [1] * 13]))


@torch.no_grad()
def test_the_embedding_of_2017_is_scaled_and_has_sinusoidal_positions() -> None:
    model = random_decoder("transformer")
    seen: list[torch.Tensor] = []
    model.drop.register_forward_hook(lambda module, args, output: seen.append(output))
    model(torch.tensor([[3, 5]]))
    expected = model.wte.weight[[3, 5]] * 4 + sinusoidal_table(torch.arange(2), 16)
    torch.testing.assert_close(seen[0][0], expected)


@pytest.mark.parametrize("model", [random_decoder(), random_encoder()])
@torch.no_grad()
def test_a_trace_holds_the_embeddings_every_block_and_every_attention(model: torch.nn.Module) -> None:
    from groundup.nn.attention import Trace

    idx, trace = torch.randint(11, (2, 7)), Trace()
    x = model(idx, trace=trace)
    torch.testing.assert_close(x, model(idx), atol=1e-5, rtol=1e-5)
    assert [tuple(t.shape) for t in trace.hidden] == [(2, 7, 16)] * 3
    assert [tuple(t.shape) for t in trace.weights] == [(2, 4, 7, 7)] * 2
    torch.testing.assert_close(model.ln_f(trace.hidden[-1]), x)
    assert trace.cross_weights == [] and trace.encoder is None


def test_residual_projections_start_smaller_the_more_of_them_there_are() -> None:
    torch.manual_seed(0)
    config = model_config("transformer", n_embd=128, n_layer=4, n_encoder_layer=3)
    model = EncoderDecoder(config)
    expected = {
        "encoder.": 0.02 / (2 * 3) ** 0.5,  # attention and feed-forward, three layers
        "decoder.": 0.02 / (3 * 4) ** 0.5,  # cross-attention too, four layers
    }
    found = {name: weight.std().item() for name, weight in model.named_parameters() if "c_proj.w" in name}
    assert len(found) == 2 * 3 + 3 * 4
    for name, std in found.items():
        assert std == pytest.approx(expected[name[:8]], rel=0.03), name
    alone = Decoder(model_config("gpt2", n_embd=128, n_layer=3))
    assert alone.h[0].mlp.c_proj.weight.std().item() == pytest.approx(0.02 / 6**0.5, rel=0.03)
    assert alone.h[0].mlp.c_fc.weight.std().item() == pytest.approx(0.02, rel=0.03)
