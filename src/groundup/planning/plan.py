"""The plan of a run of the main pipeline: time, peak memory and disk of its stages, and the final bits per byte."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from groundup.errors import BadInput
from groundup.planning import measuring, probe
from groundup.planning.config import PlanConfig
from groundup.planning.facts import Facts, Folders, gather
from groundup.planning.law import Shape, load_law, repetition
from groundup.planning.params import PlannedParams
from groundup.planning.probe import Cost
from groundup.planning.recorded import recorded_seconds
from groundup.training.config import InstructionTrainingConfig, PretrainConfig, SpamTrainingConfig
from groundup.training.devices import find_device

Training = TypeVar("Training", PretrainConfig, SpamTrainingConfig, InstructionTrainingConfig)
START_SECONDS = 2.0  # of every stage: interpreter, imports, opening MLflow, DVC's hashes
TRACKING_BYTES = 180_000_000  # what MLflow adds to the memory of a stage
EVALUATE_SECONDS = 12.0  # of the stage evaluate besides its answers: baselines, bootstrap, recording
# seconds of the other stages with the default data, used until they have run once: fixed, and per MB of the corpus
ROUGH = {
    "download@pretraining": (1.0, 0.2),
    "download@spam": (1.0, 0.0),
    "download@instructions": (1.0, 0.0),
    "download_vocabulary": (0.2, 0.0),
    "validate": (2.5, 0.0),
    "prepare_corpus": (1.0, 0.2),
    "prepare_spam": (2.4, 0.0),
    "prepare_instructions": (3.4, 0.0),
    "check_splits": (2.0, 0.3),
    "train_tokenizer": (1.0, 0.1),
    "tokenize": (0.3, 0.1),
    "report": (3.0, 0.0),
}


@dataclass(frozen=True)
class PlannedStage:
    """What one stage takes: seconds, peak memory and new files in bytes, and where the figures are from."""

    name: str
    seconds: float
    memory: int | None
    disk: int
    source: str


@dataclass(frozen=True)
class Bits:
    """Final bits per byte on the held-out text, with an interval of about 95%."""

    expected: float
    low: float
    high: float
    source: str


@dataclass(frozen=True)
class Plan:
    """A planned run of the main pipeline.

    Attributes:
        parameters: of the decoder.
        steps: of the pretraining.
        tokens: that the pretraining reads.
        epochs: passes over the training text.
        stages: in running order.
        bits: final bits per byte.
        assumed: sentences about what the plan does not know.
        warnings: sentences about limits of the section `plan` that the run exceeds.
    """

    parameters: int
    steps: int
    tokens: int
    epochs: float
    stages: tuple[PlannedStage, ...]
    bits: Bits
    assumed: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Seconds of all stages, one after another."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def memory(self) -> int:
        """Peak memory of the largest stage, in bytes."""
        return max(stage.memory or 0 for stage in self.stages)

    @property
    def disk(self) -> int:
        """New files of all stages, in bytes."""
        return sum(stage.disk for stage in self.stages)

    def as_json(self) -> dict[str, Any]:
        """Return the plan as values for JSON."""
        return {**asdict(self), "seconds": self.seconds, "memory": self.memory, "disk": self.disk}


def make_plan(
    params: PlannedParams,
    folders: Folders,
    root: Path,
    *,
    progress: Callable[[Sequence[str]], Iterator[str]] = iter,
) -> Plan:
    """Plan a run of the main pipeline with these params.

    Args:
        params: the values of the run.
        folders: the prepared data, as far as it is there.
        root: the project's folder, for the last runs in MLflow.
        progress: wraps the names of the probes, for a progress bar.

    Raises:
        BadInput: the values contradict each other, a prepared file is damaged, or a probe needs more memory than the
            machine has.
    """
    facts = gather(folders, params.vocab_size, params.finetune_instructions.prompt_style)
    costs = _probe(params, facts, progress)
    recorded = recorded_seconds(root)
    stages = tuple(_stages(costs, recorded, facts, params))
    training = probe.shortened(params.pretrain.training, costs["pretrain"].steps)
    pretrain = replace(params.pretrain, training=training)
    shape = Shape.of(
        params.model, pretrain, facts.vocab_size, facts.bytes_per_token, facts.train_bytes, facts.difficulty
    )
    law = load_law()
    expected, low, high = law.bits(shape)
    outside = law.outside(shape)
    assumed = [*facts.assumed]
    if outside:
        assumed.append(
            f"the loss law has recorded no run with {', '.join(outside)}: its interval is wider there"
        )
    if params.compute.processes > 1:
        assumed.append(
            f"{params.compute.processes} processes train together: time and memory are those of "
            + (
                f"{params.compute.processes} probes at once, added up"
                if _children(params) > 1
                else "one process on its GPU"
            )
            + ", each with its share of the rows, without the exchange of gradients"
            + (
                "; fsdp2 divides the model, which the probes do not: `groundup plan --depth` estimates its memory"
                if params.compute.distributed == "fsdp2"
                else ""
            )
        )
    room = params.model.context_length + 1  # the last token is only a target
    if facts.longest_example > room:
        assumed.append(
            f"the longest instruction has about {facts.longest_example} tokens, of which finetune_instructions "
            f"accepts {room}: raise model.context_length"
        )
    if training.optimizer.kind != law.optimizer:
        assumed.append(
            f"the loss law was recorded with {law.optimizer}; {training.optimizer.kind} may learn slower"
        )
    if often := repetition(shape.passes):
        assumed.append(often)
    tokens = training.max_steps * shape.step_tokens
    without = Plan(
        round(costs["pretrain"].weights / 4),
        training.max_steps,
        tokens,
        tokens / facts.train_tokens,
        stages,
        Bits(expected, low, high, f"{law.runs} recorded runs"),
        tuple(assumed),
        (),
    )
    return replace(without, warnings=tuple(over_budget(without, params.plan)))


def over_budget(plan: Plan, budget: PlanConfig) -> Iterator[str]:
    """Yield a sentence for each limit of the section `plan` that the run exceeds."""
    for name, found, limit, unit, advice in (
        (
            "minutes",
            plan.seconds / 60,
            budget.minutes,
            "minutes",
            "lower max_steps or make the model smaller",
        ),
        (
            "memory_gigabytes",
            plan.memory / 1e9,
            budget.memory_gigabytes,
            "gigabytes of memory",
            "lower batch_size and raise grad_accum_steps",
        ),
        (
            "disk_gigabytes",
            plan.disk / 1e9,
            budget.disk_gigabytes,
            "gigabytes of disk",
            "make the model smaller",
        ),
    ):
        if limit is not None and found > limit:
            yield f"the run needs {found:.3g} {unit}; plan.{name} is {limit:g}: {advice}, or raise the limit"


def _probe(
    params: PlannedParams, facts: Facts, progress: Callable[[Sequence[str]], Iterator[str]]
) -> Mapping[str, Cost]:
    """Run the probe of every training stage, one after another; of a training on several processes, for each of them.

    On a CPU, the processes share the machine, so they are probed at the same time, and their memory is added up. On
    GPUs, each has its own, and one of them is probed.
    """
    model, compute = params.model, params.compute
    pretrain = _share(params.pretrain, compute.processes, "pretrain")
    spam = _share(params.finetune_spam, compute.processes, "finetune_spam")
    instructions = _share(params.finetune_instructions, compute.processes, "finetune_instructions")
    work: dict[str, Callable[[], Cost]] = {
        "pretrain": partial(probe.pretraining, model, pretrain, compute, facts),
        "finetune_spam": partial(probe.spam_finetuning, model, spam, compute, facts),
        "finetune_instructions": partial(probe.instruction_finetuning, model, instructions, compute, facts),
        "evaluate": partial(probe.answering, model, params.evaluate, compute, facts),
    }
    children = {name: 1 if name == "evaluate" else _children(params) for name in work}
    return {
        name: _together(measuring.in_children(work[name], name, children[name]))
        for name in progress(list(work))
    }


def _children(params: PlannedParams) -> int:
    """Return how many probes of a training run at once."""
    device = find_device(params.compute.device, "compute.device")
    return params.compute.processes if device.type == "cpu" else 1


def _share(config: Training, processes: int, stage: str) -> Training:
    """Return a training with the largest share of the rows of a micro-batch that one of several processes has.

    Raises:
        BadInput: there are more processes than rows.
    """
    rows = config.training.batch_size
    if rows < processes:
        raise BadInput(
            f"{stage}.training.batch_size is {rows}, and compute.processes {processes}; expected at least one row of a "
            f"micro-batch per process: raise batch_size and lower grad_accum_steps, or lower processes."
        )
    return replace(config, training=replace(config.training, batch_size=-(-rows // processes)))


def _together(costs: Sequence[Cost]) -> Cost:
    """Return the cost of processes that train together: the time of the slowest, the memory of all."""
    slowest = max(costs, key=lambda cost: cost.total_seconds)
    return replace(slowest, memory=sum(cost.memory for cost in costs))


def _stages(
    costs: Mapping[str, Cost], recorded: Mapping[str, float], facts: Facts, params: PlannedParams
) -> Iterator[PlannedStage]:
    """Yield all stages of the main pipeline; the light ones as one row."""
    megabytes = facts.train_bytes / 1e6
    rough = {name: fixed + per_megabyte * megabytes for name, (fixed, per_megabyte) in ROUGH.items()}
    known = sum(name in recorded for name in ROUGH)
    seconds = sum(recorded.get(name, value) + START_SECONDS for name, value in rough.items())
    source = f"the last runs of {known} of {len(ROUGH)} stages" if known else "rough figures: no recorded run"
    # raw text, prepared text and tokens, each also in DVC's cache
    disk = 2 * (2 * facts.train_bytes + (2 if facts.vocab_size <= 2**16 else 4) * facts.train_tokens)
    yield PlannedStage("data stages and report", seconds, None, disk, source)
    copies_limit = params.tracking.copied_megabytes * 1e6
    for name, cost in costs.items():
        copies = (
            3 if cost.weights <= copies_limit else 2
        )  # in data/models, in DVC's cache, and perhaps in MLflow
        states = len(params.finetune_spam.seeds) if name == "finetune_spam" else 1
        yield PlannedStage(
            name,
            cost.total_seconds + START_SECONDS + (EVALUATE_SECONDS if name == "evaluate" else 0.0),
            cost.device_memory or cost.memory + TRACKING_BYTES,
            cost.weights * copies + cost.state * states,
            "probe: "
            + ", ".join(f"{part} {value:.0f} s" for part, value in cost.seconds.items() if value >= 0.5),
        )
