"""Check that the monitor raises false alarms at the stated rate, and always raises the alarm when messages change.

    python -m tests.campaigns.drift --spam data/raw/spam.jsonl --chat data/raw/pretraining.jsonl --models data/models

Without drift, the alarms must be compatible with monitor.false_alarm_rate (binomial test) in two settings. In the
first, reference and window are random halves of the same messages. In the second, windows of new messages are compared
with the reference part of the older ones, which are split by groups of near duplicates, as in the pipeline.

With drift, every window must raise the alarm: windows of chit-chat instead of SMS, and of rewritten SMS. The campaign
prints a JSON report; the exit status is 1 if a condition fails.
"""

import argparse
import json
import re
import string
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest, kstest

from groundup.checkpoint import load_checkpoint
from groundup.datasets.spam import dedupe
from groundup.evaluation.metrics import Bootstrap
from groundup.monitoring.drift import compare
from groundup.monitoring.samples import Messages, draw
from groundup.tasks.message_scores import score_messages
from groundup.text.jsonl import read_jsonl
from groundup.text.labels import HAM
from groundup.text.near_duplicates import near_groups
from pipelines.params import load_params
from tests.clone import ROOT

Rows = list[dict[str, Any]]
BOOTSTRAP = Bootstrap(samples=100, confidence=0.95, seed=1)
STRICT = 0.001  # if the p-value of the binomial test is below this, the rate is not the stated one
PUNCTUATION = str.maketrans("", "", string.punctuation)


# the docstrings of this and the next two functions are keys of the report
def plain(row: dict[str, Any]) -> dict[str, Any]:
    """Lower case, without punctuation."""
    return row | {"text": row["text"].lower().translate(PUNCTUATION)}


