import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from groundup.errors import BadInput
from groundup.evaluation import judge as module
from groundup.evaluation.config import JudgeConfig
from groundup.evaluation.judge import agreement, judge

ROWS = [
    {"instruction": "Say it", "input": "tea", "output": "tea", "response": "tea"},
    {"instruction": "Say it", "input": "tea", "output": "tea", "response": "cake"},
]


class Server(BaseHTTPRequestHandler):
    """OpenAI's API: gives 100 to the expected output, is busy once, and replies with text if the test sets one."""

    asked: list[dict[str, Any]]
    replies: dict[str, str]
    busy: int

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).asked.append({**body, "path": self.path, "key": self.headers.get("Authorization")})
        if type(self).busy:
            type(self).busy -= 1
            self.send_error(503)
            return
        question = body["messages"][0]["content"]
        reply = next(reply for mark, reply in type(self).replies.items() if mark in question)
        content = json.dumps({"choices": [{"message": {"content": reply}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Log nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[type[Server], JudgeConfig]]:
    handler = type(
        "Handler", (Server,), {"asked": [], "replies": {"`cake`": " 5/100.", "": "100"}, "busy": 0}
    )
    monkeypatch.setattr(module, "wait_exponential", lambda max: 0)
    with HTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{http.server_port}/v1"
        yield handler, JudgeConfig(url, "wise", repeats=2, instances=9, temperature=0.5, timeout_seconds=10)
        http.shutdown()
        thread.join()


def test_every_answer_is_judged_repeatedly(
    server: tuple[type[Server], JudgeConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    handler, config = server
    handler.busy = 1
    monkeypatch.setenv("GROUNDUP_JUDGE_KEY", "secret")
    assert judge(ROWS, config) == [[100, 100], [5, 5]]
    assert len(handler.asked) == 5  # four answers, and the request that met a busy server
    assert {(a["path"], a["model"], a["temperature"], a["key"]) for a in handler.asked} == {
        ("/v1/chat/completions", "wise", 0.5, "Bearer secret")
    }


@pytest.mark.parametrize("reply", ["good", "101", "8/10", "On a scale from 0 to 100: 85"])
def test_a_reply_that_is_not_a_score_is_rejected(
    server: tuple[type[Server], JudgeConfig], reply: str
) -> None:
    handler, config = server
    handler.replies = {"": reply}
    with pytest.raises(
        BadInput, match=rf"the judge wise answered '{reply}'; expected an integer from 0 to 100"
    ):
        judge(ROWS, config)


def test_a_judge_that_cannot_be_reached(server: tuple[type[Server], JudgeConfig]) -> None:
    _, config = server
    with pytest.raises(BadInput, match=r"the judge at http://127\.0\.0\.1:9/chat/completions gave no answer"):
        judge(ROWS, replace(config, url="http://127.0.0.1:9"))


def test_agreement_by_hand() -> None:
    assert agreement([[100, 90, 80], [0, 0, 0]]) == {"mean": 45.0, "apart": pytest.approx(40 / 6)}
    assert agreement([[50], [60]]) == {"mean": 55.0, "apart": 0.0}
