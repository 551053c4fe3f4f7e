"""The study's page on the transformer family: data flow, one query's attention, every head, cross-attention."""

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

CHANNELS = 3  # number of channels of each value vector shown in the table of one query's attention
MASKS = ("decoder", "encoder")


def draw(metrics: Path, curves: Path, shown: Path, pictures: Path) -> str:
    """Draw the pictures of the page on the transformer, and return its HTML.

    Args:
        metrics: not used.
        curves: not used.
        shown: folder with the facts and attention maps, in transformer/.
        pictures: folder to write to.
    """
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
    """Return the stacks of one model, with their total parameters and FLOPs per token."""
    return {
        "stacks": stacks,
        "parameters": sum(stack.parameters for stack in stacks),
        "flops": sum(stack.flops for stack in stacks),
    }
