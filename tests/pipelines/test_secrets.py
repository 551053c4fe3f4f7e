"""Secrets of the environment are in no run, artifact, log or message, whatever a stage and its errors say."""

import json
import sys
from pathlib import Path

import pytest

from groundup import tracking
from tests.pipelines import toy
from tests.pipelines.test_run import checkout

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG",
    "HF_TOKEN": "hf_PlantedInTheEnvironment",
    "PGPASSWORD": "planted:for-PostgreSQL",
    "PREFECT_API_KEY": "pnu_PlantedInTheEnvironment",
    "MLFLOW_TRACKING_PASSWORD": "planted-for-MLflow",
}
IN_ADDRESS, DECODED = "plant%2Fed%40mirror", "plant/ed@mirror"
MIRROR = f"https://anna:{IN_ADDRESS}@mirror.example.org/data"
NEEDLES = [*SECRETS.values(), IN_ADDRESS, DECODED, "planted-in-config"]

# a stage that says all it knows
TALKS = """\
import os
from pathlib import Path

from groundup.errors import BadInput
from groundup.tracking import Run


def main(run: Run, out: Path) -> None:
    known = {name: os.environ[name] for name in NAMES}
    run.params({"known": known})
    run.tag("known", sorted(known.values()))
    run.text("\\n".join(known.values()), "known.txt")
    run.table([known], "known.json")
    run.reads(Path("source.txt"), "source", "training", source=known["GROUNDUP_MIRROR"])
    if "FAIL" in os.environ:
        raise BadInput(f"no answer from {known['GROUNDUP_MIRROR']} for {known['HF_TOKEN']}; start it")
    out.write_text("a page")
    run.report(out)
"""


def found_in(folder: Path) -> list[str]:
    """Return the files that contain a secret."""
    needles = [needle.encode() for needle in NEEDLES]
    files = (file for file in folder.rglob("*") if file.is_file() and file != folder / ".dvc/config")
    return [str(file) for file in files if any(needle in file.read_bytes() for needle in needles)]


def test_secrets_reach_nothing_that_is_kept_or_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = SECRETS | {"GROUNDUP_MIRROR": MIRROR}
    folder = checkout(tmp_path / "project", TALKS.replace("NAMES", repr(list(planted))))
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    for name, value in planted.items():
        monkeypatch.setenv(name, value)
    # somebody has written a secret into a file of the project, and changed a value
    with open(folder / ".dvc/config", "a") as config:
        config.write('[remote "team"]\n    url = s3://team/dvc\n    secret_access_key = planted-in-config\n')
    values = (folder / "params.yaml").read_text()
    (folder / "params.yaml").write_text(values.replace("1.0e-05", "2.0e-05"))
    shown = [toy.run(folder, sys.executable, "-m", "dvc", "repro")]

    stage = (sys.executable, "-m", "pipelines.run", "main.work", "out.txt")
    monkeypatch.setenv("FAIL", "1")
    shown.append(toy.run(folder, *stage, check=False))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql+psycopg://anna:{IN_ADDRESS}@127.0.0.1:1/mlflow")
    shown.append(toy.run(folder, *stage, check=False))

    assert [done.returncode for done in shown] == [0, 1, 1], shown
    printed = "".join(done.stdout + done.stderr for done in shown)
    assert not [needle for needle in NEEDLES if needle in printed], printed
    assert "no answer from https://anna:***@mirror.example.org/data for ***; start it" in printed
    assert "MLflow at postgresql+psycopg://anna:***@127.0.0.1:1/mlflow cannot be used (" in printed
    assert found_in(folder) == []

    # it was all recorded, without them
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    connection = tracking.connect(folder)
    runs = connection.client.search_runs([connection.experiment_id], "attributes.run_name = 'work'")
    failed, whole = sorted(runs, key=lambda run: run.info.status)
    assert (failed.info.status, whole.info.status) == ("FAILED", "FINISHED")
    assert failed.data.tags["error"] == (
        "BadInput: no answer from https://anna:***@mirror.example.org/data for ***; start it"
    )
    assert whole.data.params["known.HF_TOKEN"] == "***" and "***" in whole.data.tags["known"]
    artifacts = Path(connection.client.download_artifacts(whole.info.run_id, "", str(tmp_path)))
    assert "***" in (artifacts / "known.txt").read_text()
    assert "***" in json.dumps(json.loads((artifacts / "known.json").read_text()))
    patch = (artifacts / "lineage/uncommitted.patch").read_text()
    assert "2.0e-05" in patch and "dvc/config" not in patch
