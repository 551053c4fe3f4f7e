"""Take a generated corpus from raw text to token shards in several places, and compare bytes, memory and findings.

    python -m tests.campaigns.corpora --gigabytes 3 --kills 20 --seed 1

The corpus has planted evaluation items (whole, in capital letters, or 13 words of them inside other text) and planted
near duplicates (documents with a few words changed). One process, a pool of two, and a Dask cluster of three workers
take it through four steps: prepare, search for the items, learn a tokenizer, encode. All have to write the same bytes,
find every planted item and no other, and drop at least 99% of the planted near duplicates and nothing else. The peak
memory is that of the largest process of each place.

Then, on a smaller corpus, a worker, the scheduler or the client is killed at a random moment of a run on Dask. A run
that did not survive is started again. Its bytes have to be those of an undisturbed run.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from groundup.corpora.preparing import SPLITS, prepare
from groundup.datasets.corpus import CorpusConfig, NearDuplicates
from groundup.files import scratch_folder, write_json
from groundup.parallel.cluster import DaskConfig, ProcessesConfig
from groundup.text.contamination import find_contamination
from groundup.text.jsonl import iterate_jsonl, read_jsonl, write_jsonl
from groundup.text.occurrences import batches_in, batches_of
from groundup.text.shards import line_of, writing
from groundup.tokenizers.bpe import END_OF_TEXT, BPETokenizer
from groundup.tokenizers.counting import count_corpus
from groundup.training.shards import write_shards
from tests.campaigns.operation import until
from tests.conftest import local_dask

CONFIG = CorpusConfig(
    val_fraction=0.01,
    gate_fraction=0.01,
    min_messages=1,
    min_chars=1,
    near_duplicates=NearDuplicates(similarity=0.8, words=5),
    max_documents=None,
    max_dropped_share=1.0,
    shard_megabytes=16,
    damaged_shards="refuse",
    seed=1,
)
SHARD_BYTES = 16 * 10**6
WORDS = 50_000  # the vocabulary of the generated text, with frequencies after Zipf's law
LETTERS = [*"abcdefghijklmnopqrstuvwxyz"]


def generate(folder: Path, n_bytes: int, n_items: int, n_near: int, seed: int) -> int:
    """Write a raw corpus in shards, and items.jsonl with the planted items and as many that are not; return its bytes.

    Near duplicates have ids that begin with "near".
    """
    rng = np.random.default_rng(seed)
    writer = Writer(rng)
    items = [writer.text(int(rng.integers(15, 40))) for _ in range(2 * n_items)]
    write_jsonl(
        folder / "items.jsonl", [{"text": text, "planted": i < n_items} for i, text in enumerate(items)]
    )
    n_documents = n_bytes // 1250  # a document has about so many bytes
    planted = dict(zip(rng.choice(n_documents, n_items, replace=False).tolist(), items, strict=False))
    copied = set(rng.choice(n_documents, n_near, replace=False).tolist()) - set(planted)
    later: list[dict[str, Any]] = []
    raw, written, number = folder / "raw.jsonl", 0, 0
    raw.mkdir()
    for shard in range(-(-n_bytes // SHARD_BYTES)):
        with writing(raw / f"{shard:05d}.jsonl.zst") as file:
            size = 0
            while size < SHARD_BYTES and number < n_documents:
                messages = [writer.text(int(rng.integers(60, 120))) for _ in range(2)]
                if number in planted:
                    messages.append(disguised(planted[number], number, writer))
                rows = [{"id": f"d{number}", "messages": messages}]
                if number in copied:
                    later.append({"id": f"near{number}", "messages": [changed(rng, m) for m in messages]})
                if later and rng.random() < 0.5:  # a copy comes some time after its original
                    rows.append(later.pop(0))
                size += sum(file.write(line_of(row)) for row in rows)
                number += 1
            if number == n_documents:
                size += sum(file.write(line_of(row)) for row in later)
            written += size
    write_json(folder / "facts.json", {"documents": number, "near": len(copied), "bytes": written})
    return written


class Writer:
    """Writes texts of made-up words, whose frequencies follow Zipf's law."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._names = ["".join(rng.choice(LETTERS, rng.integers(2, 11))) for _ in range(WORDS)]
        shares = 1 / np.arange(2.7, WORDS + 2.7)
        self._shares = shares / shares.sum()
        self._drawn: list[int] = []

    def text(self, count: int) -> str:
        """Return a text of so many words."""
        if len(self._drawn) < count:
            self._drawn += self._rng.choice(WORDS, 10**6, p=self._shares).tolist()
        words, self._drawn[-count:] = self._drawn[-count:], []
        return " ".join(map(self._names.__getitem__, words))


