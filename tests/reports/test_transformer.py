"""The page, drawn for tiny models."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from groundup.checkpoint import Checkpoint, CheckpointConfig
from groundup.files import write_json
from groundup.inspection.attention_maps import save_maps
from groundup.inspection.config import ExplainConfig
from groundup.inspection.explanation import KINDS, explain
from groundup.nn.encoder import Encoder
from groundup.nn.encoder_decoder import EncoderDecoder
from groundup.reports import transformer
from groundup.tokenizers.characters import CharacterTokenizer
from tests.reports.html_page import Page
from tests.tiny import model_config, random_decoder

TOKENIZER = CharacterTokenizer.train(["abcdefgh <$>"])
SIZE = TOKENIZER.vocab_size


def checkpoint(kind: Any, model: torch.nn.Module) -> Checkpoint:
    config = CheckpointConfig(kind, model.config, TOKENIZER.fingerprint)  # type: ignore[arg-type]
    return Checkpoint(model.eval(), TOKENIZER, config)


@dataclass
class Drawn:
    models: dict[str, Checkpoint]
    facts: dict[str, Any]
    pictures: set[str]
    html: str

    @property
    def text(self) -> str:
        return " ".join(self.html.split())

    def rows(self, head: str) -> list[list[str]]:
        """The cells of the first table after the heading of a section."""
        table = self.html.partition(f">{head}</h2>")[2].partition("<table>")[2].partition("</table>")[0]
        lines = [line for line in table.splitlines() if "<td" in line]
        return [
            [cell.partition(">")[2].partition("<")[0] for cell in line.split("<td")[1:]] for line in lines
        ]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    folder: Path = tmp_path_factory.mktemp("transformer")
    torch.manual_seed(0)
    models = {
        "decoder": checkpoint("decoder", random_decoder("modern", vocab_size=SIZE)),
        "encoder": checkpoint("encoder", Encoder(model_config("bert", vocab_size=SIZE))),
        "encoder_decoder": checkpoint(
            "encoder_decoder",
            EncoderDecoder(model_config("transformer", vocab_size=SIZE, n_encoder_layer=3)),
        ),
    }
    same = checkpoint("decoder", random_decoder("gpt2", vocab_size=SIZE))
    found = explain(models, same, ExplainConfig(sentence="bad <cab", verse="bad $", layer=2, head=3))
    write_json(folder / "shown" / "transformer" / "facts.json", found.facts)
    save_maps(folder / "shown" / "transformer" / "maps.npz", found.maps)
    html = transformer.draw(*(folder / name for name in ("metrics", "curves", "shown", "pictures")))
    pictures = {path.stem for path in (folder / "pictures").glob("*.png")}
    return Drawn(models, json.loads((folder / "shown/transformer/facts.json").read_text()), pictures, html)


def parameters(checkpoint: Checkpoint) -> int:
    return sum(p.numel() for p in checkpoint.model.parameters())


def test_every_picture_is_drawn_and_on_the_page(drawn: Drawn) -> None:
    flows = {"flow_decoder", "flow_encoder", "flow_encoder_decoder", "masks"}
    assert drawn.pictures == flows | {
        f"{kind}_{layer}" for kind in ("decoder", "encoder", "cross") for layer in (1, 2)
    }
    assert len(Page(drawn.html).fetched) == len(drawn.pictures)
    assert '<span class="piece">&lt;</span>' in drawn.html and "<cab" not in drawn.html


def test_the_overview_has_one_row_per_model(drawn: Drawn) -> None:
    rows = drawn.rows("Three members of a family")
    assert [row[0] for row in rows] == list(KINDS.values())
    assert [row[1] for row in rows] == ["2", "2", "3 + 2"]
    assert [row[6] for row in rows] == ["before", "after", "after"]
    assert [row[7] for row in rows] == [f"{parameters(model):,}" for model in drawn.models.values()]


def test_the_parameters_of_the_parts_add_up(drawn: Drawn) -> None:
    rows = drawn.rows("Data flow of the encoder-decoder")
    total = parameters(drawn.models["encoder_decoder"])
    counts = [int(row[4].replace(",", "")) for row in rows if row[4] != "–"]
    assert sum(counts) == total
    assert [row[5] for row in rows if row[5] != "–"] == [f"{count / total:.1%}" for count in counts]
    assert any(row[0].startswith("encoder: ") for row in rows)


def test_a_decoder_gives_later_tokens_no_weight_and_an_encoder_some(drawn: Drawn) -> None:
    assert "the decoder's heads give 0.0% of their weight to later tokens" in drawn.text
    assert f"the encoder's heads {drawn.facts['later']['encoder']:.1%}" in drawn.text
    assert drawn.facts["later"]["encoder"] > 0.01


def test_one_row_per_head_and_the_strongest_head_is_named(drawn: Drawn) -> None:
    rows = drawn.rows("What the decoder attends to")
    assert [row[0] for row in rows] == [f"{layer}.{head}" for layer in (1, 2) for head in (1, 2, 3, 4)]
    itself = {row[0]: float(row[1].rstrip("%")) for row in rows}
    said = drawn.text.partition(">What the decoder attends to</h2>")[2].partition(
        "attend most to each target: "
    )[2]
    said = said.partition("</p>")[0]
    name = said.split("itself: head ")[1].split(" ")[0]
    assert itself[name] == max(itself.values())
    assert "later tokens" not in said  # a decoder gives them no weight


def test_the_table_of_one_attention_step_adds_up(drawn: Drawn) -> None:
    rows = drawn.rows("Attention, step by step")
    assert [row[0] for row in rows] == ["(end)", *"bad ", "&lt;", *"cab", "sum"]
    weights = [float(row[4].rstrip("%")) for row in rows]
    assert sum(weights[:-1]) == pytest.approx(100, abs=0.5) and weights[-1] == 100
    for column in (8, 9, 10):
        parts = [float(row[column]) for row in rows]
        assert sum(parts[:-1]) == pytest.approx(parts[-1], abs=0.05)
    assert "Layer 2, head 3 of the main" in drawn.text and "÷ √4" in drawn.text
    assert "The query is “b”" in drawn.text


def test_all_texts_are_shown_as_tokens(drawn: Drawn) -> None:
    pieces = Page(drawn.html).text_of("span", "piece")
    tokens = drawn.facts["tokens"]
    shown = [*tokens["decoder"], *tokens["encoder"], *tokens["source"], *tokens["target"]]
    assert pieces == shown
