"""The story of retraining on real messages: train, refuse bad labels, promote a better model, roll it back.

    GROUNDUP_MIRROR=FOLDER python -m tests.campaigns.story [--project FOLDER] [--keep] [--downloads FOLDER]

A clone of the last commit, with a home, a registry and a Prefect of its own, starts with 1,750 messages of
SMSSpamCollection, which is in the folder GROUNDUP_MIRROR; about 400 are for training and 800 for the gate. The others
arrive as files of labels. After every step, ledger, registry and the server, which is never restarted, must agree on
the champion. The campaign takes about eight minutes on two free cores, prints a table of the steps, and exits with 1
if a step failed.
"""

import csv
import hashlib
import io
import itertools
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
import yaml
from mlflow import MlflowClient

from groundup.datasets.readers import READERS
from groundup.datasets.spam import dedupe
from groundup.files import read_json
from groundup.text.jsonl import read_jsonl, write_jsonl
from groundup.text.labels import HAM, LABELS, SPAM
from groundup.tracking.registry import CHAMPION, INSTRUCTIONS_MODEL, PRETRAINED_MODEL, SPAM_MODEL
from tests.clone import ROOT, Clone, profile, recorded
from tests.pipelines.test_server import free_port

Rows = Sequence[dict[str, Any]]

# messages of the first training, and those of which some get the wrong label; the rest arrives with right labels
FIRST, NOISY = 1750, 1200
FLIPPED = 0.3
OWN, METRICS = "data/own/messages.jsonl", "reports/metrics/spam.json"
VALUES = profile("tiny") | {
    "data.spam": "own_messages",
    "corpus.max_documents": 600,
    "spam.val_fraction": 0.1,
    "spam.test_fraction": 0.15,
    "spam.gate_fraction": 0.5,
    "tokenizer.vocab_size": 1000,
    "model.n_embd": 64,
    "model.ngram.rows": 16384,
    "model.ngram.embd": 16,
    "compute.threads": 2,
    "pretrain.training.max_steps": 120,
    "pretrain.training.eval_interval": 60,
    "pretrain.training.checkpoint_interval": 60,
    "finetune_spam.seeds": [1],
    "finetune_spam.training.max_steps": 240,
    "finetune_spam.training.eval_interval": 120,
    "finetune_spam.training.checkpoint_interval": 120,
    "evaluate.bootstrap_samples": 500,
    "retrain.gate.bootstrap_samples": 500,
    "retrain.gate.instances": 60,
}
RETRAIN = (sys.executable, "-m", "pipelines.retrain", "run")
GROUNDUP = (sys.executable, "-m", "groundup.cli.main")
PATIENCE = 120.0  # seconds until the server answers with another version


@dataclass(frozen=True)
class Messages:
    """The real messages, in three parts that share no text."""

    first: Rows
    noisy: Rows
    better: Rows

    @classmethod
    def read(cls, folder: Path, seed: int) -> "Messages":
        """Read, deduplicate and shuffle the messages in the folder of the mirror."""
        file = folder / "SMSSpamCollection"
        rows, _ = dedupe(READERS["sms_tsv"](file.read_bytes(), "spam", file.name))
        random.Random(seed).shuffle(rows)
        return cls(rows[:FIRST], rows[FIRST : FIRST + NOISY], rows[FIRST + NOISY :])


def flip(rows: Rows, share: float, seed: int) -> Rows:
    """Return the rows, of which a random share has the other label."""
    chosen = set(random.Random(seed).sample(range(len(rows)), round(share * len(rows))))
    other = dict(zip(LABELS, reversed(LABELS), strict=True))
    return [row | {"label": other[row["label"]]} if i in chosen else row for i, row in enumerate(rows)]


