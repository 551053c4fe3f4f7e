"""A prompt has a new version only when its text has changed."""

from pathlib import Path
from typing import Any

import pytest

from groundup.generation.prompts import templates_of
from groundup.tracking import connect, prompts


def test_once_per_content(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.nodeid)
    store: Any = connect(Path.cwd())
    name, text = "test-prompt", templates_of("alpaca_short")["groundup-alpaca_short"]
    assert text == "### Instruction: {{instruction}}\n### Input: {{input}}\n### Response:"
    uris = [prompts.register(store, name, template) for template in (text, text, "other", text)]
    assert uris == [f"prompts:/{name}/{version}" for version in (1, 1, 2, 3)]
    assert store.client.load_prompt(uris[0]).format(instruction="Say it.", input="tea") == (
        "### Instruction: Say it.\n### Input: tea\n### Response:"
    )
