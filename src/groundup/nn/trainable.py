"""Choose which weights of a model are trained: all, the last blocks, the head alone, or low-rank adapters."""

from groundup.errors import BadInput
from groundup.nn.config import LoRAConfig
from groundup.nn.decoder import Decoder
from groundup.nn.encoder import Encoder
from groundup.nn.lora import add_adapters


def freeze_all_but(trunk: Decoder | Encoder, blocks: int | None, lora: LoRAConfig | None) -> None:
    """Choose the weights to train: only the last blocks, only new adapters, or everything.

    Args:
        trunk: the model, changed in place.
        blocks: train only the last `blocks` blocks and the final norm; None: no such limit.
        lora: add adapters and train only these; None: no adapters.

    Raises:
        BadInput: both `blocks` and `lora` are given, the model has fewer blocks, or it lacks layers named in
            `lora.targets`.
    """
    if blocks is not None and lora is not None:
        raise BadInput(
            f"trainable_blocks is {blocks} and lora is given; expected one of them, since adapters leave every block "
            f"frozen: set the other to null."
        )
    if lora is not None:
        add_adapters(trunk, lora)
    if blocks is not None:
        there = len(trunk.h)
        if not 0 <= blocks <= there:
            raise BadInput(
                f"trainable_blocks is {blocks}; expected a number from 0 to {there}, the number of blocks of the "
                f"model: correct it."
            )
        trunk.requires_grad_(False)
        trunk.ln_f.requires_grad_(True)
        for block in list(trunk.h)[there - blocks :]:
            block.requires_grad_(True)