def disguised(item: str, number: int, more: Writer) -> str:
    """Return an item as it may occur in training text: as it is, in other letters, or 13 words of it inside a text."""
    if number % 3 == 0:
        return item
    if number % 3 == 1:
        return f"{item.upper()}!"
    return f"{more.text(9)} {' '.join(item.split()[1:14])} {more.text(7)}"


def changed(rng: np.random.Generator, text: str) -> str:
    """Replace one word of a text of at least 60, which leaves more than 83% of the runs of 5 words in common."""
    words = text.split()
    words[int(rng.integers(len(words)))] = "otherwise"
    return " ".join(words)


def run_steps(folder: Path, out: Path, where: str, vocab_size: int) -> None:
    """Take the corpus from raw text to shards, and write the files and their findings to `out`; print the seconds."""
    place = (
        DaskConfig("dask", where, 60, 512) if ":" in where else ProcessesConfig("processes", int(where), 512)
    )

    def timed(name: str, step: Callable[[], Any]) -> Any:
        begun = time.perf_counter()
        result = step()
        print(json.dumps({"step": name, "seconds": time.perf_counter() - begun}), flush=True)
        return result

    timed("prepare", lambda: prepare(folder / "raw.jsonl", CONFIG, out / "corpus", place))
    rows = read_jsonl(folder / "items.jsonl")
    evaluation = {
        f"planted {planted}": batches_in(row["text"] for row in rows if row["planted"] == planted)
        for planted in (True, False)
    }
    training = {name: batches_of(out / "corpus" / f"{name}.jsonl") for name in SPLITS}
    with scratch_folder(out / "found.json") as scratch:
        found = timed("search", lambda: find_contamination(evaluation, training, scratch, place))
    write_json(out / "found.json", {name: facts["contaminated"] for name, facts in found["sets"].items()})
    with scratch_folder(out / "tokenizer.json") as scratch:
        count = partial(count_corpus, out / "corpus/train.jsonl", "gpt2", scratch, place, max_words=2 * 10**6)
        learn = partial(BPETokenizer.learn, count, vocab_size, pattern="gpt2", special_tokens=(END_OF_TEXT,))
        tokenizer = timed("tokenizer", learn)
    tokenizer.save(out / "tokenizer.json")
    timed("encode", lambda: write_shards(out / "corpus", tokenizer, out / "tokens", place))


def start(folder: Path, out: Path, where: str, vocab_size: int) -> "subprocess.Popen[str]":
    """Start `run_steps` in its own session."""
    words = [sys.executable, "-m", __spec__.name, "--steps", str(folder), str(out), where, str(vocab_size)]
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )


class Peaks(threading.Thread):
    """Watches the memory of all processes below this one."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.largest, self._ended = 0, threading.Event()

    def run(self) -> None:
        """Look ten times a second; what several processes share counts for each of them."""
        while not self._ended.wait(0.1):
            for process in psutil.Process().children(recursive=True):
                try:
                    self.largest = max(self.largest, process.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue

    def stop(self) -> int:
        """Return the largest memory of a process, in MB."""
        self._ended.set()
        self.join()
        return self.largest // 10**6


def contents(out: Path) -> dict[str, str]:
    """Return the SHA-256 of each file."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def measure(folder: Path, vocab_size: int) -> bool:
    """Run the steps in every place; print the figures, and return whether all is as it has to be."""
    facts = json.loads((folder / "facts.json").read_text())
    results = []
    for name in ("one process", "pool of 2", "Dask, 3 workers"):
        peaks = Peaks()
        peaks.start()
        if name.startswith("Dask"):
            with local_dask(folder / "dask", 3) as cluster:
                process = start(folder, folder / name, cluster.scheduler_address, vocab_size)
                told, _ = process.communicate()
        else:
            process = start(folder, folder / name, "1" if name == "one process" else "2", vocab_size)
            told, _ = process.communicate()
        steps = [json.loads(line) for line in told.splitlines()]
        speeds = ", ".join(f"{step['step']} {facts['bytes'] / step['seconds'] / 1e6:.1f}" for step in steps)
        print(f"{name}: peak {peaks.stop()} MB a process; MB/s: {speeds}", flush=True)
        results.append(contents(folder / name))
    same = all(result == results[0] for result in results)
    print(f"bytes: {'the same' if same else 'DIFFERENT'} in {len(results[0])} files of each place")
    out = folder / "one process"
    found = json.loads((out / "found.json").read_text())
    left = {"d": 0, "n": 0}
    for split in SPLITS:
        for row in iterate_jsonl(out / f"corpus/{split}.jsonl"):
            left[row["id"][0]] += 1
    dropped = facts["near"] - left["n"]
    print(f"items found: {found}; near duplicates dropped: {dropped} of {facts['near']}")
    print(f"other documents dropped: {facts['documents'] - left['d']} of {facts['documents']}")
    n_items = sum(row["planted"] for row in read_jsonl(folder / "items.jsonl"))
    right = found == {"planted True": n_items, "planted False": 0} and dropped >= 0.99 * facts["near"]
    return same and right and left["d"] == facts["documents"]


