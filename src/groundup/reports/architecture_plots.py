"""Draw a model's data flow: its parts with their sizes, the tensors between them, and the residual paths."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from groundup.inspection.stacks import Part, Stack
from groundup.reports.style import CYCLE, GRID, INK, SOFT, figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# inches
WIDTH, LEFT, RIGHT = 6.0, 1.0, 4.0  # width of a stack; left and right edge of its boxes
MIDDLE = (LEFT + RIGHT) / 2
BOX, GAP, PLUS = 0.52, 0.36, 0.11
FILLS = {"attn": "#d6e8f5", "mlp": "#fbe9c8", "norm": "#f1f3f5", "other": "#d8efe7"}


@styled
def data_flow(stacks: Sequence[Stack]) -> "Figure":
    """Draw the data flow of a model: its stacks side by side, each from top to bottom.

    An arrow leads from the output of an encoder to the cross-attention of the decoder.
    """
    total = sum(stack.parameters for stack in stacks)
    height = max(map(_height, stacks))
    drawing, [axes] = figure(WIDTH * len(stacks), height)
    axes.set(xlim=(0, WIDTH * len(stacks)), ylim=(height, 0), aspect="equal")
    axes.set_axis_off()
    memory: tuple[float, float] | None = None
    for number, stack in enumerate(stacks):
        memory = _draw(axes, stack, WIDTH * number, total, memory)
    return drawing


def _height(stack: Stack) -> float:
    block = len(stack.block) * (BOX + GAP) + sum(map(_adds, stack.block)) * (2 * PLUS + 0.7 * GAP)
    others = len(stack.embeddings) * (BOX + 0.06) + (len(stack.head) + len(stack.aside)) * (BOX + GAP)
    return 2.1 + block + others


def _adds(part: Part) -> bool:
    """Return whether a part of a block has a residual connection, which adds its input to its output."""
    return not _is_norm(part)


def _is_norm(part: Part) -> bool:
    return part.name.rpartition(".")[2].startswith("ln_")


def _draw(
    axes: "Axes", stack: Stack, x: float, total: int, memory: tuple[float, float] | None
) -> tuple[float, float]:
    """Draw one stack of a model's data flow.

    Args:
        axes: where to draw.
        stack: the encoder or decoder.
        x: the left edge of the stack.
        total: number of parameters of the model.
        memory: position (x, y) of the encoder's output, for the cross-attention of a decoder; None without encoder.

    Returns:
        The position (x, y) of the stack's output.
    """
    middle = x + MIDDLE
    share = f"{stack.parameters / total:.0%} of the parameters" if stack.parameters < total else ""
    facts = f"{stack.parameters:,} parameters, {_flops(stack.flops)} per token"
    axes.text(x + 0.1, 0.2, stack.title, fontsize=14, fontweight="bold", va="center")
    axes.text(x + 0.1, 0.47, ", ".join(filter(None, (facts, share))), fontsize=9.5, color=SOFT, va="center")
    T = stack.embeddings[0].shape[1]
    axes.text(middle, 0.82, f"token ids {_shape((1, T))}", ha="center", va="center", fontsize=9.5)
    y = 0.95
    _arrow(axes, middle, y, y + 0.24)
    y += 0.24
    for number, part in enumerate(stack.embeddings):
        _box(axes, part, x, y, 1, total)
        if number and not _is_norm(part):
            axes.text(x + LEFT - 0.14, y + BOX / 2, "+", ha="center", va="center", fontsize=13)
        y += BOX + 0.06
    y = _pass(axes, middle, y - 0.06, stack.embeddings[0].shape, GAP + 0.14)
    top = y - 0.08

    branch = y  # where the residual path branches off
    for part in stack.block:
        if _adds(part) and not stack.norm_first:
            branch = y
        _box(axes, part, x, y, stack.layers, total)
        if memory is not None and part.name.endswith("cross_attn"):
            _memory(axes, memory, (x + LEFT, y + BOX / 2))
        y += BOX
        if _adds(part):
            y = _plus(axes, middle, y, branch - 0.15)
            branch = y
        y = _pass(axes, middle, y, part.shape if part is stack.block[-1] else None)
        if _adds(part) and stack.norm_first:
            branch = y
    bottom = y - GAP + 0.1
    _frame(axes, x, top, bottom, f"× {stack.layers}")

    for part in stack.head:
        _box(axes, part, x, y, 1, total)
        y = _pass(axes, middle, y + BOX, part.shape)
    of = "the next token" if stack.causal else "the token at each position"
    output = f"logits of {of}" if stack.head and stack.head[-1].name == "lm_head" else "the encoded text"
    axes.text(middle, y + 0.12, output, ha="center", va="center", fontsize=9.5)
    for number, part in enumerate(stack.aside):
        _box(axes, part, x, y + 0.3 + number * (BOX + GAP), 1, total)
    return middle, y + 0.12


def _box(axes: "Axes", part: Part, x: float, y: float, times: int, total: int) -> None:
    from matplotlib.patches import FancyBboxPatch

    name = part.name.rpartition(".")[2]
    kind = "norm" if _is_norm(part) else "attn" if "attn" in name else "mlp" if name == "mlp" else "other"
    shape: dict[str, Any] = {"boxstyle": "round,pad=0,rounding_size=0.08", "edgecolor": SOFT, "linewidth": 1}
    axes.add_patch(FancyBboxPatch((x + LEFT, y), RIGHT - LEFT, BOX, facecolor=FILLS[kind], **shape))
    axes.text(x + MIDDLE, y + 0.18, part.title, ha="center", va="center", fontsize=10.5, fontweight="bold")
    axes.text(x + MIDDLE, y + 0.38, part.detail, ha="center", va="center", fontsize=9)
    if part.parameters:
        count = f"{times} × {part.parameters:,}" if times > 1 else f"{part.parameters:,}"
        share = part.parameters * times / total
        line = f"{count}  ({f'{share:.1%}' if share >= 0.0005 else '<0.1%'})"
        axes.text(x + RIGHT + 0.22, y + 0.18, line, va="center", fontsize=9)
    if part.flops:
        axes.text(x + RIGHT + 0.22, y + 0.38, _flops(part.flops * times), va="center", fontsize=9, color=SOFT)


def _arrow(axes: "Axes", x: float, top: float, bottom: float) -> None:
    style = {
        "arrowstyle": "-|>",
        "color": INK,
        "linewidth": 1,
        "shrinkA": 0,
        "shrinkB": 0,
        "mutation_scale": 9,
    }
    axes.annotate("", (x, bottom), (x, top), arrowprops=style)


def _pass(axes: "Axes", x: float, y: float, shape: tuple[int, ...] | None, gap: float = GAP) -> float:
    """Draw an arrow downwards from `y`, labelled with a tensor's shape if there is one; return where the arrow ends."""
    _arrow(axes, x, y, y + gap)
    if shape is not None:
        axes.text(x + 0.12, y + gap / 2, _shape(shape), va="center", fontsize=9, color=CYCLE[0])
    return y + gap


