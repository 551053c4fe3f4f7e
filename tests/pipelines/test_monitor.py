"""The monitor checks each new window once, records it everywhere, and starts a retraining as the policy says.

The models are real and untrained: a checkpoint of a decoder, and a registered classifier as the champion.
"""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect.states import Completed, Failed
from typer.testing import CliRunner

from groundup import tracking
from groundup.checkpoint import fingerprint, save_checkpoint
from groundup.files import read_json, write_json
from groundup.nn.classifier import SequenceClassifier
from groundup.text.fingerprints import fingerprints
from groundup.text.jsonl import read_jsonl, write_jsonl
from groundup.text.labels import LABELS
from groundup.tracking import registry
from pipelines import monitor, windows
from pipelines.flow import alone
from tests.monitoring.words import config, sentences
from tests.pipelines import prepared, toy
from tests.pipelines.operate.test_missed import deploy, runs_of
from tests.tiny import EVALUATE, random_decoder, randomised

pytestmark = pytest.mark.usefixtures("prefect_server")

PARAMS: Any = SimpleNamespace(
    monitor=config(windows=Path("windows"), results=Path("reports/monitoring")), evaluate=EVALUATE
)
DVC_YAML = """\
stages:
  prepare_spam:
    cmd: python work.py source.txt prepared/spam
    outs: [prepared/spam]
  pretrain:
    cmd: python work.py source.txt models/pretrained
    outs: [models/pretrained]
"""


def texts(seed: int, n: int = 60) -> list[str]:
    return sentences(n, np.random.default_rng(seed))


