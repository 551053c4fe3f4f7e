import struct
from pathlib import Path

import numpy as np
import pytest

from groundup.errors import BadInput
from groundup.interop.gguf_file import open_gguf

gguf = pytest.importorskip("gguf")
Q8 = gguf.GGMLQuantizationType.Q8_0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """As the package writes it; the second tensor has more rows than are dequantised at once."""
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_string("name", "naïve")
    writer.add_array("tokens", ["a", "Ġb", ""])
    writer.add_array("numbers", [1, -2])
    writer.add_bool("yes", True)
    writer.add_float32("half", 0.5)
    writer.add_uint64("large", 2**40)
    writer.add_tensor("plain", rng.normal(size=(2, 3, 4)).astype(np.float32))
    writer.add_tensor("half_precision", rng.normal(size=(5, 8)).astype(np.float16))
    quantised = gguf.quantize(rng.normal(size=(1500, 64)).astype(np.float32), Q8)
    writer.add_tensor("quantised", quantised, raw_dtype=Q8)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tmp_path / "m.gguf"


def test_reads_what_the_package_reads(path: Path) -> None:
    file, reference = open_gguf(path), gguf.GGUFReader(path)
    expected = {name: field.contents() for name, field in reference.fields.items()}
    assert file.fields == {name: value for name, value in expected.items() if not name.startswith("GGUF.")}
    assert file.fields["tokens"] == ["a", "Ġb", ""]
    assert list(file.tensors) == ["plain", "half_precision", "quantised"]
    for tensor in reference.tensors:
        found = file.tensors[tensor.name]
        assert found.shape == tuple(tensor.shape[::-1])
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        assert np.array_equal(found.values(), values.reshape(found.shape))


def test_cut_short_anywhere_is_told(path: Path) -> None:
    whole = path.read_bytes()
    for end in [3, 20, 60, 150, len(whole) // 2, len(whole) - 40]:
        path.write_bytes(whole[:end])
        with pytest.raises(BadInput, match="no GGUF file, or cut short"):
            open_gguf(path)


def test_damaged_counts_are_told(path: Path) -> None:
    whole = path.read_bytes()
    for place in (8, 16, 24):  # tensors, fields, characters of the first name
        path.write_bytes(whole[:place] + struct.pack("<Q", 2**62) + whole[place + 8 :])
        with pytest.raises(BadInput, match="no GGUF file, or cut short"):
            open_gguf(path)
    path.write_bytes(whole[:4] + struct.pack("<I", 1) + whole[8:])
    with pytest.raises(BadInput, match="version is 1"):
        open_gguf(path)


def test_an_empty_and_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").touch()
    with pytest.raises(BadInput, match="no GGUF file"):
        open_gguf(tmp_path / "m.gguf")
    with pytest.raises(BadInput, match="does not exist"):
        open_gguf(tmp_path / "n.gguf")