def as_csv(rows: Rows, header: Sequence[str] = ("text", "label")) -> bytes:
    """Return text and label of the rows as CSV in UTF-8, with the names in `header`; only the text if it has one."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([header, *((row["text"], row["label"])[: len(header)] for row in rows)])
    return text.getvalue().encode()


def bad_files(rows: Rows, known: Rows, test: Rows) -> dict[str, bytes]:
    """Return the contents of files that must be refused, each under what is wrong with it.

    Args:
        rows: new messages.
        known: messages that the project has already.
        test: messages of its test set.
    """
    many = [
        row | {"text": f"{row['text']} {n}"}
        for n, row in zip(range(5100), itertools.cycle(rows), strict=False)
    ]
    foreign = [row for row in rows if not row["text"].isascii()]
    return {
        "a missing column": as_csv(rows, ("text",)),
        "a renamed column": as_csv(rows, ("message", "label")),
        "Latin-1": as_csv([*foreign, *rows[:100]]).decode().encode("latin-1", "replace"),
        "ten times the usual rows": as_csv(many),
        "one class": as_csv([row for row in rows if row["label"] == HAM][:300]),
        "copies of the test set": as_csv(test),
        "known texts with the other label": as_csv(flip(known[:300], 1.0, 0)),
    }


class Site:
    """The clone, and the server of its champion."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clone = folder, Clone(folder / "clone", folder / "prefect")
        self.url = ""
        self.server: subprocess.Popen[bytes] | None = None

    def call(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command, and add its output to the log."""
        done = self.clone.run(*command, check=False)
        with open(self.folder / "log.txt", "a", encoding="utf-8") as log:
            log.write(f"$ {' '.join(command)}\n{done.stdout}\n{done.stderr}\nexit {done.returncode}\n\n")
        return done

    def groundup(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.call(*GROUNDUP, *words)

    def retrain(self) -> tuple[subprocess.CompletedProcess[str], list[dict[str, Any]]]:
        """Retrain once; return the process and the new entries of the ledger."""
        before = len(self.ledger())
        done = self.call(*RETRAIN)
        return done, self.ledger()[before:]

    def ledger(self) -> list[dict[str, Any]]:
        """Return the ledger's entries on the classifier."""
        file = self.clone.path / "reports/ledger.jsonl"
        return [
            entry for entry in (read_jsonl(file) if file.exists() else []) if entry["model"] == SPAM_MODEL
        ]

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.clone.tracking_uri)

    def champion(self) -> str:
        return str(self.client.get_model_version_by_alias(SPAM_MODEL, CHAMPION).version)

    def versions(self, model: str = SPAM_MODEL) -> int:
        return len(self.client.search_model_versions(f"name = '{model}'"))

    def scored(self) -> tuple[int, str]:
        """Return how often the test set was scored, and the digest of its metrics."""
        tags = [run.data.tags for run in recorded(self.client)]
        count = sum(tag.get("stage") == "evaluate" and tag.get("kind") == "stage" for tag in tags)
        return count, hashlib.sha256((self.clone.path / METRICS).read_bytes()).hexdigest()

    def accuracy(self) -> float:
        """Return the champion's accuracy on the test set, as last measured."""
        return float(read_json(self.clone.path / METRICS)["test"]["accuracy"]["mean"])

    def drop(self, name: str, data: bytes) -> None:
        """Move a file into the inbox."""
        file = self.folder / name
        file.write_bytes(data)
        shutil.move(file, self.clone.path / "data/inbox" / name)

    def increments(self) -> list[Path]:
        return sorted((self.clone.path / "data/labelled").glob("*.jsonl*"))

    def ask(self) -> str:
        """Let the server classify two messages; return the version that answered."""
        texts = ["Are we still meeting for lunch?", "You have WON a prize! Call 09061701461 now to claim"]
        answer = httpx.post(self.url, json={"model": SPAM_MODEL, "input": texts}, timeout=PATIENCE)
        answer.raise_for_status()
        assert [one["label"] in LABELS for one in answer.json()["data"]] == [True, True], answer.text
        return answer.headers["X-Model-Version"]

    def wait_for(self, version: str) -> float:
        """Wait until the server answers with a version; return the seconds that it took."""
        begun = time.monotonic()
        while (found := self.ask()) != version:
            assert time.monotonic() - begun < PATIENCE, (
                f"the server answers with version {found}, not {version}"
            )
            time.sleep(0.05)
        return time.monotonic() - begun

    def agree(self, champion: str) -> float:
        """Check that ledger, registry and server have this champion; return the seconds until the server had it."""
        seconds = self.wait_for(champion)
        verified = self.groundup("models", "--verify")
        assert verified.returncode == 0, verified.stderr
        entry = [entry for entry in self.ledger() if entry["action"] not in ("kept", "undecided")][-1]
        found = {"ledger": entry["after"], "registry": self.champion(), "server": self.ask()}
        assert set(found.values()) == {champion}, f"expected version {champion} everywhere: {found}"
        return seconds

    def serve(self) -> None:
        """Start the server, and wait until it answers."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/v1/classify"
        place = f"models:/{SPAM_MODEL}@champion"
        command = (sys.executable, "-m", "groundup.cli.main", "serve", place, "--port", str(port))
        with open(self.folder / "server.txt", "w", encoding="utf-8") as log:
            self.server = subprocess.Popen(
                command, cwd=self.clone.path, env=self.clone.environment, stdout=log, stderr=log
            )
        begun = time.monotonic()
        while True:
            try:
                self.ask()
                return
            except httpx.TransportError:
                running = self.server.poll() is None and time.monotonic() - begun < PATIENCE
                assert running, (self.folder / "server.txt").read_text()
                time.sleep(0.2)

    def end(self) -> None:
        """End the server."""
        if self.server:
            self.server.terminate()
            self.server.wait()


def prepare(site: Site, messages: Messages, downloads: Path | None) -> None:
    """Clone the last commit, and make the first messages the dataset of the clone."""
    clone = site.clone
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone.path)], check=True)
    if downloads:
        for kept in downloads.glob("download_*"):
            shutil.copytree(kept, clone.path / "data/state" / kept.name)
    write_jsonl(clone.path / OWN, messages.first)
    entry = {
        "role": "spam",
        "title": "A part of the SMS Spam Collection v.1",
        "licence": "CC BY 4.0",
        "citation": "none",
        "locations": [{"url": f"file:{OWN}", "reader": "jsonl"}],
    }
    with open(clone.path / "data/catalogue.yaml", "a", encoding="utf-8") as catalogue:
        catalogue.write("\n" + yaml.safe_dump({"own_messages": entry}))
    clone.change(VALUES)
    clone.run("git", "add", "params.yaml", "data/catalogue.yaml")
    clone.run("git", "commit", "--quiet", "--message", "own messages")


def decision(entries: Sequence[dict[str, Any]]) -> str:
    """Return a sentence with the last decision of a retraining, the first of its reasons, and its numbers."""
    assert entries, "nothing was decided"
    numbers = entries[-1]["numbers"]
    shown = {
        key: numbers[key] for key in ("champion", "challenger", "wins", "losses", "p_value") if key in numbers
    }
    figures = ", ".join(f"{key} {value:.4g}" for key, value in shown.items())
    return (
        f"version {entries[-1]['candidate']} {entries[-1]['action']}: {entries[-1]['reasons'][0]} ({figures})"
    )


def one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one sentence with which a command must have failed."""
    assert done.returncode == 1, (
        f"exit {done.returncode}, expected 1: {done.stdout[-2000:]} {done.stderr[-2000:]}"
    )
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "Traceback" not in done.stderr, done.stderr[-2000:]
    return errors[0].removeprefix("error: ")


