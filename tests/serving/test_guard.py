"""What reaches the models, and what becomes of everything else: always an answer in OpenAI's form."""

import asyncio
import json
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import httpx
import openai
import pytest

from groundup.errors import BadInput
from groundup.serving import guard
from groundup.serving.config import ServerConfig
from groundup.serving.guard import Guard, Traffic
from groundup.serving.metrics import Metrics
from groundup.serving.models import Models
from tests.serving.running import CONFIG, Running, running, tiny_models

KEY = "s3cret"
LONG = {"model": "text", "prompt": "tea", "max_tokens": 190, "temperature": 1}


@pytest.fixture(scope="module")
def small() -> Iterator[Running]:
    """A server with a key and low limits."""
    config = replace(CONFIG, api_key=KEY, max_running=1, max_waiting=1, max_body=2000)
    with running(tiny_models(config), config) as found:
        yield found


def post(
    server: Running, content: Any = None, path: str = "/v1/completions", **headers: str
) -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    given = {"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
    return server.http.post(path, content=body, headers=given)


def refused(response: httpx.Response, status: int, words: str) -> None:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (
        words in error["message"]
        and "Traceback" not in response.text
        and "/site-packages" not in response.text
    )
    assert len(response.content) < 2500


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not a JSON object"),
        (b"{", "not valid JSON"),
        (b"[1]", "JSON object"),
        (b'"text"', "JSON object"),
        (b'{"model": "text", "prompt": "\xff"}', "cannot be read"),
        (b'{"model": "text", "prompt": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "cannot be read"),
        (b'{"model": "text", "prompt": "\\ud800"}', "half a surrogate pair"),
        (b'{"model": "text", "prompt": "a", "\\ud800": 1}', "not a JSON object"),
        (b'{"model": "text", "prompt": "a", "temperature": NaN}', "temperature"),
        (b'{"model": "text", "prompt": "a", "top_p": Infinity}', "top_p"),
        (b'{"model": "text", "prompt": "a", "seed": ' + b"9" * 5000 + b"}", "cannot be read"),
        (b'{"model": "text", "prompt": "a", "' + b"x" * 100_000 + b'": 1}', "unknown parameter xxx"),
    ],
)  # fmt: skip
def test_bodies_that_are_not_requests(server: Running, body: bytes, words: str) -> None:
    refused(post(server, body), 400, words)


def test_other_sites_and_other_forms(server: Running) -> None:
    good = {"model": "text", "prompt": "a", "max_tokens": 1}
    assert post(server, good).status_code == 200
    assert post(server, good, Origin=server.url).status_code == 200
    for host in ("127.0.0.1", "LocalHost:1", "[::1]:80", "127.0.0.2:80"):
        assert post(server, good, Host=host).status_code == 200
    refused(post(server, good, Host="rebound.example"), 403, "expected 127.0.0.1")
    refused(post(server, good, Host="127.0.0.1.example"), 403, "expected 127.0.0.1")
    for host in ("", "[", "[::1", "[fe80::1]", "evil.example@", "\u0661.0.0.1"):
        response = server.http.post("/v1/completions", json=good, headers={b"Host": host.encode()})
        refused(response, 403, "expected 127.0.0.1")
    refused(post(server, good, Origin="http://["), 403, "http://[")
    refused(post(server, good, Origin="https://site.example"), 403, "site.example")
    refused(post(server, good, Origin="null"), 403, "null")
    refused(post(server, good, Content_Type="text/plain"), 400, "Content-Type: application/json")
    refused(post(server, good, path="/v1/nothing"), 404, "Not Found")
    refused(server.http.get("/v1/completions"), 405, "Method Not Allowed")
    assert not any(name.startswith("access-control") for name in post(server, good).headers)


def test_every_answer_has_an_id(server: Running) -> None:
    assert post(server, {}, X_Request_Id="my-1").headers["X-Request-Id"] == "my-1"
    made = [post(server, {}, X_Request_Id="x y").headers["X-Request-Id"] for _ in range(2)]
    assert len({*made, "x y"}) == 3 and all(one.startswith("req_") for one in made)


