"""Labelling with answers from a pipe, on a tiny classifier with random weights."""

import json
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from typer.testing import CliRunner, Result

from groundup.checkpoint import load_checkpoint, save_checkpoint
from groundup.cli import label as module
from groundup.cli.label import Session, most_useful, unlabelled
from groundup.cli.main import app
from groundup.datasets.inbox import labelled_rows
from groundup.errors import BadInput
from groundup.nn.classifier import SequenceClassifier
from groundup.tasks.classification import spam_probabilities
from groundup.text.jsonl import read_jsonl, write_jsonl
from groundup.text.labels import LABELS
from groundup.tokenizers.bpe import BPETokenizer
from tests.tiny import random_decoder

TEXTS = ["free cake for you", "the cat sat here", "win a hat today", "see you at home", "tea and cake"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("label") / "spam"
    tokenizer = BPETokenizer.train(TEXTS, 270)
    torch.manual_seed(0)
    classifier = SequenceClassifier(random_decoder(vocab_size=tokenizer.vocab_size), 2, "last")
    torch.nn.init.normal_(classifier.score.weight)
    save_checkpoint(folder, classifier, tokenizer, labels=LABELS)
    return folder


@pytest.fixture
def messages(tmp_path: Path) -> Path:
    write_jsonl(tmp_path / "new.jsonl", [{"text": text} for text in TEXTS])
    return tmp_path / "new.jsonl"


def ask(source: Path, model: Path, answers: str) -> Result:
    inbox = source.parent / "data/inbox"
    return CliRunner().invoke(
        app, ["label", str(source), "--model", str(model), "--inbox", str(inbox)], input=answers
    )


def written(source: Path) -> list[tuple[str, str]]:
    """Return the labels in the inbox, by file."""
    files = sorted((source.parent / "data/inbox").glob("*"))
    return [(row["text"], row["label"]) for file in files for row in read_jsonl(file)]


def order(model: Path) -> list[str]:
    probabilities = spam_probabilities(load_checkpoint(model), TEXTS)
    return [question.text for question in most_useful(TEXTS, probabilities)]


def test_the_least_sure_comes_first_and_answers_are_saved(messages: Path, model: Path) -> None:
    first, second, third, fourth, fifth = order(model)
    result = ask(messages, model, "s\nH\nskip\nx\nham\nq\n")
    assert result.exit_code == 0, result.output
    assert written(messages) == [(first, "spam"), (second, "ham"), (fourth, "ham")]
    places = [result.stdout.index(text) for text in (first, second, third, fourth, fifth)]
    assert places == sorted(places)
    assert "expected one of s, spam, h" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("3 labels in ")
    assert result.stdout.splitlines()[-1].endswith(" 1 message remains.")
    # what was labelled is not asked again; what was skipped is
    again = ask(messages, model, "s\ns\n")
    assert "2 of 5 messages to label" in again.stdout and "0 messages remain" in again.stdout
    assert sorted(written(messages)[3:]) == sorted([(third, "spam"), (fifth, "spam")])


def test_the_labels_are_a_file_that_the_inbox_takes(messages: Path, model: Path) -> None:
    ask(messages, model, "s\nh\n")
    (file,) = (messages.parent / "data/inbox").iterdir()
    rows, ignored = labelled_rows(file.read_bytes(), file.name)
    assert [row["label"] for row in rows] == ["spam", "ham"] and ignored == ()


def test_undo(messages: Path, model: Path) -> None:
    first, second, *_ = order(model)
    result = ask(messages, model, "u\ns\nu\nh\nk\nundo\nspam\nquit\n")
    assert "there is no answer to undo" in result.stdout
    assert written(messages) == [(first, "ham"), (second, "spam")]
    nothing = messages.parent / "other/new.jsonl"
    write_jsonl(nothing, [{"text": "one"}, {"text": "another"}])
    assert "0 labels. 2 messages remain." in ask(nothing, model, "s\nu\n").stdout
    assert written(nothing) == []


def test_an_interruption_loses_nothing(messages: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Session.ask

    def interrupted(session: Session) -> str:
        if len(session.answers) == 2:
            raise KeyboardInterrupt
        return real(session)

    monkeypatch.setattr(module.Session, "ask", interrupted)
    result = ask(messages, model, "s\nh\ns\n")
    assert (
        result.exit_code == 130 and "2 labels in " in result.stdout and "3 messages remain" in result.stdout
    )
    assert [label for _, label in written(messages)] == ["spam", "ham"]


def test_labels_that_cannot_be_written(messages: Path, model: Path) -> None:
    inbox = messages.parent / "data/inbox"
    inbox.parent.mkdir()
    inbox.write_text("not a folder")
    result = ask(messages, model, "s\n")
    with pytest.raises(BadInput, match=r"labels-.* cannot be written \(File exists\); expected a folder"):
        raise result.exception or AssertionError
    assert result.stdout.splitlines()[-1] == "0 labels. 5 messages remain."


def test_escape_sequences_are_shown_and_not_executed(tmp_path: Path, model: Path) -> None:
    write_jsonl(tmp_path / "new.jsonl", [{"text": "a\x1b[2Jb\u202e" + "c" * 3000}])
    result = ask(tmp_path / "new.jsonl", model, "\x1b[A\nq\n")
    assert "\x1b" not in result.stdout and "\u202e" not in result.stdout
    assert "a\\x1b[2Jb\\u202eccc" in result.stdout and "c" * 2000 not in result.stdout


def test_near_duplicates_are_asked_for_once() -> None:
    texts = ["code 1", "code 22", "bye", "hello", "Win now!", "WIN NOW"]
    found = {
        question.text for question in most_useful(texts, [0.9, 0.6, 0.45, 0.0, 0.2, 0.3], known=["Hello!"])
    }
    assert len(found) == 3 and "bye" in found and "hello" not in found


def test_the_model_chooses_messages_for_training_and_none_for_the_gate() -> None:
    """Otherwise the gate would have the messages on which the champion errs, and any other model would look better."""
    texts = [f"message {chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(300)]
    sure = np.random.default_rng(1).random(300)
    found = most_useful(texts, sure)
    assert sorted(question.text for question in found) == sorted(texts)
    gate, train = ([question for question in found if question.split == split] for split in ("gate", "train"))
    assert 75 < len(gate) < 125
    assert [question.split for question in found[:6]] == ["train", "train", "gate"] * 2
    distances = [abs(question.probability - 0.5) for question in train]
    assert distances == sorted(distances)
    others = most_useful(texts[::-1], np.roll(sure, 7))
    assert [question.text for question in gate] == [q.text for q in others if q.split == "gate"]


def test_files_and_folders_of_messages(tmp_path: Path) -> None:
    pandas.DataFrame({"text": ["one", "two", ""]}).to_csv(tmp_path / "a.csv", index=False)
    pandas.DataFrame({"text": ["three", None, "one"], "n": 1}).to_parquet(tmp_path / "b.parquet")
    (tmp_path / "c.txt").write_text("not read")
    assert unlabelled(tmp_path) == ["one", "two", "three"]
    assert unlabelled(tmp_path / "a.csv") == ["one", "two"]


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("absent.csv", None, "does not exist"),
        ("a.csv", b"message\nhi\n", "found the columns 'message', but not text"),
        ("a.csv", b"text\n\n", "has no messages"),
        ("a.csv", b"text\ncaf\xe9\n", "is not UTF-8"),
        ("a.jsonl", b'{"text": "\\ud800"}', "row 1: found half of a surrogate pair"),
        ("a.txt", b"hi", r"found the suffix '\.txt'"),
    ],
)
def test_bad_input(tmp_path: Path, model: Path, name: str, data: bytes | None, words: str) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    result = ask(tmp_path / name, model, "")
    assert result.exit_code == 1
    with pytest.raises(BadInput, match=words):
        raise result.exception or AssertionError


def test_damaged_files_in_the_inbox_do_not_stop_the_labelling(messages: Path, model: Path) -> None:
    inbox = messages.parent / "data/inbox"
    inbox.mkdir(parents=True)
    (inbox / "bad.csv").write_bytes(b"\xff")
    (inbox / "README.md").write_text("about")
    (inbox / "gone.csv").symlink_to(inbox / "taken_in_meanwhile.csv")
    increment = messages.parent / "data/labelled/1.jsonl"
    write_jsonl(increment, [json.loads('{"text": "FREE cake, for you", "label": "spam", "split": "train"}')])
    assert "4 of 5 messages to label" in ask(messages, model, "").stdout
    write_jsonl(
        inbox / "dropped.jsonl", [{"text": text} for text in TEXTS]
    )  # without labels: still to be labelled
    assert "4 of 5 messages to label" in ask(messages, model, "").stdout