def disturb(folder: Path, kills: int, vocab_size: int, chance: random.Random) -> bool:
    """Kill workers, schedulers and clients; return whether every run ended with the same bytes."""
    begun = time.monotonic()
    start(folder, folder / "whole", "1", vocab_size).communicate()
    seconds, expected, wrong = time.monotonic() - begun, contents(folder / "whole"), 0
    for number in range(1, kills + 1):
        victim, moment = chance.choice(["worker", "scheduler", "client"]), chance.random() * seconds
        shutil.rmtree(folder / "out", ignore_errors=True)
        runs, status = 0, 1
        while status:
            with scheduler_and_workers(folder / "dask") as (address, processes):
                process = start(folder, folder / "out", address, vocab_size)
                if not runs:
                    time.sleep(moment)
                    if victim == "client":
                        os.killpg(process.pid, signal.SIGKILL)
                    else:
                        kill_tree(processes[0] if victim == "scheduler" else chance.choice(processes[1:]))
                process.communicate()
                runs, status = runs + 1, process.returncode
        same = contents(folder / "out") == expected
        wrong += not same
        told = "the same" if same else "DIFFERENT"
        print(f"{number}: {victim} killed after {moment:.1f} s, {runs} run(s): {told}", flush=True)
    print(f"{kills - wrong} of {kills} as without a kill")
    return not wrong


class scheduler_and_workers:
    """A Dask cluster of three workers, each in a process of its own, so that each can be killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> tuple[str, list[psutil.Process]]:
        """Return the scheduler's address and the processes, the scheduler first."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        about = self._folder / "scheduler.json"
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        at = ["--host", "127.0.0.1", "--no-dashboard"]
        words = [
            sys.executable,
            "-m",
            "distributed.cli.dask_scheduler",
            *at,
            "--port",
            "0",
            "--scheduler-file",
            str(about),
        ]
        self._processes = [psutil.Popen(words, **quiet)]
        address = until("the scheduler's address", lambda: _address(about))
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, *at, "--nthreads", "1"]
        worker += ["--local-directory", str(self._folder)]
        self._processes += [psutil.Popen(worker, **quiet) for _ in range(3)]
        return address, self._processes

    def __exit__(self, *error: object) -> None:
        for process in self._processes:
            kill_tree(process)


def _address(about: Path) -> str:
    """Return the address that the scheduler has written; "" while it has not, or is writing it."""
    with suppress(OSError, ValueError):
        return str(json.loads(about.read_text())["address"])
    return ""


def kill_tree(process: psutil.Process) -> None:
    """Kill a process and those that it started."""
    try:
        for one in [process, *process.children(recursive=True)]:
            one.kill()
        process.wait()
    except psutil.NoSuchProcess:
        return


def main() -> None:
    """Run the campaign; exit with 1 if anything was not as it has to be."""
    if sys.argv[1:2] == ["--steps"]:
        folder, out, where, vocab_size = sys.argv[2:]
        run_steps(Path(folder), Path(out), where, int(vocab_size))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=3.0, help="0: only kill")
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--near", type=int, default=5000)
    parser.add_argument("--vocab-size", type=int, default=8192)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--killed-gigabytes", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    right = True
    with tempfile.TemporaryDirectory() as name:
        if arguments.gigabytes:
            folder = Path(name, "large")
            folder.mkdir()
            n_bytes = int(arguments.gigabytes * 1e9)
            size = generate(folder, n_bytes, arguments.items, arguments.near, arguments.seed)
            print(f"{size / 1e6:,.0f} MB", flush=True)
            right &= measure(folder, arguments.vocab_size)
        if arguments.kills:
            small = Path(name, "small")
            small.mkdir()
            generate(small, int(arguments.killed_gigabytes * 1e9), 50, 200, arguments.seed)
            right &= disturb(small, arguments.kills, 1024, random.Random(arguments.seed))
    sys.exit(not right)


if __name__ == "__main__":
    main()
