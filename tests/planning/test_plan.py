from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from groundup.errors import BadInput
from groundup.planning import measuring, plan, probe
from groundup.planning.config import PlanConfig
from groundup.planning.facts import Folders
from groundup.planning.params import PlannedParams
from groundup.planning.plan import Bits, Plan, PlannedStage, make_plan, over_budget
from groundup.tokenizers.bpe import BytePairConfig
from groundup.tracking.models import TrackingConfig
from groundup.training.config import TrainingConfig
from tests.pipelines.prepared import MODEL, PRETRAIN
from tests.planning.tiny_facts import INSTRUCTIONS, SPAM
from tests.tiny import ADAMW, CPU, EVALUATE, training_config

NO_LIMIT = PlanConfig(minutes=None, memory_gigabytes=None, disk_gigabytes=None)
PARAMS = PlannedParams(
    BytePairConfig("bpe", 300, "gpt2"),
    MODEL,
    CPU,
    replace(PRETRAIN, training=training_config(max_steps=40)),
    SPAM,
    INSTRUCTIONS,
    EVALUATE,
    TrackingConfig(copied_megabytes=1.0, evaluated_per_family=0),
    NO_LIMIT,
)
STAGES = (
    PlannedStage("pretrain", 300.0, 2_000_000_000, 5_000_000, "probe"),
    PlannedStage("evaluate", 60.0, 1_000_000_000, 1_000_000, "probe"),
)
PLAN = Plan(1000, 10, 100, 0.5, STAGES, Bits(1.7, 1.6, 1.8, "60 recorded runs"), (), ())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probe in this process, as briefly as possible, and look at no store."""
    monkeypatch.setattr(measuring, "PROBE_SECONDS", 0.0)
    monkeypatch.setattr(measuring, "in_children", lambda work, name, number: [work() for _ in range(number)])
    monkeypatch.setattr(plan, "recorded_seconds", lambda root: {"validate": 100.0})


def test_limits_that_are_exceeded() -> None:
    assert list(over_budget(PLAN, NO_LIMIT)) == []
    assert list(over_budget(PLAN, PlanConfig(6.0, 2.0, 0.006))) == []
    minutes, memory, disk = over_budget(PLAN, PlanConfig(5.0, 1.5, 0.001))
    assert minutes.startswith("the run needs 6 minutes; plan.minutes is 5: lower max_steps")
    assert memory.startswith(
        "the run needs 2 gigabytes of memory; plan.memory_gigabytes is 1.5: lower batch_size"
    )
    assert disk.startswith("the run needs 0.006 gigabytes of disk; plan.disk_gigabytes is 0.001")


def test_a_plan_of_tiny_params(quick: None, tmp_path: Path) -> None:
    found = make_plan(PARAMS, Folders.of(tmp_path), tmp_path)
    names = [stage.name for stage in found.stages]
    assert names == [
        "data stages and report",
        "pretrain",
        "finetune_spam",
        "finetune_instructions",
        "evaluate",
    ]
    assert found.tokens == 40 * 2 * MODEL.context_length
    assert found.seconds == sum(stage.seconds for stage in found.stages)
    assert found.bits.low < found.bits.expected < found.bits.high
    assert any(sentence.startswith("the loss law has recorded no run with") for sentence in found.assumed)
    assert found.stages[0].source == "the last runs of 1 of 12 stages"
    assert found.as_json()["disk"] == found.disk


def test_copies_and_states_count_as_disk(quick: None, tmp_path: Path) -> None:
    def disk(**changes: Any) -> dict[str, int]:
        found = make_plan(replace(PARAMS, **changes), Folders.of(tmp_path), tmp_path)
        return {stage.name: stage.disk for stage in found.stages}

    weights = disk()["pretrain"] // 3
    pointers = disk(tracking=TrackingConfig(copied_megabytes=0.0, evaluated_per_family=0))
    assert pointers["pretrain"] == 2 * weights  # in data/models and in DVC's cache, not in MLflow
    saved = disk(finetune_spam=replace(SPAM, training=training_config(checkpoint_interval=1)))
    assert saved["finetune_spam"] > disk()["finetune_spam"] + 2 * weights  # one state per seed


def test_another_optimizer_is_mentioned(quick: None, tmp_path: Path) -> None:
    other = replace(PARAMS, pretrain=replace(PRETRAIN, training=training_config(optimizer=ADAMW)))
    found = make_plan(other, Folders.of(tmp_path), tmp_path)
    assert any("adamw may learn slower" in sentence for sentence in found.assumed)


def test_what_max_seconds_leaves_out_is_not_planned(quick: None, tmp_path: Path) -> None:
    def planned(training: TrainingConfig) -> Plan:
        params = replace(PARAMS, pretrain=replace(PRETRAIN, training=training))
        return make_plan(params, Folders.of(tmp_path), tmp_path)

    training = training_config(max_steps=10**6, max_seconds=0.5)
    found = planned(training)
    assert 0 < found.steps < 10_000
    assert found.tokens == found.steps * 2 * MODEL.context_length
    fewer = replace(probe.shortened(training, found.steps), max_seconds=None)
    assert found.bits == planned(fewer).bits


def test_instructions_that_do_not_fit_into_the_context_are_mentioned(quick: None, tmp_path: Path) -> None:
    """They would stop the run only after the pretraining."""
    notes = [
        make_plan(
            replace(PARAMS, model=replace(MODEL, context_length=n)), Folders.of(tmp_path), tmp_path
        ).assumed
        for n in (16, 512)
    ]
    assert [any("raise model.context_length" in note for note in some) for some in notes] == [True, False]


def test_processes_share_the_rows_and_their_memory_adds_up(quick: None, tmp_path: Path) -> None:
    def planned(processes: int, **changes: Any) -> Plan:
        params = replace(PARAMS, compute=replace(CPU, processes=processes), **changes)
        return make_plan(params, Folders.of(tmp_path), tmp_path)

    one, two = planned(1), planned(2)
    assert two.tokens == one.tokens and two.bits == one.bits
    memory = {stage.name: stage.memory for stage in two.stages}
    assert memory["pretrain"] > 1.5 * memory["evaluate"]  # type: ignore[operator]
    assert any(note.startswith("2 processes train together: time and memory are") for note in two.assumed)
    with pytest.raises(
        BadInput, match=r"pretrain.training.batch_size is 2, and compute.processes 3; expected"
    ):
        planned(3)


def test_a_text_that_is_read_too_often_is_mentioned(quick: None, tmp_path: Path) -> None:
    training = training_config(max_steps=10**6)
    found = make_plan(
        replace(PARAMS, pretrain=replace(PRETRAIN, training=training)), Folders.of(tmp_path), tmp_path
    )
    assert any(f"the text is read {found.epochs:,.0f} times" in note for note in found.assumed)


def test_a_limit_becomes_a_warning(quick: None, tmp_path: Path) -> None:
    tight = replace(PARAMS, plan=PlanConfig(0.01, None, None))
    assert len(make_plan(tight, Folders.of(tmp_path), tmp_path).warnings) == 1
