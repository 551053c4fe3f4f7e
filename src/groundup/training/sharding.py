"""Tensors of which each rank holds some rows, as FSDP2 makes them, and the same operations on whole tensors.

A sharded tensor is a DTensor. Ordinary tensors pass through unchanged, and importing this module imports nothing of
torch.distributed.
"""

from typing import TYPE_CHECKING, TypeGuard

from torch import Tensor

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def is_sharded(tensor: Tensor) -> "TypeGuard[DTensor]":
    """Return whether each rank holds only a part of the tensor."""
    return hasattr(tensor, "placements")


def local(tensor: Tensor) -> Tensor:
    """Return the part of a tensor that this rank holds, not copied; of an ordinary tensor, all of it."""
    return tensor.to_local() if is_sharded(tensor) else tensor


def whole(part: Tensor, like: Tensor) -> Tensor:
    """Return the whole tensor that the parts of all ranks make up, which are divided like another tensor."""
    if not is_sharded(like):
        return part
    from torch.distributed.tensor import DTensor

    shape, stride = like.shape, like.stride()
    divided = DTensor.from_local(part, like.device_mesh, like.placements, shape=shape, stride=stride)
    return divided.full_tensor()


def part_of(tensor: Tensor, like: Tensor) -> Tensor:
    """Return this rank's part of a tensor that all ranks hold, if it is divided like another tensor."""
    return local(divided(tensor, like))


def divided(tensor: Tensor, like: Tensor) -> Tensor:
    """Return a tensor that all ranks hold as one that is divided like another tensor of its shape."""
    if not is_sharded(like):
        return tensor
    from torch.distributed.tensor import DTensor, Replicate

    mesh = like.device_mesh
    same = DTensor.from_local(tensor.to(mesh.device_type), mesh, [Replicate()] * mesh.ndim, run_check=False)
    return same.redistribute(placements=like.placements)