def shortened(row: dict[str, Any]) -> dict[str, Any]:
    """Ham: the first half of the words."""
    words = row["text"].split()
    return row | {"text": " ".join(words[: (len(words) + 1) // 2])} if row["label"] == HAM else row


def without_numbers(row: dict[str, Any]) -> dict[str, Any]:
    """Numbers and links are gone."""
    return row | {"text": re.sub(r"\S*\d\S*|https?\S*|www\S*", "", row["text"])}


class Campaign:
    """The models, the configuration, and all messages with their measures."""

    def __init__(self, spam: Path, chat: Path, models: Path, window: int) -> None:
        self.config, self.window = load_params("main", ROOT).monitor, window
        self.classifier = load_checkpoint(models / "spam")
        self.pretrained = load_checkpoint(models / "pretrained", kind="decoder")
        self.rows = read_jsonl(spam)
        self.sms = self.measured(self.rows)
        talk = [
            {"text": text} for document in read_jsonl(chat) for text in document["messages"] if text.strip()
        ]
        chosen = np.random.default_rng(1).permutation(len(talk))[:5000]
        self.chat = self.measured([talk[i] for i in chosen])
        self.seconds: list[float] = []
        self.per_test: dict[str, list[float]] = {}

    def measured(self, rows: Rows) -> Messages:
        rows = [row for row in rows if row["text"].strip()]
        found = score_messages(self.classifier, self.pretrained, [row["text"] for row in rows])
        return Messages.of(
            rows,
            self.pretrained.tokenizer,
            spam_probability=found.spam,
            bits_per_byte=found.bits_per_byte,
            embeddings=found.embeddings,
        )

    def smallest(
        self, reference: Messages, window: Messages, seed: int, trained: Sequence[str] = ()
    ) -> float:
        """Compare a window with a reference; return the smallest corrected p-value."""
        started = time.process_time()
        sample = draw(reference.texts, window.texts, trained, self.config.max_messages, seed)
        result = compare(
            reference.take(sample.reference),
            window.take(sample.window),
            replace(self.config, seed=seed),
            BOOTSTRAP,
        )
        self.seconds.append(time.process_time() - started)
        self.per_test = {
            test["name"]: [*self.per_test.get(test["name"], []), test["p"]] for test in result["tests"]
        }
        found = min(test["p_corrected"] for test in result["tests"])
        print(f"  seed {seed}: smallest corrected p {found:.4f}", file=sys.stderr, flush=True)
        return found

    def halves(self, seed: int) -> tuple[Messages, Messages]:
        order = np.random.default_rng([seed, 1]).permutation(len(self.sms))
        return self.sms.take(order[: len(order) // 2]), self.sms.take(order[len(order) // 2 :])

    def unique(self, messages: Messages) -> Messages:
        """Return the messages without duplicates, as in the prepared splits."""
        rows = [{"id": i, "text": text, "label": HAM} for i, text in enumerate(messages.texts)]
        kept, _ = dedupe(rows)
        return messages.take(np.array([row["id"] for row in kept]))

    def quiet(
        self, name: str, trials: int, samples: Callable[[int], tuple[Messages, Messages, Sequence[str]]]
    ) -> dict[str, Any]:
        """Count the alarms where nothing has changed."""
        print(name, file=sys.stderr, flush=True)
        self.seconds, self.per_test = [], {}
        drawn = ((seed, *samples(seed)) for seed in range(trials))
        found = np.array([self.smallest(old, new, seed, trained) for seed, old, new, trained in drawn])
        return {
            "trials": trials,
            "seconds per window (processor)": round(float(np.mean(self.seconds)), 2),
            "uniform p-values (KS p)": round(float(kstest(found, "uniform").pvalue), 4),
            "uniform p-values by test (KS p)": {
                test: round(float(kstest(values, "uniform").pvalue), 4)
                for test, values in self.per_test.items()
            },
        } | {
            f"alarms at {rate:.0%}": self.alarms(found, rate)
            for rate in (self.config.false_alarm_rate, 0.05, 0.2)
        }

    @staticmethod
    def alarms(found: Any, rate: float) -> dict[str, Any]:
        count = int(np.sum(found <= rate))
        test = binomtest(count, len(found), rate)
        low, high = test.proportion_ci(0.95, method="exact")
        return {
            "alarms": count,
            "rate": round(count / len(found), 4),
            "interval": [round(float(low), 4), round(float(high), 4)],
            "binomial p": round(float(test.pvalue), 4),
            "as stated": bool(test.pvalue > STRICT),
        }

    def changed(self, name: str, trials: int, source: Messages) -> dict[str, Any]:
        """Count the alarms where windows come from `source`."""
        print(name, file=sys.stderr, flush=True)
        self.seconds, self.per_test = [], {}
        found = []
        for seed in range(trials):
            chosen = np.random.default_rng([seed, 2]).permutation(len(source))[: self.window]
            found.append(self.smallest(self.halves(seed)[0], source.take(chosen), seed))
        alarms = int(np.sum(np.array(found) <= self.config.false_alarm_rate))
        return {
            "trials": trials,
            "window": self.window,
            "alarms": alarms,
            "every time": alarms == trials,
            "median p by test": {test: round(float(np.median(p)), 4) for test, p in self.per_test.items()},
            "seconds per window (processor)": round(float(np.mean(self.seconds)), 2),
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--spam", type=Path, default=Path("data/raw/spam.jsonl"))
    parser.add_argument("--chat", type=Path, default=Path("data/raw/pretraining.jsonl"))
    parser.add_argument("--models", type=Path, default=Path("data/models"))
    parser.add_argument("--halvings", type=int, default=50)
    parser.add_argument("--windows", type=int, default=20, help="windows with drift, per kind")
    parser.add_argument("--window", type=int, default=300, help="messages per window")
    parser.add_argument("--compared", type=int, help="instead of monitor.max_messages; fewer are quicker")
    options = parser.parse_args()
    campaign = Campaign(options.spam, options.chat, options.models, options.window)
    if options.compared:
        campaign.config = replace(campaign.config, max_messages=options.compared)

    groups = np.array(near_groups(campaign.sms.texts))

    def halves(seed: int) -> tuple[Messages, Messages, Sequence[str]]:
        return *campaign.halves(seed), ()

    def new_and_old(seed: int) -> tuple[Messages, Messages, Sequence[str]]:
        """Split off a window, and split the rest by groups: 20% reference (val and gate), 20% test, 60% training."""
        rng = np.random.default_rng([seed, 3])
        order, place = rng.permutation(len(groups)), rng.random(len(groups))[groups]
        new, old = np.split(order, [options.window])
        reference, trained = old[place[old] < 0.2], old[place[old] > 0.4]
        texts = campaign.sms.take(trained).texts
        return campaign.unique(campaign.sms.take(reference)), campaign.sms.take(new), texts

    report: dict[str, Any] = {
        "false_alarm_rate": campaign.config.false_alarm_rate,
        "without drift": {
            "random halves": campaign.quiet("random halves", options.halvings, halves),
            "new messages": campaign.quiet("new messages", options.halvings, new_and_old),
        },
        "with drift": {"chit-chat": campaign.changed("chit-chat", options.windows, campaign.chat)},
    }
    for rewrite in (plain, shortened, without_numbers):
        source = campaign.measured([rewrite(row) for row in campaign.rows])
        report["with drift"][rewrite.__doc__] = campaign.changed(
            str(rewrite.__doc__), options.windows, source
        )
    print(json.dumps(report, indent=2))
    stated = f"alarms at {campaign.config.false_alarm_rate:.0%}"
    quiet = all(found[stated]["as stated"] for found in report["without drift"].values())
    loud = all(found["every time"] for found in report["with drift"].values())
    sys.exit(0 if quiet and loud else 1)


if __name__ == "__main__":
    main()
