"""The command `groundup serve`, as a process: what it says, and how it ends."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import openai
import pytest
from typer.testing import CliRunner

from groundup.checkpoint import save_checkpoint
from groundup.cli.main import app
from groundup.errors import BadInput
from tests.cli.chat_model import chat_checkpoint


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    checkpoint = chat_checkpoint()
    facts = {"prompt_style": checkpoint.config.prompt_style, "chat_template": checkpoint.config.chat_template}
    save_checkpoint(root / "data/models/instructions", checkpoint.model, checkpoint.tokenizer, **facts)
    return root


def test_running_answers_are_finished_and_new_requests_refused(project: Path) -> None:
    command = [sys.executable, "-m", "groundup.cli.main", "serve", "--port", "0"]
    process = subprocess.Popen(
        command, cwd=project, env=os.environ | {"GROUNDUP_API_KEY": "k"}, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        url = re.match(r"instructions: (http://127\.0\.0\.1:\d+/v1)", line)
        assert url is not None, line
        client = openai.OpenAI(base_url=url[1], api_key="k", max_retries=0)
        messages = [{"role": "user", "content": "tea"}]
        events = client.chat.completions.create(model="instructions", messages=messages, stream=True)  # type: ignore
        first = next(iter(events))
        process.send_signal(signal.SIGTERM)
        with pytest.raises(openai.InternalServerError, match="shutting down") as refused:
            while True:  # the signal needs a moment
                client.models.list()
        assert refused.value.response.headers["Retry-After"] == "5"
        *_, last = events
        assert first.choices[0].finish_reason is None and last.choices[0].finish_reason is not None
        assert process.wait(60) == -signal.SIGTERM
        rest = process.stderr.read()
        assert "POST /v1/chat/completions 200" in rest and "Traceback" not in rest
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "there are no models in data/models"),
        (["nothing"], "there is no model nothing"),
        (["--host", "0.0.0.0"], "expected a key: set GROUNDUP_API_KEY"),
        (["--api-key-file", "missing"], "missing cannot be read"),
    ],
)  # fmt: skip
def test_mistakes(arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GROUNDUP_API_KEY", raising=False)
    result = CliRunner().invoke(app, ["serve", *arguments])
    assert isinstance(result.exception, BadInput) and words in str(result.exception)
