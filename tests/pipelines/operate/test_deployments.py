"""prefect.yaml deploys flows that exist, with parameters that they have, at the times of params.yaml."""

import inspect
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.flows import load_flow_from_entrypoint

from pipelines.operate import automations, deployments
from pipelines.params import PIPELINES
from tests.pipelines import toy

ENTRIES = deployments.deployments(toy.ROOT)


def test_every_flow_is_deployed() -> None:
    assert {entry["flow"] for entry in ENTRIES} == {*PIPELINES, "retrain", "monitor"}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["flow"])
def test_a_deployment_names_a_flow_and_its_parameters(
    entry: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(toy.ROOT)
    flow = load_flow_from_entrypoint(entry["entrypoint"], use_placeholder_flow=False)
    assert flow.name == entry["flow"]
    assert set(entry["parameters"]) <= set(inspect.signature(flow.fn).parameters)
    assert automations.TAG in entry["tags"]


def test_schedules_follow_params_yaml(tmp_path: Path) -> None:
    assert deployments.text(toy.ROOT) == (toy.ROOT / deployments.FILE).read_text()
    shutil.copy(toy.ROOT / deployments.FILE, tmp_path)
    params = yaml.safe_load((toy.ROOT / "params.yaml").read_text())
    params["retrain"] |= {"cron": "30 4 * * 5", "timezone": "Europe/Berlin"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    [entry] = [entry for entry in deployments.deployments(tmp_path) if entry["flow"] == "retrain"]
    assert entry["schedules"] == [{"cron": "30 4 * * 5", "timezone": "Europe/Berlin"}]
    changed = set(deployments.text(tmp_path).splitlines()) - set(deployments.text(toy.ROOT).splitlines())
    assert changed == {'    retrain: &retrain [{cron: "30 4 * * 5", timezone: "Europe/Berlin"}]'}
