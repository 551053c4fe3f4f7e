"""Stage explain_transformer: the trained models taken apart, and what they look at in a sentence of the user's."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from groundup.atomic import atomic_path, write_json, write_text
from groundup.evaluation import figures, study_page
from groundup.evaluation.explain_config import ExplainConfig
from groundup.recipes import ComputeConfig
from groundup.study_params import load_study_params
from groundup.tracking import Run
from pipelines.stage import run_stage

DECODER, ENCODER, BOTH = (
    "decoder of the main pipeline",
    "encoder of the study",
    "encoder-decoder of the study",
)


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
    from groundup.evaluation import attention_steps, explanation, transformer_page
    from groundup.evaluation.architecture import stacks
    from groundup.evaluation.architecture_plots import data_flow
    from groundup.evaluation.attention_plots import attention_map, mask_patterns
    from groundup.training import pick_device

    device = pick_device(compute)
    decoder, same = (load_checkpoint(path, device, "decoder") for path in (pretrained, causal))
    encoder = load_checkpoint(masked, device, "encoder")
    translator = load_checkpoint(translation, device, "encoder_decoder")

    read = explanation.see(decoder.model, decoder.tokenizer, explain.sentence)
    both = explanation.see(encoder.model, encoder.tokenizer, explain.sentence)
    past = explanation.see(same.model, same.tokenizer, explain.sentence)
    verse = explanation.see_translation(translator.model, translator.tokenizer, explain.verse)
    flows = {
        DECODER: (stacks(decoder.model, read.idx), decoder),
        ENCODER: (stacks(encoder.model, both.idx), encoder),
        BOTH: (stacks(translator.model, verse.target.idx, verse.source.idx), translator),
    }
    position = read.last_word
    found = attention_steps.look(decoder.model, read.idx, explain.layer - 1, explain.head - 1, position)

    drawn: dict[str, Any] = {
        "flow_decoder": data_flow(flows[DECODER][0]),
        "flow_encoder": data_flow(flows[ENCODER][0]),
        "flow_encoder_decoder": data_flow(flows[BOTH][0]),
        "masks": mask_patterns(
            [
                (
                    "decoder",
                    explanation.in_sight(past.record.weights).numpy(force=True),
                    past.tokens,
                    past.tokens,
                ),
                (
                    "encoder",
                    explanation.in_sight(both.record.weights).numpy(force=True),
                    both.tokens,
                    both.tokens,
                ),
            ]
        ),
    }
    for kind, weights, rows, columns in (
        ("decoder", read.record.weights, read.tokens, read.tokens),
        ("encoder", both.record.weights, both.tokens, both.tokens),
        ("cross", verse.target.record.cross_weights, verse.target.tokens, verse.source.tokens),
    ):
        for layer, heads in enumerate(weights, 1):
            title = f"{kind} attention, layer {layer}".capitalize()
            drawn[f"{kind}_{layer}"] = attention_map(heads[0].numpy(force=True), rows, columns, title)
    with atomic_path(pictures) as folder:
        folder.mkdir()
        for name, drawing in drawn.items():
            figures.save(drawing, folder / f"{name}.png")

    def pictures_of(kind: str) -> list[Path]:
        return [pictures / f"{name}.png" for name in drawn if name.startswith(f"{kind}_")]

    configs = {name: asdict(model.config.model) for name, (_, model) in flows.items()}
    facts = {
        name: {
            "parameters": sum(stack.parameters for stack in found_stacks),
            "flops_per_token": sum(stack.flops for stack in found_stacks),
            "layers": [stack.layers for stack in found_stacks],
            "heads": configs[name]["n_head"],
            "channels": configs[name]["n_embd"],
        }
        for name, (found_stacks, _) in flows.items()
    }
    write_json(metrics, {"models": facts, "source": explain.verse, "translation": verse.text})
    sections = [
        transformer_page.overview({name: (flows[name][0], configs[name]) for name in flows}),
        *(
            transformer_page.data_flow(kind, flows[name][0], pictures / f"flow_{kind}.png")
            for name, kind in ((DECODER, "decoder"), (ENCODER, "encoder"), (BOTH, "encoder_decoder"))
        ),
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


if __name__ == "__main__":
    params = load_study_params(Path("params.yaml"), Path("pipelines/study/params.yaml"))
    run_stage(main, explain=params.explain, compute=params.compute)
