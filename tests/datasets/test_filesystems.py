"""Files on fsspec's filesystems, with one in memory in the place of S3, under the rules of the other locations."""

import builtins
import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

from groundup.datasets import locations
from groundup.datasets.catalogue import Dataset, Location, fetch
from groundup.errors import BadInput

ROWS = b'{"id": "1", "messages": ["hello"]}\n' * 100_000
SHA = hashlib.sha256(ROWS).hexdigest()


class Bucket(MemoryFileSystem):
    """S3, as far as a download needs it; `reads` counts opened files, `failures` fail before one succeeds."""

    protocol = "s3"
    store: dict[str, Any] = {}  # noqa: RUF012
    reads = 0
    failures: list[Exception] = []  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.removeprefix("s3:/")))

    def _open(self, *arguments: Any, **options: Any) -> Any:
        Bucket.reads += 1
        if Bucket.failures:
            raise Bucket.failures.pop()
        return super()._open(*arguments, **options)


@pytest.fixture(autouse=True)
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryFileSystem]:
    monkeypatch.setattr(locations, "WAIT_SECONDS", 0)
    monkeypatch.setitem(_registry, "s3", Bucket)
    Bucket.store.clear()
    Bucket.failures.clear()
    found = Bucket()
    found.pipe("/own/talk.jsonl", ROWS)
    Bucket.reads = 0
    yield found
    Bucket.store.clear()


def get(tmp_path: Path, url: str = "s3://own/talk.jsonl", sha256: str | None = SHA, **options: Any) -> bytes:
    values = {"max_bytes": 10_000_000, "cache": tmp_path / ".part", "progress": False} | options
    return locations.get(url, sha256=sha256, **values)


def test_download_and_checksum(tmp_path: Path) -> None:
    assert get(tmp_path) == ROWS
    with pytest.raises(BadInput, match="wrong checksum"):
        get(tmp_path, sha256="0" * 64)
    with pytest.raises(BadInput, match="the file has 3,500,000 bytes; the limit is 100"):
        get(tmp_path, max_bytes=100)
    with pytest.raises(BadInput, match="there is no such file"):
        get(tmp_path, "s3://own/gone.jsonl")


def test_an_interrupted_download_is_resumed_and_failures_are_retried(tmp_path: Path) -> None:
    part = tmp_path / ".part" / f"{hashlib.sha256(b's3://own/talk.jsonl').hexdigest()[:16]}.part"
    part.parent.mkdir()
    part.write_bytes(ROWS[:1000])
    Bucket.failures += [ConnectionError("reset"), TimeoutError("slow")]
    assert get(tmp_path) == ROWS and Bucket.reads == 3
    part.parent.mkdir(exist_ok=True)
    part.write_bytes(
        b"another file" + ROWS[12:1000]
    )  # the checksum finds it, and everything is downloaded again
    assert get(tmp_path) == ROWS
    Bucket.failures += [PermissionError("Forbidden")]
    with pytest.raises(
        BadInput, match=r"access was denied \(Forbidden\); set the credentials that s3:// needs"
    ):
        get(tmp_path)
    Bucket.failures += [RuntimeError("no credentials")] * locations.ATTEMPTS
    with pytest.raises(BadInput, match="RuntimeError: no credentials after 4 attempts"):
        get(tmp_path)


def test_a_file_without_checksum_is_read_again_only_if_it_changed(
    tmp_path: Path, bucket: MemoryFileSystem
) -> None:
    for _ in range(3):
        assert get(tmp_path, sha256=None, kept=tmp_path / "kept") == ROWS
    assert Bucket.reads == 1
    bucket.pipe("/own/talk.jsonl", ROWS[:35])
    assert get(tmp_path, sha256=None, kept=tmp_path / "kept") == ROWS[:35]


def test_a_file_in_a_zip_in_a_bucket_is_a_dataset(tmp_path: Path, bucket: MemoryFileSystem) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("data/talk.jsonl", ROWS[:70])
    bucket.pipe("/own/all.zip", packed.getvalue())
    url, sha256 = "zip://data/talk.jsonl::s3://own/all.zip", hashlib.sha256(packed.getvalue()).hexdigest()
    dataset = Dataset("d", "pretraining", "t", "l", "c", locations=(Location(url, "jsonl", None, sha256),))
    assert fetch(dataset, tmp_path / "out.jsonl", progress=False).location == url
    assert (tmp_path / "out.jsonl").read_bytes() == ROWS[:70]


def test_a_package_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "gcsfs":
            raise ModuleNotFoundError("No module named 'gcsfs'", name="gcsfs")
        return load(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(BadInput, match="gs:// needs a package that is not installed; pip install 'gcsfs'"):
        get(tmp_path, "gs://own/talk.jsonl")