def _plus(axes: "Axes", x: float, y: float, branch: float) -> float:
    """Draw the sum below a part, and the residual path to it from height `branch`; return the lower end of the sum."""
    from matplotlib.patches import Circle

    centre, around = y + GAP * 0.7 + PLUS, x - MIDDLE + LEFT - 0.32
    _arrow(axes, x, y, centre - PLUS)
    axes.plot((x, around, around), (branch, branch, centre), color=CYCLE[1], linewidth=1.4)
    style = {
        "arrowstyle": "-|>",
        "color": CYCLE[1],
        "linewidth": 1.4,
        "shrinkA": 0,
        "shrinkB": 0,
        "mutation_scale": 9,
    }
    axes.annotate("", (x - PLUS, centre), (around, centre), arrowprops=style)
    axes.add_patch(Circle((x, centre), PLUS, facecolor="white", edgecolor=INK, linewidth=1))
    axes.text(x, centre, "+", ha="center", va="center", fontsize=11)
    return centre + PLUS


def _memory(axes: "Axes", start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw the path of the encoder's output from `start`, below its stack, to `end`, the decoder's cross-attention."""
    between = end[0] - LEFT - 0.02
    axes.plot(
        (start[0] + 0.62, between, between), (start[1], start[1], end[1]), color=CYCLE[2], linewidth=1.6
    )
    style = {
        "arrowstyle": "-|>",
        "color": CYCLE[2],
        "linewidth": 1.6,
        "shrinkA": 0,
        "shrinkB": 0,
        "mutation_scale": 10,
    }
    axes.annotate("", end, (between, end[1]), arrowprops=style)
    axes.text(between + 0.08, end[1] - 0.12, "k, v", fontsize=9, color=CYCLE[2], va="center")


def _frame(axes: "Axes", x: float, top: float, bottom: float, label: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    style: dict[str, Any] = {
        "boxstyle": "round,pad=0,rounding_size=0.12",
        "edgecolor": GRID,
        "facecolor": "#fbfcfd",
    }
    axes.add_patch(
        FancyBboxPatch((x + 0.3, top), WIDTH - 0.45, bottom - top, linewidth=1.4, zorder=0, **style)
    )
    axes.text(
        x + WIDTH - 0.2,
        top - 0.17,
        label,
        ha="right",
        va="center",
        fontsize=13,
        fontweight="bold",
        color=SOFT,
    )


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(f"{size:,}" for size in shape)


def _flops(count: int) -> str:
    """Format a number of FLOPs: 1,234,567 -> "1.2 MFLOP"."""
    return f"{count / 1e6:.1f} MFLOP" if count >= 1e5 else f"{count / 1e3:.1f} kFLOP"
