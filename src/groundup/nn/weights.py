"""Do these tensors belong to this model, and how do they lie in memory?"""

from collections.abc import Mapping

from torch import Tensor, nn

Shape = tuple[int, ...]


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, Shape]:
    """The shape of each."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def misfits(wanted: Mapping[str, Shape], found: Mapping[str, Shape]) -> list[str]:
    """Every missing, unexpected and misshapen tensor, in words; empty where all fit."""
    return [
        *(f"missing {name}" for name in sorted(wanted.keys() - found.keys())),
        *(f"unexpected {name}" for name in sorted(found.keys() - wanted.keys())),
        *(
            f"{name} is {found[name]} instead of {wanted[name]}"
            for name in sorted(wanted.keys() & found.keys())
            if found[name] != wanted[name]
        ),
    ]


def lay_out_for_single_tokens(model: nn.Module) -> None:
    """Store the weights that widen column by column, in place: names, shapes and values stay.

    For one token a layer is a matrix times a vector, which takes as long as reading the matrix. On a CPU the kernels
    of MKL read a matrix (out, in) with out > in up to twice as fast by columns; sums are then rounded otherwise. For
    many tokens at once it makes no difference.
    """
    wide = [m.weight for m in model.modules() if isinstance(m, nn.Linear) and m.out_features > m.in_features]
    for weight in wide:
        if weight.device.type == "cpu" and weight.is_contiguous():
            weight.data = weight.data.t().contiguous().t()