def in_another_style(seed: int) -> list[str]:
    return [f"{text} 日本語" for text in texts(seed)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with splits, a pretrained model and a classifier; tests work on copies."""
    folder = toy.make(tmp_path_factory.mktemp("monitor") / "toy", DVC_YAML)
    prepared.make_pretrained(folder / "models/pretrained")
    for split, n, seed in (("train", 40, 1), ("val", 60, 2), ("gate", 40, 3)):
        rows = [{"text": text, "label": LABELS[text.isupper()]} for text in texts(seed, n)]
        write_jsonl(folder / "prepared/spam" / f"{split}.jsonl", rows)
    names = prepared.tokenizer()
    trunk = random_decoder(**vars(prepared.MODEL.config(names.vocab_size)))
    model = randomised(SequenceClassifier(trunk, len(LABELS), "max"), 1)
    data = {"train": fingerprint(folder / "prepared/spam/train.jsonl")}
    save_checkpoint(folder / "version/artifacts/checkpoint", model, names, labels=LABELS, data=data)
    seen = read_jsonl(folder / "prepared/spam/val.jsonl")[:1]
    write_json(folder / "version/artifacts/trained_on.json", sorted(fingerprints(seen)))
    return folder


@pytest.fixture
def project(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Path]:
    """A project with a champion and an empty folder of windows."""
    from mlflow.exceptions import MlflowException

    folder = Path(shutil.copytree(built, tmp_path / "toy"))
    (folder / "windows").mkdir()
    (folder / "windows/README.md").write_text("not a window")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.nodeid)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(monitor, "load_params", lambda *_: PARAMS)
    monkeypatch.setattr(registry, "SPAM_MODEL", tmp_path.name)
    store = tracking.connect(folder)
    with suppress(MlflowException):
        store.client.create_registered_model(tmp_path.name)
    run = store.client.create_run(store.experiment_id)
    tags = {"stage_key": "1", "metric.val_mcc": "0.97"}
    version = store.client.create_model_version(
        tmp_path.name, (folder / "version").as_uri(), run.info.run_id, tags=tags
    )
    store.client.set_registered_model_alias(tmp_path.name, registry.CHAMPION, version.version)
    yield folder


@pytest.fixture
def retrainings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the retrainings that ran as subflows, instead of training."""
    started: list[int] = []

    def pretend(timeout_hours: float | None) -> Any:
        started.append(1)
        return Completed(message="0 of 2 models promoted")

    monkeypatch.setattr(monitor, "retrain", Flow(pretend, name="retrain"))
    return started


def add(folder: Path, name: str, messages: list[str]) -> None:
    write_jsonl(folder / "windows" / name, [{"text": text} for text in messages])


def artifacts(key: str) -> list[str]:
    """Return the artifacts with a key, the newest first."""
    with get_client(sync_client=True) as client:
        wanted = {"sort": "CREATED_DESC", "artifacts": {"key": {"any_": [key]}}}
        return [
            str(found["data"]) for found in client.request("POST", "/artifacts/filter", json=wanted).json()
        ]


def test_a_window_is_checked_once_and_recorded_everywhere(project: Path, retrainings: list[int]) -> None:
    add(project, "Week 1.jsonl", [*texts(4), *texts(1, 5)])  # five of them are training messages
    state = monitor.monitor(return_state=True)
    assert state.is_completed(), state.message
    assert state.message == "1 new windows, 0 with drift"
    [stored] = (project / "reports/monitoring").glob("*.json")
    result = read_json(stored)
    assert stored.stem == result["window"] and stored.name.startswith("week-1-")
    assert result["sha256"] == fingerprint(project / "windows/Week 1.jsonl")
    assert result["reference"]["splits"] == ["val", "gate"] and result["reference"]["unseen"]
    assert result["reference"]["messages"] == 99 and result["reference"]["left_out"] == 1
    assert result["messages"] == {"read": 65, "trained_on": 5, "near_duplicates": 0, "compared": 60}
    assert result["champion"]["metrics"] == {"val_mcc": 0.97}
    page = stored.with_suffix(".html").read_text()
    assert "Week 1.jsonl" in page and not [text for text in texts(4) if text in page + stored.read_text()]

    store = tracking.connect(project)
    [run] = store.client.search_runs([store.experiment_id], "tags.kind = 'monitor'")
    assert run.data.metrics["drift/violation"] == 0 and "drift/ngrams/p_corrected" in run.data.metrics
    assert [file.path for file in store.client.list_artifacts(run.info.run_id)] == [f"{stored.stem}.html"]
    assert result["run"].endswith(run.info.run_id)
    [told] = artifacts(f"monitoring-{result['window']}")
    assert "No drift" in told and f"reports/monitoring/{stored.stem}.html" in told

    written = stored.stat().st_mtime_ns
    state = monitor.monitor(return_state=True)
    assert state.message == "0 new windows, 0 with drift" and stored.stat().st_mtime_ns == written
    assert "There is no new window." in artifacts("monitoring-summary")[0]
    assert retrainings == []


def test_drift_in_two_of_three_windows_starts_one_retraining(project: Path, retrainings: list[int]) -> None:
    add(project, "1.jsonl", in_another_style(5))
    assert monitor.monitor(return_state=True).message == "1 new windows, 1 with drift"
    assert retrainings == []
    add(project, "2.jsonl", in_another_style(6))
    assert monitor.monitor(return_state=True).message == "1 new windows, 1 with drift; retraining"
    assert retrainings == [1]
    [fired] = read_jsonl(project / "reports/monitoring" / monitor.FIRINGS)
    assert len(fired["windows"]) == 2 and "ran here: Completed" in fired["how"]
    assert "**Retraining** because of drift in 2 of the last 2 windows" in artifacts("monitoring-summary")[0]
    add(project, "3.jsonl", in_another_style(7))
    monitor.monitor(return_state=True)
    assert retrainings == [1]  # the first two windows do not count again
    add(project, "4.jsonl", in_another_style(8))
    monitor.monitor(return_state=True)
    assert retrainings == [1, 1]


def test_a_crash_before_the_firing_was_recorded_is_repaired(
    project: Path, retrainings: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        add(project, f"{number}.jsonl", in_another_style(number))

    def crash(*_: Any) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as crashing:
        crashing.setattr(monitor, "write_jsonl", crash)
        assert monitor.monitor(return_state=True).is_failed()
    assert monitor.monitor(return_state=True).message == "0 new windows, 0 with drift; retraining"
    assert retrainings == [1, 1]


def test_a_failed_retraining_fails_the_flow_and_is_not_repeated(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(timeout_hours: float | None) -> Any:
        return Failed(message="the data could not be refreshed")

    monkeypatch.setattr(monitor, "retrain", Flow(fails, name="retrain"))
    for number in (1, 2):
        add(project, f"{number}.jsonl", in_another_style(number))
    state = monitor.monitor(return_state=True)
    assert state.is_failed() and "which failed: the data could not be refreshed" in str(state.message)
    assert monitor.monitor(return_state=True).is_completed()


def test_a_served_deployment_is_run_instead(
    project: Path, retrainings: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deployment counts only while a runner or worker asks for its runs."""
    with get_client(sync_client=True) as client:
        flow_id = client.create_flow_from_name(f"retrain-{project.parent.name}")
        deployment = client.create_deployment(flow_id, name="scheduled")
        monkeypatch.setattr(monitor, "RETRAINING", f"retrain-{project.parent.name}/scheduled")
        assert not monitor._served(monitor.RETRAINING) and not monitor._served("nobody/knows")
        wanted = {"deployment_ids": [str(deployment)], "scheduled_before": "2020-01-01T00:00:00Z"}
        client.request("POST", "/deployments/get_scheduled_flow_runs", json=wanted)
        deadline = time.monotonic() + 120  # the server notes it in the background
        while not monitor._served(monitor.RETRAINING):
            assert time.monotonic() < deadline, "the server has not noted that somebody asked for runs"
            time.sleep(0.2)
        for number in (1, 2):
            add(project, f"{number}.jsonl", in_another_style(number))
        state = monitor.monitor(return_state=True)
        assert state.message == "2 new windows, 2 with drift; retraining"
        started = client.request(
            "POST", "/flow_runs/filter", json={"deployments": {"id": {"any_": [str(deployment)]}}}
        ).json()
        assert len(started) == 1 and started[0]["tags"] == ["drift"]
        # the same windows would give the same run
        (project / "reports/monitoring" / monitor.FIRINGS).unlink()
        monitor.monitor(return_state=True)
        again = client.request(
            "POST", "/flow_runs/filter", json={"deployments": {"id": {"any_": [str(deployment)]}}}
        ).json()
        assert [run["id"] for run in again] == [started[0]["id"]]
    assert retrainings == []


def test_bad_windows_fail_the_flow_and_the_others_are_checked(project: Path, retrainings: list[int]) -> None:
    (project / "windows/a.csv").write_text("message\nhello\n")
    (project / "windows/b.txt").write_text("hello\n")
    add(project, "c.jsonl", texts(9, 10))
    add(project, "d.jsonl", texts(10))
    shown = CliRunner().invoke(monitor.app, ["run"])
    assert shown.exit_code == 1
    for said in (
        "a.csv: found the columns 'message', but not text; expected text",
        "b.txt: found the suffix '.txt'; expected .csv",
        "c.jsonl: the window has 10 messages without near duplicates; expected at least 20",
    ):
        assert said in shown.output, said
    assert [path.name[:2] for path in (project / "reports/monitoring").glob("*.json")] == ["d-"]
    summary = artifacts("monitoring-summary")[0]
    assert summary.count("**Failed**") == 3 and "| d.jsonl | 60 |" in summary


@pytest.mark.parametrize("missing", ["windows", "models/pretrained", "champion"])
def test_what_is_missing_is_named(missing: str, project: Path) -> None:
    add(project, "a.jsonl", texts(11))
    if missing == "champion":
        store = tracking.connect(project)
        store.client.delete_registered_model_alias(registry.SPAM_MODEL, registry.CHAMPION)
    else:
        shutil.rmtree(project / missing)
    state = monitor.monitor(return_state=True)
    assert state.is_failed() and missing in str(state.message)
    assert "**Failed**: " in artifacts("monitoring-summary")[0]


def test_mlflow_may_fail_in_the_middle(
    project: Path, retrainings: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from groundup.errors import BadInput

    add(project, "a.jsonl", texts(12))

    def unreachable(*_: Any, **__: Any) -> None:
        raise BadInput("MLflow at http://127.0.0.1:1 cannot be used")

    monkeypatch.setattr(windows, "pipeline_run", unreachable)
    assert monitor.monitor(return_state=True).is_completed()
    [stored] = (project / "reports/monitoring").glob("*.json")
    assert json.loads(stored.read_text())["run"] is None


def test_one_missed_run_is_made_up_for(project: Path) -> None:
    with get_client(sync_client=True) as client:
        deployment = deploy(client, monitor.monitor, project.parent.name)
        first, *others = sorted(
            (
                run
                for run in runs_of(client, deployment).values()
                if run.expected_start_time < datetime.now(UTC)
            ),
            key=lambda run: run.expected_start_time,
        )
        state: Any = run_flow(monitor.monitor, flow_run=client.read_flow_run(first.id), return_type="state")
        assert state.is_completed(), state.message
        after = runs_of(client, deployment)
        assert others and {after[run.id].state_name for run in others} == {"Cancelled"}


def test_checks_that_take_too_long_are_stopped(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(project, "a.jsonl", texts(13))
    monkeypatch.setattr(windows.Judge, "result", lambda *_: time.sleep(100))
    state = monitor.monitor(timeout_hours=10 / 3600, return_state=True)
    assert state.is_failed() and (state.message or "").startswith("stopped after timeout_hours = 0.0027")
    assert not list((project / "reports").rglob("*.json"))


def test_two_monitors_do_not_check_at_once(project: Path) -> None:
    with alone("monitor", project):
        state = monitor.monitor(return_state=True)
    assert state.is_failed() and "another run of monitor is working in" in str(state.message)
