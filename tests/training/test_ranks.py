"""Trainings on three processes, with the same trainings in one process as the oracle."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from groundup.errors import BadInput
from groundup.training import ranks as module
from groundup.training.counted import count_contexts, counted_batches
from groundup.training.objectives import Batch
from groundup.training.resume import Resume
from tests.training.on_ranks import STEPS, STOP, TRAININGS, state_of, train, train_on_counts
from tests.training.toy import stream

RANKS = 3  # divide neither the 5 rows of a micro-batch nor the channels, and are more than the 2 rows of some
Found = dict[str, Any]


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[str, Found]:
    """Train in one process, and leave the states of interrupted trainings."""
    for name, (config, _) in TRAININGS.items():
        train(config, resume=state_of(folder / "alone", name), stop=STOP)
    return {name: train(config) for name, (config, _) in TRAININGS.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def found(folder: Path, alone: dict[str, Found]) -> list[dict[str, Found]]:
    """Train on three ranks; return what each of them has."""
    root = Path(__file__).parents[2]
    subprocess.run(
        [sys.executable, "-m", "tests.training.on_ranks", folder, str(RANKS)],
        cwd=root,
        check=True,
        timeout=600,
    )
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(RANKS)]


def assert_near(found: Found, expected: Found) -> None:
    for row, other in zip(found["history"], expected["history"], strict=True):
        assert row["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-3)
        assert row == pytest.approx({**other, "grad_norm": row["grad_norm"]}, abs=1e-4)
        assert row["tokens_seen"] == other["tokens_seen"]
    for name, tensor in expected["weights"].items():
        torch.testing.assert_close(found["weights"][name], tensor, atol=1e-3, rtol=1e-3)


def assert_equal(found: Found, expected: Found) -> None:
    assert found["history"] == expected["history"]
    assert_same_weights(found["weights"], expected["weights"])


def assert_same_weights(found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def rows_of(found: list[dict[str, Found]], name: str) -> list[Any]:
    """Join the rows of all ranks in each micro-batch; where there are fewer rows than ranks, one repeats the first."""
    parts = zip(*(rank[name]["rows"] for rank in found), strict=True)
    joined = [[row for part in of_ranks for row in part] for of_ranks in parts]
    return [rows[1:] if len(rows) == RANKS else rows for rows in joined]


@pytest.mark.parametrize("name", ["ddp", "fsdp2", "by_row"])
def test_the_ranks_read_the_rows_of_one_process_and_learn_the_same(
    name: str, found: list[dict[str, Found]], alone: dict[str, Found]
) -> None:
    if name == "fsdp2":  # its tables are never updated by row, which these do not ask for either
        assert TRAININGS[name][0].optimizer == TRAININGS["ddp"][0].optimizer
    assert rows_of(found, name) == alone[name]["rows"]
    assert_near(found[0][name], alone[name])
    for rank in found[1:]:
        assert_equal(rank[name], found[0][name])
    assert [rank[name]["logged"] for rank in found] == [[*range(1, STEPS + 1)], [], []]


@pytest.mark.parametrize("name", ["ddp", "fsdp2", "by_row"])
def test_a_state_is_continued_on_as_many_ranks_with_the_same_bytes(
    name: str, found: list[dict[str, Found]]
) -> None:
    assert found[0][f"{name} stopped"]["logged"] == [*range(1, STOP + 1)]
    assert found[0][f"{name} own"]["logged"] == [*range(STOP, STEPS + 1)]
    assert_equal(found[0][f"{name} own"], found[0][name])


@pytest.mark.parametrize("name", ["ddp", "fsdp2", "by_row"])
def test_a_state_is_continued_on_another_number_of_ranks(
    name: str, found: list[dict[str, Found]], alone: dict[str, Found], folder: Path
) -> None:
    assert found[0][f"{name} alone"]["logged"] == [*range(STOP, STEPS + 1)]
    assert_near(found[0][f"{name} alone"], alone[name])
    less = train(TRAININGS[name][0], resume=state_of(folder / "kept", name))
    assert less["logged"] == [*range(STOP, STEPS + 1)]
    assert less["rows"] == alone[name]["rows"][2 * (STOP - 1) :]
    assert_near(less, alone[name])
    # the one process has replaced the state of the three
    assert [path.suffix for path in (folder / "kept" / name).iterdir()] == [".pt"]


@pytest.mark.parametrize("kind", ["ddp", "fsdp2"])
def test_parameters_that_an_objective_does_not_use_stay(kind: str, found: list[dict[str, Found]]) -> None:
    assert_near(found[0][f"counted {kind}"], train_on_counts())


@pytest.mark.parametrize("damage", ["a tensor", "state.json", "a file less", "of another training"])
def test_a_damaged_state_of_several_processes_is_set_aside(
    damage: str,
    found: list[dict[str, Found]],
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(folder / "kept_too", tmp_path / "kept")
    resume = state_of(tmp_path / "kept", "fsdp2")
    [state] = resume.folder.iterdir()
    tensors = sorted(state.glob("*.safetensors"))[0]
    if damage == "a tensor":
        data = bytearray(tensors.read_bytes())
        data[-1] ^= 1
        tensors.write_bytes(data)
    elif damage == "state.json":
        (state / "state.json").write_text((state / "state.json").read_text()[:-9])
    elif damage == "a file less":
        tensors.unlink()
    else:
        other = Resume(resume.folder, training="another")
        state.rename(state.with_name(f"{other.fingerprint[:16]}_00000006.state"))
        resume = other
    done = train(TRAININGS["fsdp2"][0], resume=resume)
    assert done["logged"] == [*range(1, STEPS + 1)]
    assert "does not fit this training" in capsys.readouterr().err
    assert (resume.folder / "state.unfit").is_dir()


def test_the_parts_of_counted_contexts_make_up_the_whole() -> None:
    [batch] = counted_batches(count_contexts(stream(), 11), 7, seed=1)(0)
    parts = [batch.part(0, 2), batch.part(2, 3), batch.part(3, 7)]
    for name in ("idx", "following", "shares", "weights"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(batch, name))
    assert [int(part.starts[0]) for part in parts] == [0, 0, 0]


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 5, 7])
def test_the_shares_of_the_ranks_make_up_the_micro_batch(ranks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = torch.arange(5)
    whole = Batch(numbers[:, None], numbers, numbers + 1, numbers[:, None])
    shares = []
    for rank in range(ranks):
        monkeypatch.setattr(module, "ranks_of_training", lambda rank=rank: (rank, ranks))
        part, counts = module.share_of(whole)
        assert part.rows >= 1  # so that every rank can run the model
        if counts:
            shares.append(part)
    for name in ("idx", "targets", "lengths", "documents"):
        assert torch.equal(torch.cat([getattr(part, name) for part in shares]), getattr(whole, name))
    assert max(part.rows for part in shares) - min(part.rows for part in shares) <= 1


def test_more_ranks_than_rows_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ranks_of_training", lambda: (0, 6))
    with pytest.raises(
        BadInput, match="6 processes share micro-batches of 5 rows; expected at least one row"
    ):
        module.check_rows(5)
