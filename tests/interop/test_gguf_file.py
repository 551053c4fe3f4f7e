import struct
from pathlib import Path

import numpy as np
import pytest

from groundup.errors import BadInput
from groundup.interop.gguf_file import can_read, open_gguf

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


def test_a_truncated_file_is_refused(path: Path) -> None:
    whole = path.read_bytes()
    for end in [3, 20, 60, 150, len(whole) // 2, len(whole) - 40]:
        path.write_bytes(whole[:end])
        with pytest.raises(BadInput, match="not a GGUF file, or is truncated"):
            open_gguf(path)


def test_damaged_counts_are_refused(path: Path) -> None:
    whole = path.read_bytes()
    for place in (8, 16, 24):  # tensors, fields, characters of the first name
        path.write_bytes(whole[:place] + struct.pack("<Q", 2**62) + whole[place + 8 :])
        with pytest.raises(BadInput, match="not a GGUF file, or is truncated"):
            open_gguf(path)
    path.write_bytes(whole.replace(struct.pack("<QQQ", 4, 3, 2), struct.pack("<QQQ", 0, 2**50, 1)))
    with pytest.raises(BadInput, match="is not made of blocks"):  # no bytes, but rows without end
        open_gguf(path)
    path.write_bytes(whole[:4] + struct.pack("<I", 1) + whole[8:])
    with pytest.raises(BadInput, match="version is 1"):
        open_gguf(path)


def test_an_empty_and_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").touch()
    with pytest.raises(BadInput, match="not a GGUF file"):
        open_gguf(tmp_path / "m.gguf")
    with pytest.raises(BadInput, match="does not exist"):
        open_gguf(tmp_path / "n.gguf")


PLAIN = [
    (gguf.GGMLQuantizationType.F64, np.float64),
    (gguf.GGMLQuantizationType.I8, np.int8),
    (gguf.GGMLQuantizationType.I16, np.int16),
    (gguf.GGMLQuantizationType.I32, np.int32),
    (gguf.GGMLQuantizationType.I64, np.int64),
]


def of_kind(path: Path, values: np.ndarray, kind: gguf.GGMLQuantizationType, parts: int = 0) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    if parts:
        writer.add_uint16("split.count", parts)
    writer.add_tensor("blk.0.ffn_up.weight", values, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize(("kind", "dtype"), PLAIN)
def test_plain_numbers_of_any_width(kind: gguf.GGMLQuantizationType, dtype: type, tmp_path: Path) -> None:
    values = np.array([[-3, 0, 1, 127], [5, -128, 7, 8]], dtype)
    path = of_kind(tmp_path / "m.gguf", values, kind)
    found = open_gguf(path).tensors["blk.0.ffn_up.weight"].values()
    assert found.dtype == np.float32 and np.array_equal(found, values)


@pytest.mark.parametrize("name", ["Q8_1", "Q8_K", "Q1_0"])
def test_a_kind_that_is_not_read_is_named_with_its_tensor(name: str, tmp_path: Path) -> None:
    kind = gguf.GGMLQuantizationType[name]
    _, size = gguf.GGML_QUANT_SIZES[kind]
    path = of_kind(tmp_path / "m.gguf", np.zeros((2, size), np.uint8), kind)
    with pytest.raises(
        BadInput, match=rf"stores blk\.0\.ffn_up\.weight as {name}, which groundup cannot read"
    ):
        open_gguf(path)


def test_an_unknown_type_is_named_by_its_number(tmp_path: Path) -> None:
    path = of_kind(tmp_path / "m.gguf", np.zeros((2, 4), np.float32), gguf.GGMLQuantizationType.F32)
    whole = bytearray(path.read_bytes())
    place = whole.index(b"blk.0.ffn_up.weight") + len(b"blk.0.ffn_up.weight") + 4 + 2 * 8
    whole[place : place + 4] = struct.pack("<I", 77)
    path.write_bytes(whole)
    with pytest.raises(BadInput, match=r"stores blk\.0\.ffn_up\.weight as kind 77"):
        open_gguf(path)


def test_every_other_kind_is_read() -> None:
    unread = {kind.name for kind in gguf.GGMLQuantizationType if not can_read(kind)}
    assert unread == {"Q8_1", "Q8_K", "Q1_0"}


def test_a_part_of_a_model_is_refused(tmp_path: Path) -> None:
    values = np.zeros((2, 4), np.float32)
    path = of_kind(tmp_path / "m-00001-of-00003.gguf", values, gguf.GGMLQuantizationType.F32, parts=3)
    with pytest.raises(BadInput, match="is one of 3 parts of a model"):
        open_gguf(path)


def test_a_repeated_name_is_refused(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    for name in ("here", "also"):
        writer.add_tensor(name, np.ones((2, 4), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    path = tmp_path / "m.gguf"
    path.write_bytes(path.read_bytes().replace(b"also", b"here"))
    with pytest.raises(BadInput, match="it has here twice"):
        open_gguf(path)
