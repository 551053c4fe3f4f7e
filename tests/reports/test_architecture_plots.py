import pytest
import torch

from groundup.inspection.architecture import stacks
from groundup.nn.decoder import Decoder
from groundup.nn.encoder import Encoder
from groundup.nn.encoder_decoder import EncoderDecoder
from groundup.reports import style as figures
from groundup.reports.architecture_plots import data_flow
from tests.tiny import model_config

IDX, SOURCE = torch.arange(5)[None], torch.arange(7)[None]


def drawn(model, source=None):
    found = stacks(model.eval(), IDX, source)
    return found, data_flow(found)


def texts(drawing):
    return [text.get_text() for text in drawing.axes[0].texts]


def test_every_part_is_drawn_with_its_sizes():
    for model in (Decoder(model_config("modern")), Encoder(model_config("bert"))):
        [stack], drawing = drawn(model)
        drawn_texts = texts(drawing)
        for part, times in stack.parts():
            assert part.title in drawn_texts and part.detail in drawn_texts
            if part.parameters:
                count = f"{times} × {part.parameters:,}" if times > 1 else f"{part.parameters:,}"
                assert any(text.startswith(f"{count}  (") for text in drawn_texts), part
        assert {"× 2", "token ids 1 × 5", "1 × 5 × 16", "1 × 5 × 11"} <= set(drawn_texts)


@pytest.mark.parametrize("preset", ["modern", "transformer"])
def test_each_part_has_a_residual_path_and_the_encoder_feeds_each_cross_attention(preset):
    model = EncoderDecoder(model_config(preset, n_encoder_layer=1))
    found, drawing = drawn(model, SOURCE)
    lines = drawing.axes[0].lines
    paths = [line for line in lines if line.get_color() == figures.CYCLE[1]]
    assert len(paths) == 2 + 3
    for path in paths:  # it branches off above the part and rejoins below it
        top, _, bottom = path.get_ydata()
        assert bottom - top > 0.52
    [memory] = [line for line in lines if line.get_color() == figures.CYCLE[2]]
    assert memory.get_ydata()[0] > memory.get_ydata()[-1]
    assert "the encoded text" in texts(drawing) and "logits of the next token" in texts(drawing)
    assert len(found) == 2


def test_all_text_is_inside_the_picture():
    _, drawing = drawn(EncoderDecoder(model_config("transformer", n_encoder_layer=2)), SOURCE)
    drawing.draw_without_rendering()
    [axes] = drawing.axes
    frame = axes.get_window_extent()
    for text in axes.texts:
        box = text.get_window_extent()
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1, text


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_equal_data_give_equal_bytes(tmp_path, suffix):
    for run in (1, 2):
        figures.save(drawn(Decoder(model_config("gpt2")))[1], tmp_path / f"{run}.{suffix}")
    first, second = ((tmp_path / f"{run}.{suffix}").read_bytes() for run in (1, 2))
    assert first == second
