import json
import shutil

import numpy as np
import pytest

from groundup.errors import BadInput
from groundup.evaluation.spam_results import collect, read_answers
from groundup.text.jsonl import read_jsonl, read_splits
from groundup.tracking import TrackingConfig, connect, models, stage_run
from tests.pipelines.main.measured import OUTS, make_run, run_evaluate


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluate")
    make_run(root)
    return root


def test_writes_every_output_and_the_same_bytes_twice(inputs, tmp_path):
    for run in ("one", "two"):
        run_evaluate(inputs, tmp_path / run)
    files = sorted(
        path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()
    )
    assert {file.as_posix() for file in files} == set(OUTS)
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file

    spam = json.loads((tmp_path / "one/metrics/spam.json").read_text())
    assert spam["test"]["accuracy"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert spam["leakage"]["normalised"] == 0
    instructions = json.loads((tmp_path / "one/metrics/instructions.json").read_text())
    assert instructions["unseen_instances"]["instances"] == 6
    assert instructions["held_out_families"]["instances"] == 2
    assert len(instructions["families"]) == 4
    exact = [instructions[part]["exact_match"]["mean"] for part in ("unseen_instances", "held_out_families")]
    headline = json.loads((tmp_path / "one/headline.json").read_text())
    assert headline == {"bpb": 2.0, "spam_f1": 1.0, "unseen": exact[0], "held_out": exact[1]}
    assert len(read_jsonl(tmp_path / "one/samples.jsonl")) == 4


def test_the_baselines_are_written_in_full(inputs, tmp_path):
    run_evaluate(inputs, tmp_path)
    splits = read_splits(inputs / "spam", ("train", "test"))
    made = collect(splits["train"], splits["test"], inputs / "predictions/spam.csv")
    files = (inputs / "predictions/spam.csv", tmp_path / "predictions/spam_baselines.csv")
    read = read_answers(splits["test"], *files)
    assert read.baselines.keys() == made.baselines.keys()
    for name, answers in made.baselines.items():
        for of_made, of_read in zip(vars(answers).values(), vars(read.baselines[name]).values(), strict=True):
            assert np.array_equal(of_made, of_read) if of_made is not None else of_read is None


def test_predictions_of_another_split_leave_nothing_behind(inputs, tmp_path):
    root = tmp_path / "run"
    shutil.copytree(inputs, root)
    (root / "predictions/spam.csv").write_text("seed,split,id,label,spam_probability\n1,test,other,ham,0.5\n")
    with pytest.raises(BadInput, match="predictions of seed 1 for 1 test messages"):
        run_evaluate(root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_mlflow_shows_the_figures_of_both_models_and_answers_one_by_one(
    inputs, tmp_path, monkeypatch, request
):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.nodeid)
    store = connect(tmp_path)
    made = {}
    for name, file in (("spam", "predictions/spam.csv"), ("chat", "finetuned/model.safetensors")):
        tags = models.content_tags([inputs / file])
        model = store.client.create_logged_model(store.experiment_id, name, tags=tags)
        made[name] = store.client.finalize_logged_model(model.model_id, "READY").model_id
    config = TrackingConfig(copied_megabytes=1, evaluated_per_family=1)
    with stage_run("evaluate", {}, {}, root=inputs, config=config) as run:
        run_evaluate(inputs, tmp_path / "out", run)

    spam = json.loads((tmp_path / "out/metrics/spam.json").read_text())["test"]
    instructions = json.loads((tmp_path / "out/metrics/instructions.json").read_text())
    logged = {name: store.client.get_logged_model(model_id) for name, model_id in made.items()}
    figures = {(name, m.key): (m.value, m.dataset_name) for name, of in logged.items() for m in of.metrics}
    assert figures["spam", "spam/f1/low"] == (spam["f1"]["low"], "spam-test")
    exact = instructions["held_out_families"]["exact_match"]
    assert figures["chat", "instructions/held_out_families"] == (exact["mean"], "instructions-held_out")
    assert "ham or spam" in logged["spam"].tags["mlflow.note.content"]
    assert logged["chat"].tags["test.unseen_instances"].endswith("]")

    found = {one.info.run_name: one for one in store.client.search_runs([store.experiment_id])}
    headline = json.loads((tmp_path / "out/headline.json").read_text())
    assert headline.items() <= found["evaluate"].data.metrics.items()
    rows = found["evaluate, answers"]
    assert rows.data.params["rows"] == "4" and "exact_match/mean" in rows.data.metrics  # four families
    names = {one.dataset.name for one in found["evaluate"].inputs.dataset_inputs}
    assert names == {"spam-test", "instructions-test", "instructions-held_out"}
    assert "samples.json" in {file.path for file in store.client.list_artifacts(run.run_id)}
