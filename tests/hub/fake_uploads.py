"""A Hub on loopback: the routes by which huggingface_hub creates a repository and commits files, with git LFS."""

import base64
import hashlib
import json
import socket
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_of_the_owner"


@dataclass
class Repository:
    private: bool
    branches: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"main": {}})
    commits: list[str] = field(default_factory=list)


class FakeHub(ThreadingHTTPServer):
    """Keeps repositories in memory; whoever shows TOKEN may write."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}  # of git LFS, by sha256
        self.requests: list[str] = []
        self.breaks_at = ""  # part of the path of requests in whose body the connection breaks

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeHub

    def log_message(self, format: str, *args: Any) -> None: ...

    def do_GET(self) -> None:
        self._handle()

    do_POST = do_PUT = do_GET

    def _handle(self) -> None:
        if self.server.breaks_at and self.server.breaks_at in self.path:
            self.rfile.read(10)
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = self._chunks()
        path = self.path.partition("?")[0]
        self.server.requests.append(f"{self.command} {path}")
        parts = path.strip("/").split("/")
        if self.command == "PUT" and parts[0] == "lfs":  # its address is the permission, as with S3
            assert hashlib.sha256(body).hexdigest() == parts[1]
            self.server.objects[parts[1]] = body
            return self._answer({})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._answer({"error": "Invalid credentials"}, 401)
        match parts:
            case ["api", "repos", "create"]:
                self._create(json.loads(body))
            case ["api", "validate-yaml"]:
                self._answer({"errors": [], "warnings": []})
            case ["api", "models", owner, name]:
                repository = self.server.repositories[f"{owner}/{name}"]
                self._answer(
                    {"id": f"{owner}/{name}", "private": repository.private, "tags": [], "siblings": []}
                )
            case ["api", "models", owner, name, "branch", branch]:
                branches = self.server.repositories[f"{owner}/{name}"].branches
                known = branch in branches
                branches.setdefault(branch, dict(branches["main"]))
                self._answer({"error": "exists"} if known else {}, 409 if known else 200)
            case ["api", "models", owner, name, "preupload", _]:
                self._answer({"files": [_mode(file) for file in json.loads(body)["files"]]})
            case [owner, name, "info", "lfs", "objects", "batch"]:
                objects = [
                    entry | {"actions": {"upload": {"href": f"{self.server.address}/lfs/{entry['oid']}"}}}
                    for entry in json.loads(body)["objects"]
                ]
                self._answer({"objects": objects})
            case ["api", "models", owner, name, "commit", branch]:
                self._commit(f"{owner}/{name}", branch, [json.loads(line) for line in body.splitlines()])
            case _:
                self._answer({"error": f"no route {path}"}, 404)
        return None

    def _create(self, wanted: dict[str, Any]) -> None:
        repo, repositories = f"{wanted['organization']}/{wanted['name']}", self.server.repositories
        known = repo in repositories
        repositories.setdefault(repo, Repository(wanted.get("visibility") == "private"))
        answer = {"url": f"{self.server.address}/{repo}", "name": repo, "error": "exists"}
        self._answer(answer, 409 if known else 200)

    def _commit(self, repo: str, branch: str, lines: list[dict[str, Any]]) -> None:
        repository = self.server.repositories[repo]
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                repository.branches[branch][value["path"]] = base64.b64decode(value["content"])
            if line["key"] == "lfsFile":
                repository.branches[branch][value["path"]] = self.server.objects[value["oid"]]
        repository.commits.append(branch)
        oid = f"{len(repository.commits):040x}"
        self._answer({"commitUrl": f"{self.server.address}/{repo}/commit/{oid}", "commitOid": oid})

    def _chunks(self) -> bytes:
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def _answer(self, value: dict[str, Any], status: int = 200) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _mode(file: dict[str, Any]) -> dict[str, Any]:
    large = file["path"].endswith(".safetensors")
    return {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
