import http.server
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from groundup.datasets.catalogue import DataConfig
from groundup.datasets.mixtures import Source
from groundup.errors import BadInput
from groundup.text.jsonl import read_jsonl
from groundup.tracking import silent
from pipelines.main import download

CATALOGUE = """
mine: {role: spam, title: t, licence: l, citation: c, locations: [{url: 'file:own/gone.csv', reader: csv},
       {url: 'file:own/mine.csv', reader: csv}]}
"""


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataConfig:
    monkeypatch.chdir(tmp_path)
    Path("catalogue.yaml").write_text(CATALOGUE)
    Path("own").mkdir()
    Path("own/mine.csv").write_text("label,text\nham,hi\nspam,WIN\n")
    return DataConfig(Path("catalogue.yaml"), pretraining="chitchat", spam="mine", instructions="verifiable")


def test_writes_the_canonical_file_and_logs_where_it_came_from(data, monkeypatch, capsys):
    logged: dict[str, object] = {}
    run = silent()
    monkeypatch.setattr(run, "log", lambda metrics, step=None: logged.update(metrics))
    monkeypatch.setattr(run, "tag", lambda key, value: logged.update({key: value}))
    monkeypatch.setattr(run, "reads", lambda path, name, context, *, source: logged.update(read=path))
    download.main(run, "spam", Path("own"), Path("raw/spam.jsonl"), Path("kept"), data=data)
    assert [row["label"] for row in read_jsonl(Path("raw/spam.jsonl"))] == ["ham", "spam"]
    assert logged.pop("dataset_sha256")
    assert logged == {
        "rows": 2,
        "bytes": Path("raw/spam.jsonl").stat().st_size,
        "dataset": "mine",
        "location": "file:own/mine.csv",
        "read": Path("raw/spam.jsonl"),
    }
    assert "spam: mine, 2 rows" in capsys.readouterr().out


def test_a_second_run_downloads_only_changed_files(data, monkeypatch):
    """Python's own file server answers If-Modified-Since; DVC removes the out before each run."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    bodies = []

    class Files(http.server.SimpleHTTPRequestHandler):
        def copyfile(self, source: Any, outputfile: Any) -> None:
            bodies.append(self.path)
            super().copyfile(source, outputfile)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/own/mine.csv"
        Path("catalogue.yaml").write_text(CATALOGUE.replace("file:own/gone.csv", url))
        out, kept = Path("raw/spam.jsonl"), Path("state/download_spam")
        made = []
        for changes in (False, False, False, True, False):
            if changes:
                Path("own/mine.csv").write_text("label,text\nham,hi\nspam,WIN\nham,more\n")
                os.utime("own/mine.csv", (2e9, 2e9))
            download.main(silent(), "spam", Path("own"), out, kept, data=data)
            made.append(len(read_jsonl(out)))
            out.unlink()
        server.shutdown()
    assert bodies == ["/own/mine.csv"] * 2
    assert made == [2, 2, 2, 3, 3]


def test_several_datasets_are_mixed(data, monkeypatch, capsys):
    tags: dict[str, object] = {}
    run = silent()
    monkeypatch.setattr(run, "tag", lambda key, value: tags.update({key: value}))
    Path("catalogue.yaml").write_text(
        CATALOGUE + CATALOGUE.replace("mine:", "other:").replace("mine.csv", "other.csv")
    )
    Path("own/other.csv").write_text("label,text\nham,one\nham,two\nspam,three\n")
    mixed = replace(data, spam=(Source("mine", 0.5), Source("other", 0.25)))
    download.main(run, "spam", Path("own"), Path("raw/spam.jsonl"), Path("kept"), data=mixed)
    rows = read_jsonl(Path("raw/spam.jsonl"))
    assert [row["id"].split("/")[0] for row in rows] == ["mine", "mine", "other"]
    assert tags == {"location.mine": "file:own/mine.csv", "location.other": "file:own/other.csv"}
    assert "spam: 1 row of other" in capsys.readouterr().out
    download.main(run, "spam", Path("own"), Path("raw/1.jsonl"), Path("k"), data=data)
    alone = replace(data, spam=(Source("mine"),))
    download.main(run, "spam", Path("own"), Path("raw/2.jsonl"), Path("k"), data=alone)
    assert Path("raw/1.jsonl").read_bytes() == Path("raw/2.jsonl").read_bytes()


def test_unknown_dataset(data):
    with pytest.raises(BadInput, match=r"data\.pretraining: 'chitchat' is not in the catalogue"):
        download.main(silent(), "pretraining", Path("own"), Path("raw/p.jsonl"), Path("kept"), data=data)
    assert not Path("raw").exists()