def test_a_key_is_demanded_where_there_is_one(small: Running) -> None:
    for key in ("", "Bearer", "Bearer wrong", f"Basic {KEY}"):
        response = post(small, {"model": "text", "prompt": "a"}, Authorization=key)
        refused(response, 401, "API key")
        assert response.headers["WWW-Authenticate"] == "Bearer"
    assert [small.http.get(path).status_code for path in ("/health", "/ready")] == [200, 200]
    assert [small.http.get(path).status_code for path in ("/metrics", "/openapi.json")] == [
        401,
        401,
    ]
    answer = post(small, {"model": "text", "prompt": "a"}, Authorization=f"Bearer {KEY}")
    assert answer.status_code == 200
    for key in ("ключ", "voilà", os.fsdecode(b"\xff")):  # as a header's bytes arrive
        assert ServerConfig(api_key=key).admits(os.fsencode(key).decode("latin-1"))
    own = {"Authorization": f"Bearer {KEY}", "Host": "groundup.example", "Origin": "https://groundup.example"}
    assert small.http.get("/v1/models", headers=own).status_code == 200  # through a proxy with TLS
    for host in ("0.0.0.0", "192.0.2.1", "::", "example.org"):
        with pytest.raises(BadInput, match="can be reached from other machines"):
            ServerConfig(host=host)
    assert ServerConfig(host="::1").is_loopback and not ServerConfig(host="::", api_key="k").is_loopback


def test_a_large_body_is_refused_without_being_kept(small: Running) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(50):
            yield b"x" * 2**20

    key = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    for content in (b"x" * 2001, b"x" * 50_000_000, parts()):
        refused(small.http.post("/v1/chat/completions", content=content, headers=key), 413, "2000 bytes")


def test_a_body_without_end_is_not_read_for_ever(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "DISCARDED", 0)
    config = server.app.state.config
    chunk = b"%x\r\n" % config.max_body + b"x" * config.max_body + b"\r\n"
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), 60) as client:
        client.sendall(
            b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk
        )
        client.sendall(b"1\r\nx\r\n")
        said = b"".join(iter(lambda: client.recv(65536), b""))  # until the server closes the connection
    assert b" 413 " in said and b"connection: close" in said


def test_a_client_that_reads_nothing_keeps_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "ERROR_SECONDS", 0.05)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})

    async def main() -> None:
        never = asyncio.Event()
        asked = iter([{"type": "http.request", "body": b""}])

        async def receive() -> Any:
            return next(asked, None) or await never.wait()

        async def send(message: Any) -> None:
            if message["type"] == "http.response.body":
                await never.wait()  # what was sent before still waits for the client

        traffic = Traffic()
        front = Guard(answer, replace(CONFIG, max_seconds=0.05), traffic, Metrics(Models()))
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"localhost")]}
        await front(scope, receive, send)
        assert traffic.active == 0

    asyncio.run(asyncio.wait_for(main(), 60))


def test_a_full_queue_refuses_and_hanging_up_frees_places(small: Running) -> None:
    client = small.client.with_options(api_key=KEY)
    engine = small.model("text").engine
    with small.held("text", after=2):
        stream = client.completions.create(**LONG, n=2, stream=True)  # one text runs, the other waits
        with pytest.raises(openai.RateLimitError, match="too many requests wait") as full:
            client.completions.create(**LONG)
        assert full.value.response.headers["Retry-After"] == "1"
        stream.close()
        small.until(lambda: not len(engine) and not small.app.state.traffic.active)

        with sending(small, json.dumps(LONG | {"n": 2}).encode()):  # a request that is not a stream
            small.until(lambda: len(engine) == 2)
        small.until(lambda: not len(engine) and not small.app.state.traffic.active)
    small.until(lambda: not engine.positions)
    asked = 'groundup_requests_total{{route="/v1/completions",status="{}"}} 2.0'
    assert asked.format(499) in small.http.get("/metrics", headers={"Authorization": f"Bearer {KEY}"}).text


def test_a_call_whose_client_has_left_is_not_waited_for() -> None:
    async def main() -> None:
        [model, *_] = tiny_models(CONFIG)
        begun, free = threading.Event(), threading.Event()

        def call() -> None:
            begun.set()
            free.wait(60)

        asked = asyncio.create_task(model.run(call))
        await asyncio.to_thread(begun.wait, 60)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        assert not model.is_idle  # the thread still computes
        model.close()
        assert not free.is_set()
        free.set()
        while not model.is_idle:
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(main(), 60))


