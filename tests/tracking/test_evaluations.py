"""MLflow's evaluation keeps every row with the values of the scorers, without a judge."""

from pathlib import Path
from typing import Any

import pytest

from groundup.tracking import connect, stage_run

ROWS = [
    {"inputs": {"instruction": "Say it.", "input": text}, "outputs": answer, "expectations": {"right": text}}
    for text, answer in (("tea", "tea"), ("red", "rad"), ("house", "house"), ("cup", ""))
]


def exact_match(outputs: str, expectations: dict[str, str]) -> bool:
    return outputs == expectations["right"]


def answered(outputs: str) -> bool:
    return bool(outputs)


def test_rows_and_scores_are_in_a_child_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.nodeid)
    store: Any = connect(Path.cwd())
    with stage_run("evaluate", {}, {}, root=tmp_path) as run:
        run.evaluation("answers", ROWS, [exact_match, answered])
        run.table([{"family": "a", "after": "x"}, {"family": "b", "history": ["y"]}], "samples.json")
        run.evaluation("nothing", [], [exact_match])
    found = {one.info.run_name: one for one in store.client.search_runs([store.experiment_id])}
    assert set(found) == {"evaluate", "evaluate, answers"}
    child = found["evaluate, answers"]
    assert child.data.metrics == {"exact_match/mean": 0.5, "answered/mean": 0.75}
    assert child.data.tags["mlflow.parentRunId"] == run.run_id and child.info.status == "FINISHED"
    traces = mlflow.search_traces(
        locations=[store.experiment_id], run_id=child.info.run_id, return_type="list"
    )
    scores = {
        trace.data.spans[0].inputs["input"]: {a.name: a.value for a in trace.info.assessments}
        for trace in traces
    }
    assert scores == {
        "tea": {"exact_match": True, "answered": True, "right": "tea"},
        "red": {"exact_match": False, "answered": True, "right": "red"},
        "house": {"exact_match": True, "answered": True, "right": "house"},
        "cup": {"exact_match": False, "answered": False, "right": "cup"},
    }
    table = store.client.load_table(store.experiment_id, "samples.json", [run.run_id])
    assert table["family"].tolist() == ["a", "b"] and table["history"].tolist() == ["", "['y']"]
