"""`python -m tests.benchmarks` (`make bench`): compare groundup's speed with other programs on this machine.

    make bench                                          # everything, 10 to 20 minutes on two cores
    make bench ARGS="training"                          # one benchmark
    make bench ARGS="training-384 encoding --rounds 9"  # single rows

`make bench-peers` adds llama.cpp, which is compiled; the other programs are in the project's environment. Tokenization,
word vectors and stages read the data of `make repro`. Other work on the machine falsifies the figures.

Results go to reports/benchmarks/, one JSON file per benchmark, with commit, versions and processor; rows that did not
run keep their earlier figures. `make docs` then writes docs/benchmarks.md.
"""

import argparse
import importlib
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
from tqdm import tqdm

from groundup.files import read_json, write_json
from groundup.lineage.repository import revision_of
from tests.benchmarks.runner import ROOT, Row, Unavailable, run

BENCHMARKS = ("training", "generation", "batching", "tokenization", "embeddings", "stages")
PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "tiktoken",
    "gensim",
    "llama-cpp-python",
    "numpy",
    "dvc",
    "mlflow",
)


def processor() -> str:
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        facts = dict(
            line.split(":", 1) for line in info.read_text(encoding="utf-8").splitlines() if ":" in line
        )
        named = {key.strip(): value.strip() for key, value in facts.items()}
        if "model name" in named:
            best = [
                flag for flag in ("avx2", "avx512f", "amx_bf16") if flag in named.get("flags", "").split()
            ]
            return f"{named['model name']}{', ' + best[-1] if best else ''}"
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Return the versions of what takes part: the commit of groundup, and the packages that are installed."""
    found = {"python": platform.python_version()}
    if commit := revision_of(ROOT):
        found["groundup"] = commit
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine(threads: int) -> dict[str, Any]:
    """Return the facts about the machine on which speed depends."""
    return {
        "processor": processor(),
        "cores": psutil.cpu_count(logical=False) or os.cpu_count(),
        "threads": threads,
        "memory_gigabytes": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }


def chosen(names: list[str]) -> dict[str, list[Row]]:
    """Return the rows to run by benchmark: those of the benchmarks and rows in `names`, or all."""
    rows = {name: list(importlib.import_module(f"tests.benchmarks.{name}").ROWS) for name in BENCHMARKS}
    known = [*rows, *(row.name for of in rows.values() for row in of)]
    if unknown := set(names) - set(known):
        sys.exit(
            f"error: there is no benchmark {', '.join(sorted(unknown))}; expected some of {', '.join(known)}."
        )
    picked = {
        name: [row for row in of if not names or {name, row.name} & {*names}] for name, of in rows.items()
    }
    return {name: of for name, of in picked.items() if of}


def describe(result: dict[str, Any]) -> str:
    """Return the result of a row as lines of text."""
    lines = [f"{result['title']} ({result['unit']}, {result['rounds']} rounds)"]
    for name, measured in result["results"].items():
        parts = [f"{'' if figure == 'speed' else figure + ' '}{shown(of)}" for figure, of in measured.items()]
        lines.append(f"  {name:28} {'   '.join(parts)}")
    lines += [f"  {name:28} {why}" for name, why in result["absent"].items()]
    for goal in result["goals"]:
        if goal["reached"] is None:
            continue
        aim = f"{'at most' if goal.get('at_most') else 'at least'} {goal.get('ratio', goal.get('value')):.3g}"
        what = f"times {goal['reference']}" if "reference" in goal else goal["figure"]
        verdict = "met" if goal["met"] else "missed"
        lines.append(f"  {goal['contender']:28} {shown(goal['reached'])} {what}; goal {aim}: {verdict}")
    return "\n".join(lines)


def shown(spread: dict[str, float]) -> str:
    """Return a median and its range."""
    median, low, high = (
        f"{spread[name]:,.{0 if spread['median'] >= 100 else 2}f}" for name in ("median", "low", "high")
    )
    return f"{median} ({low} to {high})"


def save(file: Path, benchmark: str, results: list[dict[str, Any]], facts: dict[str, Any]) -> None:
    """Write the results of a benchmark; keep the earlier figures of rows that did not run, if there are any."""
    fresh = {result["name"]: {**result, **facts} for result in results}
    earlier = {row["name"]: row for row in read_json(file)["rows"]} if file.is_file() else {}
    names = [row.name for row in importlib.import_module(f"tests.benchmarks.{benchmark}").ROWS]
    rows = [fresh.get(name, earlier.get(name)) for name in names]
    write_json(file, {"benchmark": benchmark, "rows": [row for row in rows if row]})


def main() -> None:
    """Run the chosen benchmarks, print their results and write them to files."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        epilog="\n".join(f"{name}: {', '.join(row.name for row in of)}" for name, of in chosen([]).items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", help="benchmarks or rows, as listed below (default: all)")
    parser.add_argument("--rounds", type=int, help="turns of each contender (default: the row's own)")
    cores = psutil.cpu_count(logical=False) or 1
    parser.add_argument(
        "--threads", type=int, default=cores, help="threads of each contender (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "reports/benchmarks", help="folder of the results")
    options = parser.parse_args()
    facts = {"machine": machine(options.threads), "versions": versions()}
    print(
        facts["machine"]["processor"],
        "-",
        ", ".join(f"{name} {of}" for name, of in facts["versions"].items()),
    )
    rows = chosen(options.names)
    turns = sum(
        (1 + (options.rounds or row.rounds)) * len(row.contenders) for of in rows.values() for row in of
    )
    with tqdm(total=turns, unit="turn", desc="benchmarks") as bar:
        for benchmark, of in rows.items():
            results = []
            for row in of:
                try:
                    results.append(run(row, options.threads, options.rounds, bar))
                except Unavailable as why:
                    sys.exit(f"error: {row.name}: {why}")
                bar.write(describe(results[-1]))
                save(options.out / f"{benchmark}.json", benchmark, results, facts)


if __name__ == "__main__":
    main()