class Story:
    """The steps. Each returns a sentence on what happened, and raises AssertionError if that was not right."""

    def __init__(self, site: Site, messages: Messages, seed: int, limit: float) -> None:
        self.site, self.messages, self.seed, self.limit = site, messages, seed, limit

    def train(self) -> str:
        """Train the first version; it becomes champion."""
        done = self.site.call(sys.executable, "-m", "dvc", "repro")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        report = read_json(self.site.clone.path / "data/prepared/spam/report.json")
        sizes = {name: part["messages"] for name, part in report["splits"].items()}
        self.site.serve()
        assert self.site.champion() == "1"
        return f"version 1 is champion; {sizes}; accuracy on test {self.site.accuracy():.4f}"

    def retrain_without_news(self) -> str:
        """Retrain without new data: nothing is trained, compared or scored."""
        scored, versions = self.site.scored(), self.site.versions()
        done, entries = self.site.retrain()
        assert done.returncode == 0, done.stderr[-3000:]
        assert entries == [] and self.site.versions() == versions and self.site.scored() == scored
        assert f"{SPAM_MODEL} | 1 | 1 | kept: no new candidate" in done.stdout + done.stderr
        return "kept: no new candidate"

    def another_seed(self) -> str:
        """Retrain on the same data with another seed: the gate keeps the champion or is undecided."""
        scored = self.site.scored()
        self.site.clone.change({"finetune_spam.seeds": [2]})
        done, entries = self.site.retrain()
        assert done.returncode == 0, done.stderr[-3000:]
        said = decision(entries)
        assert entries[-1]["action"] in ("kept", "undecided") and self.site.scored() == scored
        self.site.clone.change({"finetune_spam.seeds": [1]})
        return said

    def flipped_labels(self) -> str:
        """Add messages of which many have the wrong label: they are refused, or the challenger is not promoted."""
        scored = self.site.scored()
        self.site.drop("flipped.csv", as_csv(flip(self.messages.noisy, FLIPPED, self.seed)))
        done, entries = self.site.retrain()
        assert self.site.scored() == scored
        if done.returncode:
            assert entries == [] and self.site.increments() == []
            return f"refused: {one_sentence(done)}"
        assert self.site.increments(), "the file was refused, and the flow ended well"
        assert [entry["action"] for entry in entries] in (["kept"], ["undecided"]), entries
        return f"taken in; {decision(entries)}"

    def right_labels(self) -> str:
        """Remove the wrong labels, and add messages with right ones: the better model is promoted."""
        count, metrics = self.site.scored()
        for file in self.site.increments():
            file.unlink()
        self.site.drop("right.csv", as_csv(self.messages.better))
        done, entries = self.site.retrain()
        assert done.returncode == 0, done.stderr[-3000:]
        assert [entry["action"] for entry in entries] == ["promoted"], entries
        followed = self.site.wait_for(entries[0]["after"])
        again, new_metrics = self.site.scored()
        assert again == count + 1, f"the test set was scored {again - count} times"
        assert new_metrics != metrics, "reports/metrics/spam.json is that of the old champion"
        for other in (PRETRAINED_MODEL, INSTRUCTIONS_MODEL):
            assert self.site.versions(other) == 1, f"{other} was trained again, but messages are not its data"
        return (
            f"{decision(entries)}; accuracy on test {self.site.accuracy():.4f}; the server had followed "
            f"{followed:.1f} s after the end"
        )

    def rollback(self) -> str:
        """Roll back to the first version; a second rollback is refused, since there is no earlier one."""
        begun = time.monotonic()
        done = self.site.groundup("rollback", SPAM_MODEL, "--reason", "the story")
        ended = time.monotonic() - begun
        assert done.returncode == 0, done.stderr
        self.site.wait_for("1")
        answered = time.monotonic() - begun
        refused = one_sentence(self.site.groundup("rollback", SPAM_MODEL))
        assert self.site.champion() == "1"
        assert answered <= self.limit, (
            f"{answered:.1f} s until the old version answered, limit {self.limit:g} s"
        )
        return f"the command took {ended:.1f} s, the old version answered after {answered:.1f} s; then: {refused}"

    def retrain_after_rollback(self) -> str:
        """Retrain after the rollback: the withdrawn version does not come back by itself."""
        scored = self.site.scored()
        done, entries = self.site.retrain()
        assert done.returncode == 0, done.stderr[-3000:]
        assert entries == [] and self.site.scored() == scored, decision(entries)
        rows = [line for line in (done.stdout + done.stderr).splitlines() if f"| {SPAM_MODEL} | 1 |" in line]
        return rows[-1].partition(f"| {SPAM_MODEL} | ")[2].strip(" |")

    def bad_file(self, wrong: str) -> str:
        """Add a bad file: it is refused whole and put into quarantine, and the retraining fails."""
        test = read_jsonl(self.site.clone.path / "data/prepared/spam/test.jsonl")
        before = (self.site.increments(), self.site.versions(), self.site.scored(), self.site.ledger())
        data = bad_files(self.messages.noisy, self.messages.first, test)[wrong]
        self.site.drop("bad.csv", data)
        said = one_sentence(self.site.call(*RETRAIN))
        after = (self.site.increments(), self.site.versions(), self.site.scored(), self.site.ledger())
        assert before == after, "something has changed"
        name = hashlib.sha256(data).hexdigest()[:16]
        reasons = read_json(self.site.clone.path / f"data/quarantine/{name}.reasons.json")
        assert reasons["accepted"] == 0 and reasons["nothing_accepted"], reasons
        return said


