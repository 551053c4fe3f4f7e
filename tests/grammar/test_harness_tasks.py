import json
from pathlib import Path
from typing import Any

import pytest

from groundup.errors import BadInput
from groundup.evaluation.language_model import log_likelihoods
from groundup.grammar.decisions import decisions, of_decoder, table
from groundup.grammar.harness_tasks import GROUP, scores, task_of, write_tasks
from groundup.grammar.minimal_pairs import minimal_pairs
from groundup.interop.export_huggingface import export_huggingface
from groundup.text.jsonl import write_jsonl
from groundup.tokenizers.bpe import BPETokenizer
from tests.interop.test_export_huggingface import saved
from tests.tiny import random_decoder

PAIRS = minimal_pairs(6, seed=1)
LEAKED = [number % 3 == 0 for number in range(len(PAIRS))]


def test_the_harness_finds_what_we_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of the default preset, exported, and run by lm-eval on the written tasks."""
    pytest.importorskip("lm_eval")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    tokenizer = BPETokenizer.train([pair.good + pair.bad for pair in PAIRS], 400)
    ours = saved(
        tmp_path / "ours", random_decoder(vocab_size=tokenizer.vocab_size, context_length=64), tokenizer
    )
    export_huggingface(ours, tmp_path / "exported")
    write_tasks(tmp_path / "tasks", PAIRS, LEAKED)
    found = simple_evaluate(
        model="hf",
        model_args={"pretrained": str(tmp_path / "exported"), "trust_remote_code": True},
        tasks=[GROUP],
        task_manager=TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False),
        device="cpu",
        batch_size=16,
        bootstrap_iters=0,
    )
    for name, rows in found["samples"].items():
        write_jsonl(tmp_path / f"results/model/samples_{name}_2026-11-27T10-00-00.jsonl", rows)
        for row in rows:
            asked = [("", row["doc"]["good"]), ("", row["doc"]["bad"])]
            expected = [one.total for one in log_likelihoods(ours.model, ours.tokenizer, asked)]
            assert [float(total) for total, _ in row["filtered_resps"]] == pytest.approx(expected, abs=1e-4)
    right = decisions(PAIRS, of_decoder(ours.model, ours.tokenizer))
    expected_table = table(PAIRS, {"model": right}, LEAKED)
    assert scores(tmp_path / "results") == expected_table
    mean = expected_table["accuracy"]["model"]["mean"]
    assert found["results"][GROUP]["acc,none"] == pytest.approx(mean)


def answers(folder: Path, time: str, acc: float, **other: Any) -> None:
    docs = [vars(pair) | {"leaked": False} for pair in PAIRS if pair.phenomenon == "a and an"]
    file = folder / f"samples_{task_of('a and an')}_{time}.jsonl"
    write_jsonl(file, [{"doc": doc | other, "acc": acc} for doc in docs])


def test_the_last_run_counts(tmp_path: Path) -> None:
    answers(tmp_path / "b", "2026-11-27T10-00-00", 0.0)
    answers(tmp_path / "a", "2026-11-27T11-00-00", 1.0)
    assert scores(tmp_path)["accuracy"]["model"]["mean"] == 1


def test_folders_without_answers(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has no file samples_groundup_grammar"):
        scores(tmp_path)
    answers(tmp_path, "2026-11-27T10-00-00", 1.0, other="key")
    with pytest.raises(BadInput, match="has no answers to minimal pairs"):
        scores(tmp_path)


def test_the_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks/old.yaml").touch()
    write_tasks(tmp_path / "tasks", PAIRS, LEAKED)
    names = {pair.phenomenon for pair in PAIRS}
    assert len([*(tmp_path / "tasks").iterdir()]) == 2 * len(names) + 1
    lines = (tmp_path / f"tasks/{task_of('reflexive')}.jsonl").read_text().splitlines()
    assert len(lines) == sum(pair.phenomenon == "reflexive" for pair in PAIRS)
    assert json.loads(lines[0]).keys() == {"phenomenon", "template", "good", "bad", "leaked"}
