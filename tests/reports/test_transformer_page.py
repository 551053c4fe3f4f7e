from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from groundup.evaluation import attention_steps, explanation
from groundup.evaluation.architecture import stacks
from groundup.nn.encoder import Encoder
from groundup.nn.encoder_decoder import EncoderDecoder
from groundup.reports import transformer_page
from groundup.reports.study_page import Pieces, Table, Text, render
from groundup.tokenizers.characters import CharacterTokenizer
from tests.tiny import model_config, random_decoder

TOKENIZER = CharacterTokenizer.train(["abcdefgh $"])
SIZE = TOKENIZER.vocab_size


def tables(section):
    return [part for part in section.parts if isinstance(part, Table)]


@pytest.fixture(scope="module")
def decoder():
    return random_decoder("modern", vocab_size=SIZE)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return Encoder(model_config("bert", vocab_size=SIZE)).eval()


@pytest.fixture(scope="module")
def translator():
    return EncoderDecoder(model_config("transformer", vocab_size=SIZE, n_encoder_layer=3)).eval()


def test_the_overview_has_a_row_a_model_and_its_numbers(decoder, translator):
    idx, source = torch.arange(5)[None], torch.arange(7)[None]
    models = {
        "one": (stacks(decoder, idx), asdict(decoder.config)),
        "two": (stacks(translator, idx, source), asdict(translator.config)),
    }
    [table] = tables(transformer_page.overview(models))
    one, two = (dict(zip(table.head, row, strict=True)) for row in table.rows)
    assert (one["model"], one["layers"], one["norm"]) == ("one", "2", "before")
    assert (two["model"], two["layers"], two["norm"]) == ("two", "3 + 2", "after")
    for row, model in ((one, decoder), (two, translator)):
        assert row["parameters"] == f"{sum(p.numel() for p in model.parameters()):,}"
    facts = transformer_page.facts(*models["two"])
    assert facts["layers"] == [3, 2] and facts["channels"] == 16
    assert facts["parameters"] == sum(p.numel() for p in translator.parameters())


def test_the_shares_of_the_parts_are_those_of_the_whole(translator):
    flow = stacks(translator, torch.arange(5)[None], torch.arange(7)[None])
    section = transformer_page.data_flow("encoder_decoder", flow, Path("flow.png"))
    [table] = tables(section)
    rows = [dict(zip(table.head, row, strict=True)) for row in table.rows]
    total = sum(p.numel() for p in translator.parameters())
    counts = [int(row["parameters"].replace(",", "")) for row in rows if row["parameters"] != "–"]
    assert sum(counts) == total
    shares = [row["share"] for row in rows if row["share"] != "–"]
    assert shares == [f"{count / total:.1%}" for count in counts]
    assert any(row["part"].startswith("encoder: ") for row in rows)


def test_nothing_of_the_future_in_a_decoder_and_something_in_an_encoder(decoder, encoder):
    past, both = (explanation.see(model, TOKENIZER, "bad cab") for model in (decoder, encoder))
    [said] = [
        part for part in transformer_page.masks(past, both, Path("m.png")).parts if isinstance(part, Text)
    ]
    assert "the decoder's heads give 0.0% of their weight to later tokens" in said.text
    assert "the encoder's 0.0%" not in said.text


def test_a_row_a_head_and_the_strongest_is_the_largest_of_its_column(decoder):
    seen = explanation.see(decoder, TOKENIZER, "bad cab")
    section = transformer_page.self_attention("decoder", seen, [Path("1.png"), Path("2.png")])
    [table] = tables(section)
    assert [row[0] for row in table.rows] == [f"{layer}.{head}" for layer in (1, 2) for head in (1, 2, 3, 4)]
    itself = {row[0]: float(row[1].rstrip("%")) for row in table.rows}
    [said] = [part.text for part in section.parts if isinstance(part, Text)]
    name = said.split("at itself: head ")[1].split(" ")[0]
    assert itself[name] == max(itself.values())
    assert "at later tokens" not in said  # a decoder has none


def test_the_sections_name_layer_and_head_and_make_a_page(decoder, translator):
    text = "bad $"
    seen = explanation.see(decoder, TOKENIZER, text)
    verse = explanation.see_translation(translator, TOKENIZER, text)
    found = attention_steps.look(decoder, seen.idx, 1, 2, seen.last_word)
    sections = [
        transformer_page.one_look(found, seen, seen.last_word, layer=2, head=3),
        transformer_page.cross_attention(verse, []),
    ]
    assert "Layer 2, head 3" in sections[0].what and "√4" in sections[0].parts[0].text
    pieces = next(part for part in sections[1].parts if isinstance(part, Pieces))
    assert [tokens for _, tokens in pieces.rows] == [verse.source.tokens, verse.target.tokens]
    page = render(transformer_page.TITLE, transformer_page.LEAD, sections)
    assert all(section.title in page for section in sections)
