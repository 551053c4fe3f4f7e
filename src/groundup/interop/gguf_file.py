"""Read the bytes of a GGUF file: fields as plain values, tensors memory-mapped.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Of the package gguf only the
dequantisation is used: its reader keeps three arrays per token of the vocabulary, which takes seconds and
more memory than most tensors.
"""

import math
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundup.errors import BadInput
from groundup.nn.weights import Shape

SCALARS = dict(enumerate("BbHhIif?")) | {10: "Q", 11: "q", 12: "d"}  # type of a field -> its name in struct
STRING, ARRAY = 8, 9
# types of tensors that need no dequantisation
PLAIN = {
    "I8": np.int8,
    "I16": np.int16,
    "I32": np.int32,
    "I64": np.int64,
    "F64": np.float64,
}
ROWS = 1024  # rows that are dequantised at once; this bounds the memory needed in addition


@cache
def can_read(kind: int) -> bool:
    """Return whether `GGUFTensor.values` can read tensors of this type (GGML's number)."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

    try:
        known = GGMLQuantizationType(kind)
        _, size = GGML_QUANT_SIZES[known]
        if known.name not in PLAIN:
            dequantize(np.zeros((1, size), np.uint8), known)
    except (ValueError, KeyError, NotImplementedError):
        return False
    return True


def _kind_name(kind: int) -> str:
    from gguf import GGMLQuantizationType

    return GGMLQuantizationType(kind).name if kind in [*GGMLQuantizationType] else f"kind {kind}"


@dataclass(frozen=True)
class GGUFTensor:
    """A tensor of a GGUF file, memory-mapped.

    Attributes:
        shape: in PyTorch's order.
        kind: how it is quantised, as GGML's number of the type.
        data: (rows, bytes per row).
    """

    shape: Shape
    kind: int
    data: NDArray[np.uint8]

    def values(self) -> NDArray[np.float32]:
        """Return the dequantised values, of shape `shape`."""
        from gguf import GGMLQuantizationType, dequantize

        found, kind = np.empty((len(self.data), self.shape[-1]), np.float32), GGMLQuantizationType(self.kind)
        for n in range(0, len(found), ROWS):
            rows = self.data[n : n + ROWS]
            found[n : n + ROWS] = (
                rows.view(PLAIN[kind.name]) if kind.name in PLAIN else dequantize(rows, kind)
            )
        return found.reshape(self.shape)


@dataclass(frozen=True)
class GGUFFile:
    """The content of a GGUF file: fields and tensors by name.

    Shapes are in PyTorch's order, the reverse of the file's.
    """

    where: str
    fields: dict[str, Any]
    tensors: dict[str, GGUFTensor]


def open_gguf(path: Path) -> GGUFFile:
    """Open a GGUF file: read its header and memory-map its tensors.

    Raises:
        BadInput: the file is missing, truncated, one part of several or not GGUF, or has a tensor of a type
            that cannot be read (it is named).
    """
    if not Path(path).is_file():
        raise BadInput(f"{path} does not exist; expected a GGUF file: check the path.")
    try:
        return _Header(np.memmap(path, np.uint8, "r")).read(str(path))
    except BadInput:
        raise
    except (ValueError, KeyError, TypeError, struct.error, ArithmeticError, MemoryError) as error:
        raise BadInput(
            f"{path} is not a GGUF file, or is truncated ({error}); expected a complete one: download it again."
        ) from error


class _Header:
    """Reads the header of a GGUF file, one value after another."""

    def __init__(self, data: "np.memmap[Any, np.dtype[np.uint8]]") -> None:
        self._data, self._place = data, 0

    def read(self, where: str) -> GGUFFile:
        if bytes(self._take(4)) != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        [version] = self._numbers("I")
        if version not in (2, 3):
            raise ValueError(f"its version is {version} instead of 2 or 3")
        n_tensors, n_fields = self._numbers("Q", 2)
        fields = {self._string(): self._value(*self._numbers("I")) for _ in range(n_fields)}
        parts = fields.get("split.count", 1)
        if parts > 1:
            raise BadInput(
                f"{where} is one of {parts} parts of a model; expected a complete model: join the parts with "
                f"llama-gguf-split --merge."
            )
        found = [(self._string(), *self._tensor()) for _ in range(n_tensors)]
        names = [name for name, *_ in found]
        if len(set(names)) < len(names):
            raise ValueError(f"it has {max(names, key=names.count)} twice")
        for name, _, kind, _ in found:
            if not can_read(kind):
                raise BadInput(
                    f"{where} stores {name} as {_kind_name(kind)}, which groundup cannot read; expected floats or a "
                    f"common quantisation such as Q8_0 or Q4_K: choose another file of the model."
                )
        alignment = fields.get("general.alignment", 32)
        start = -(-self._place // alignment) * alignment
        return GGUFFile(
            where,
            fields,
            {name: self._mapped(shape, kind, start + offset) for name, shape, kind, offset in found},
        )

    def _take(self, size: int) -> "np.ndarray[Any, np.dtype[np.uint8]]":
        if self._place + size > len(self._data):
            raise ValueError(f"it ends at byte {len(self._data):,}, in the middle of a value")
        taken = self._data[self._place : self._place + size]
        self._place += size
        return taken

    def _numbers(self, letter: str, count: int = 1) -> tuple[Any, ...]:
        form = f"<{count}{letter}"
        return struct.unpack(form, bytes(self._take(struct.calcsize(form))))

    def _string(self) -> str:
        [size] = self._numbers("Q")
        return bytes(self._take(size)).decode("utf-8")

    def _value(self, kind: int) -> Any:
        if kind == STRING:
            return self._string()
        if kind == ARRAY:
            [of] = self._numbers("I")
            [count] = self._numbers("Q")
            if of in SCALARS:
                return list(self._numbers(SCALARS[of], count))
            return [self._value(of) for _ in range(count)]
        return self._numbers(SCALARS[kind])[0]

    def _tensor(self) -> tuple[Shape, int, int]:
        [n_dimensions] = self._numbers("I")
        shape = self._numbers("Q", n_dimensions)[::-1]
        [kind], [offset] = self._numbers("I"), self._numbers("Q")
        return shape, kind, offset

    def _mapped(self, shape: Shape, kind: int, start: int) -> GGUFTensor:
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

        block, size = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
        if not shape or 0 in shape or shape[-1] % block:
            raise ValueError(f"a tensor of shape {shape} is not made of blocks of {block}")
        rows, width = math.prod(shape[:-1]), shape[-1] // block * size
        self._place = start
        return GGUFTensor(shape, kind, self._take(rows * width).reshape(rows, width))