app = typer.Typer(add_completion=False)


@app.command()
def main(
    mirror: Annotated[
        Path, typer.Option(envvar="GROUNDUP_MIRROR", help="Folder with SMSSpamCollection.", exists=True)
    ],
    project: Annotated[
        Path | None, typer.Option(help="Folder for the clone, which must be new; by default a temporary one.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Do not remove the folder at the end.")] = False,
    downloads: Annotated[
        Path | None, typer.Option(help="data/state of a project that has run, to save downloads.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Divides the messages and flips the labels.")] = 1,
    rollback_seconds: Annotated[float, typer.Option(help="Limit for a rollback, on a quiet machine.")] = 5.0,
) -> None:
    """Run the steps of the story, and print a table of them; exit with 1 if a step failed."""
    folder = (project or Path(tempfile.mkdtemp(prefix="groundup-story-"))).resolve()
    (folder / "home").mkdir(parents=True)
    messages = Messages.read(mirror, seed)
    spam = {name: Counter(row["label"] for row in part)[SPAM] for name, part in vars(messages).items()}
    print(
        {name: f"{len(part)} messages, {spam[name]} spam" for name, part in vars(messages).items()},
        flush=True,
    )
    for other in ("PREFECT_API_URL", "MLFLOW_RUN_ID", "GROUNDUP_PARENT_RUN_ID"):
        os.environ.pop(other, None)
    os.environ["HOME"] = str(folder / "home")
    site = Site(folder)
    prepare(site, messages, downloads)
    good = tell(Story(site, messages, seed, rollback_seconds))
    if keep:
        print(f"the clone, log.txt and server.txt are in {folder}")
    else:
        shutil.rmtree(folder)
    raise typer.Exit(not good)


