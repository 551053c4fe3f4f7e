"""A Hugging Face Hub on loopback, with the routes that huggingface_hub uses to describe and download models."""

import hashlib
import http.server
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class FakeHub:
    """One model, `repo`, with files from a folder.

    Attributes:
        url: the address of the server.
        folder: its files.
        repo: its name.
        refs: branch or tag -> commit.
        requests: method and path of every request, with its Range.
        breaks: file name -> number of bytes after which the connection breaks, once.
        down: answer every request with HTTP 503.
        html: answer every request with a page.
    """

    url: str
    folder: Path
    repo: str = "some/model"
    refs: dict[str, str] = field(default_factory=lambda: {"main": "a" * 40, "v1": "b" * 40})
    requests: list[str] = field(default_factory=list)
    breaks: dict[str, int] = field(default_factory=dict)
    down: bool = False
    html: bool = False

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())


@contextmanager
def fake_hub(folder: Path) -> Iterator[FakeHub]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.requests.append(f"{self.command} {path} {self.headers.get('Range') or ''}".strip())
            if hub.down:
                return self.answer(503, b"")
            if hub.html:
                return self.answer(200, b"<html>welcome</html>")
            api = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?/?", path)
            file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
            repo, revision = (api[1], api[3] or "main") if api else (file[1], file[2]) if file else ("", "")
            if repo != hub.repo:
                return self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            commit = hub.refs.get(revision, revision)
            if commit not in hub.refs.values():
                return self.answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            if file:
                return self.file(file[3], commit)
            if api and api[2] == "tree":
                return self.json([{"type": "file", "path": name, **self.facts(name)} for name in hub.files()])
            siblings = [
                {"rfilename": name, "size": (hub.folder / name).stat().st_size} for name in hub.files()
            ]
            return self.json({"id": repo, "modelId": repo, "sha": commit, "siblings": siblings})

        def facts(self, name: str) -> dict[str, Any]:
            data = (hub.folder / name).read_bytes()
            return {"size": len(data), "oid": hashlib.sha1(data).hexdigest()}

        def file(self, name: str, commit: str) -> None:
            if name not in hub.files():
                return self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
            data = (hub.folder / name).read_bytes()
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
            start = int(asked[1]) if asked else 0
            about = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": commit}
            if asked:
                about["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            cut = hub.breaks.pop(name, None) if self.command == "GET" else None
            return self.answer(206 if asked else 200, data[start:], about, cut)

        def json(self, value: Any) -> None:
            self.answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

        def answer(
            self, status: int, body: bytes, headers: dict[str, str] | None = None, cut: int | None = None
        ) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body[:cut])
            if cut is not None:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub = FakeHub(f"http://127.0.0.1:{server.server_port}", folder)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield hub
        finally:
            server.shutdown()
