"""The page about the transformer family: data flow, one look worked out, attention of every head, cross-attention."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.files import read_json
from groundup.inspection.attention_maps import load_maps
from groundup.inspection.stacks import Stack, read_stacks
from groundup.reports.architecture_plots import data_flow
from groundup.reports.attention_plots import attention_map, mask_patterns
from groundup.reports.pages import fill
from groundup.reports.style import save

CHANNELS = 3  # of each value in the table of one look
MASKS = ("decoder", "encoder")


def draw(metrics: Path, curves: Path, shown: Path, pictures: Path) -> str:
    """The page of what explain_transformer measured; its pictures go into `pictures`."""
    facts = read_json(shown / "transformer" / "facts.json")
    maps = load_maps(shown / "transformer" / "maps.npz")
    models = {kind: model | total(read_stacks(model["stacks"])) for kind, model in facts["models"].items()}
    for kind, model in models.items():
        save(data_flow(model["stacks"]), pictures / f"flow_{kind}.png")
    seen = [maps.pop(f"mask_{kind}") for kind in MASKS]
    masks = [(name, one.weights, one.rows, one.columns) for name, one in zip(MASKS, seen, strict=True)]
    save(mask_patterns(masks), pictures / "masks.png")
    for name, one in maps.items():
        kind, _, layer = name.partition("_")
        title = f"{kind} attention, layer {layer}".capitalize()
        save(attention_map(one.weights, one.rows, one.columns, title), pictures / f"{name}.png")
    values = {**facts, "models": models, "channels": CHANNELS, "maps": list(maps), "pictures": pictures}
    return fill("transformer.html.j2", values)


def total(stacks: list[Stack]) -> Mapping[str, Any]:
    """The stacks of one model, and their parameters and operations per token in all."""
    return {
        "stacks": stacks,
        "parameters": sum(stack.parameters for stack in stacks),
        "flops": sum(stack.flops for stack in stacks),
    }