def tell(story: Story) -> bool:
    """Run the steps, and print a line of the table for each; return whether all succeeded."""
    site = story.site
    print("| step | seconds | of processors | champion | outcome |\n|---|---|---|---|---|", flush=True)
    steps: dict[str, Callable[[], str]] = {
        "nothing new": story.retrain_without_news,
        "another seed": story.another_seed,
        f"{FLIPPED:.0%} of the labels flipped": story.flipped_labels,
        "right labels": story.right_labels,
        "rollback": story.rollback,
        "after the rollback": story.retrain_after_rollback,
    }
    bad = bad_files(story.messages.noisy, (), ())
    steps |= {f"file: {wrong}": partial(story.bad_file, wrong) for wrong in bad}
    try:
        if not step(site, "train", story.train):
            return False
        return not [name for name, act in steps.items() if not step(site, name, act)]
    finally:
        site.end()


def step(site: Site, name: str, act: Callable[[], str]) -> bool:
    """Run one step, check that the champion is the same everywhere, and print a line; return whether all was right."""
    begun, worked = time.monotonic(), processor_seconds()
    try:
        outcome = act()
        site.agree(site.champion())
        good = True
    except Exception as error:  # noqa: BLE001  # the next steps may still go well
        with open(site.folder / "log.txt", "a", encoding="utf-8") as log:
            traceback.print_exc(file=log)
        outcome, good = f"**FAILED**: {str(error) or repr(error)}", False
    seconds, champion = time.monotonic() - begun, site.champion() if site.server else "none"
    worked = processor_seconds() - worked
    cells = (name, f"{seconds:.0f}", f"{worked:.0f}", champion, " ".join(outcome.replace("|", "/").split()))
    print(f"| {' | '.join(cells)} |", flush=True)
    return good


def processor_seconds() -> float:
    """Return the seconds of processor time of all commands that have ended."""
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    app()
