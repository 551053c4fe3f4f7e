"""Stage explain_transformer: the trained models taken apart, and what they look at in a sentence of the user's."""

from dataclasses import asdict
from pathlib import Path

from groundup.evaluation.explain_config import ExplainConfig
from groundup.files import atomic_path, write_json, write_text
from groundup.reports import study_page
from groundup.reports import style as figures
from groundup.tracking import Run
from groundup.training.config import ComputeConfig


def main(
    run: Run,
    pretrained: Path,
    causal: Path,
    masked: Path,
    translation: Path,
    metrics: Path,
    pictures: Path,
    page: Path,
    *,
    explain: ExplainConfig,
    compute: ComputeConfig,
) -> None:
    """Read the sentence with each model, draw, and write the page."""
    from groundup.checkpoint import load_checkpoint
    from groundup.evaluation import attention_steps, explanation
    from groundup.evaluation.architecture import stacks
    from groundup.reports import transformer_page
    from groundup.training.devices import pick_device

    device = pick_device(compute)
    decoder, same = (load_checkpoint(path, device, "decoder") for path in (pretrained, causal))
    encoder = load_checkpoint(masked, device, "encoder")
    translator = load_checkpoint(translation, device, "encoder_decoder")
    loaded = {"decoder": decoder, "encoder": encoder, "encoder_decoder": translator}

    read = explanation.see(decoder.model, decoder.tokenizer, explain.sentence)
    both = explanation.see(encoder.model, encoder.tokenizer, explain.sentence)
    past = explanation.see(same.model, same.tokenizer, explain.sentence)
    verse = explanation.see_translation(translator.model, translator.tokenizer, explain.verse)
    position = read.last_word
    found = attention_steps.look(decoder.model, read.idx, explain.layer - 1, explain.head - 1, position)
    flows = {
        "decoder": stacks(decoder.model, read.idx),
        "encoder": stacks(encoder.model, both.idx),
        "encoder_decoder": stacks(translator.model, verse.target.idx, verse.source.idx),
    }
    drawn = explanation.draw(flows, {"decoder": past, "encoder": both}, read, both, verse)
    with atomic_path(pictures) as folder:
        folder.mkdir()
        for name, drawing in drawn.items():
            figures.save(drawing, folder / f"{name}.png")

    models = {
        name: (flows[kind], asdict(loaded[kind].config.model))
        for kind, name in transformer_page.NAMES.items()
    }
    facts = {name: transformer_page.facts(*model) for name, model in models.items()}
    write_json(metrics, {"models": facts, "source": explain.verse, "translation": verse.text})

    def pictures_of(kind: str) -> list[Path]:
        return [pictures / f"{name}.png" for name in drawn if name.startswith(f"{kind}_")]

    sections = [
        transformer_page.overview(models),
        *(transformer_page.data_flow(kind, flows[kind], pictures / f"flow_{kind}.png") for kind in flows),
        transformer_page.masks(past, both, pictures / "masks.png"),
        transformer_page.one_look(found, read, position, explain.layer, explain.head),
        transformer_page.self_attention("decoder", read, pictures_of("decoder")),
        transformer_page.self_attention("encoder", both, pictures_of("encoder")),
        transformer_page.cross_attention(verse, pictures_of("cross")),
    ]
    write_text(page, study_page.render(transformer_page.TITLE, transformer_page.LEAD, sections))
    for path in (metrics, page):
        run.artifact(path)
    run.artifact(pictures, "plots")
