"""Passwords are hidden in everything that people read; other text stays as it is."""

import pickle

import pytest

from groundup.errors import BadInput, masked, secrets

KEPT = (
    "https://example.org:8080/a@b?page=2#top",
    "write to anna@example.org, or to ssh://git@example.org/x",
    "postgresql+psycopg://anna@db:5432/mlflow",
    "token = tokens[0]  # a false token",
    "models:/groundup-spam@champion",
    "s3://bucket/key:with@signs",
)
HIDDEN = {
    "postgresql+psycopg://anna:hunter2@db:5432/mlflow": "postgresql+psycopg://anna:***@db:5432/mlflow",
    "postgresql://anna:p/a?s#s@db/x": "postgresql://anna:***@db/x",  # SQLAlchemy takes it as it is
    "(https://ghp_abc@example.org/a.git)": "(https://***@example.org/a.git)",
    "http://anna:hunter2@mlflow/": "http://anna:***@mlflow/",
    "s3://x/y?X-Amz-Signature=abc&part=1": "s3://x/y?X-Amz-Signature=***&part=1",
    "postgresql:///x?user=anna&password=hunter2": "postgresql:///x?user=anna&password=***",
    "http://a:b@c and http://d:e@f": "http://a:***@c and http://d:***@f",
}


@pytest.fixture(autouse=True)
def _no_other_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_passwords_in_addresses_are_hidden_and_nothing_else() -> None:
    assert [masked(text) for text in KEPT] == list(KEPT)
    assert {text: masked(text) for text in HIDDEN} == HIDDEN


def test_secrets_of_the_environment_are_hidden_wherever_they_occur(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalr/XUtn")
    monkeypatch.setenv("PGPASSWORD", "wJalr/XUtn-longer")
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", "postgresql+asyncpg://u:p%40ss%2Fword@h/p")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "falsehood")  # no secret
    monkeypatch.setenv("MY_TOKEN", "short")  # might be part of any word
    found = secrets()
    assert {"wJalr/XUtn", "wJalr/XUtn-longer", "p%40ss%2Fword", "p@ss/word"} <= set(found)
    assert not {"falsehood", "short"} & set(found)
    text = "a p@ss/word, then wJalr/XUtn-longer; falsehood, short"
    assert masked(text) == "a ***, then ***; falsehood, short"


def test_the_message_for_the_user_has_no_password() -> None:
    error = BadInput("no answer from http://anna:hunter2@mlflow/; start it")
    assert str(error) == "no answer from http://anna:***@mlflow/; start it"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert str(BadInput()) == ""