@contextmanager
def sending(server: Running, body: bytes, size: int | None = None) -> Iterator[socket.socket]:
    """Send a request, or a part of it, and hang up when the block ends."""
    head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {size or len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), 60) as client:
        client.sendall(head.encode() + body)
        yield client


@contextmanager
def unanswered(server: Running) -> Iterator[list[httpx.Response]]:
    """Ask for answers that the model has begun; when the block ends, add the responses, the two streams first."""
    texts, chats = server.model("text").engine, server.model("chat").engine
    said = {"model": "chat", "messages": [{"role": "user", "content": "tea"}], "max_tokens": 150}
    requests = [("/v1/completions", LONG), ("/v1/chat/completions", said)]
    found = list[httpx.Response]()
    with ThreadPoolExecutor(2) as pool, ExitStack() as stack:
        streams = [
            stack.enter_context(server.http.stream("POST", path, json=body | {"stream": True}))
            for path, body in requests
        ]
        others = [pool.submit(post, server, body, path) for path, body in requests]
        server.until(lambda: len(texts) == len(chats) == 2)
        yield found
        for stream in streams:
            stream.read()
        found += [*streams, *(other.result() for other in others)]


def broken(responses: list[httpx.Response], status: int, code: str) -> None:
    for response in responses[:2]:
        *_, last, end = response.text.split("\n\n")
        assert response.status_code == 200 and not end and "[DONE]" not in response.text
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == code
    for response in responses[2:]:
        assert response.status_code == status and response.json()["error"]["code"] == code


@pytest.mark.parametrize(("seconds", "signals"), [(0.05, 1), (600, 2)], ids=["time", "second signal"])
def test_what_the_end_of_the_server_cuts_off_is_an_error(seconds: float, signals: int) -> None:
    config = replace(CONFIG, drain_seconds=seconds)
    with running(tiny_models(config), config) as server, server.held("text", after=2):
        with sending(server, b"{", size=2) as unfinished, unanswered(server) as responses:
            for _ in range(signals):
                server.signal()
            said = b"".join(iter(lambda: unfinished.recv(65536), b""))
        broken(responses, 503, "shutting_down")
        assert responses[2].headers["Retry-After"] == "5" and b" 503 " in said and b"shutting_down" in said


def test_what_a_fault_of_the_model_cuts_off_is_an_error(server: Running) -> None:
    with server.held("text", after=2) as fail, unanswered(server) as responses:
        fail(RuntimeError("secret"))
    broken(responses, 500, "internal_error")
    assert not any("secret" in response.text for response in responses)


def test_an_answer_takes_no_longer_than_allowed() -> None:
    config = replace(CONFIG, max_seconds=0.05)
    with running(tiny_models(config), config) as server:
        response = post(server, LONG | {"n": 32})
        refused(response, 504, "longer than 0.05 s")
        assert response.headers["x-should-retry"] == "false"
        with pytest.raises(openai.APIError, match=r"longer than 0\.05 s"):
            list(server.client.completions.create(**LONG, n=32, stream=True))
        server.until(lambda: not len(server.model("text").engine))


def test_metrics_and_log_say_how_much_but_not_what(server: Running, caplog: pytest.LogCaptureFixture) -> None:
    def read() -> dict[str, float]:
        lines = server.http.get("/metrics").text.splitlines()
        return {
            key: float(value) for key, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")
        }

    caplog.set_level("INFO", "groundup.serving")
    before = read()
    server.client.completions.create(model="text", prompt="tea tea tea", max_tokens=3, temperature=0)
    after = read()
    grown = {name: value - before.get(name, 0.0) for name, value in after.items()}
    assert grown['groundup_requests_total{route="/v1/completions",status="200"}'] == 1
    assert grown['groundup_tokens_total{kind="generated",model="text"}'] == 3
    read_tokens = len(server.model("text").checkpoint.tokenizer.encode("tea tea tea"))
    assert grown['groundup_tokens_total{kind="prompt",model="text"}'] == read_tokens
    assert grown['groundup_first_token_seconds_count{model="text"}'] == 1
    assert after['groundup_running{model="text"}'] == after['groundup_waiting{model="spam"}'] == 0
    [line] = [record.getMessage() for record in caplog.records if "POST" in record.getMessage()]
    assert "/v1/completions 200" in line and "tea" not in line
