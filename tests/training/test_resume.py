import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from groundup.nn.decoder import Decoder
from groundup.training import resume as module
from groundup.training.resume import Resume, _digest, clear_states
from tests.tiny import randomised, training_config
from tests.training.toy import Interrupted, assert_same, interrupt_at, new_model, patient, train


def test_the_state_holds_only_trained_weights(tmp_path: Path) -> None:
    def partly_frozen() -> Decoder:
        model = new_model()
        model.requires_grad_(False)
        model.h[1].requires_grad_(True)
        return model

    config, resume = patient(), Resume(tmp_path)
    arguments: dict[str, Any] = {"evaluate": lambda step: {"val/loss": 1 / step}, "resume": resume}
    expected, _ = train(config, partly_frozen(), **{**arguments, "resume": None})
    with pytest.raises(Interrupted):
        train(config, partly_frozen(), **arguments, log=interrupt_at(6))
    saved = torch.load(resume.path, weights_only=True)
    trained = {name for name, _ in expected.named_parameters() if name.startswith("h.1.")}
    assert saved["model"].keys() == saved["state"]["best_weights"].keys() == trained
    resumed, _ = train(config, partly_frozen(), **arguments)
    assert_same(resumed, expected)


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from groundup.training import resume as module
from groundup.training.resume import Resume, clear_states
from tests.tiny import training_config
from tests.training.toy import train
config = training_config(checkpoint_interval=1)
def log(metrics, step):
    if step == 7:
        os.kill(os.getpid(), signal.SIGKILL)
train(config, log=log, resume=Resume(Path(sys.argv[1]), config=config))
"""


def test_killed_and_run_again_ends_with_the_same_bytes(tmp_path: Path) -> None:
    root, folder = Path(__file__).parents[2], tmp_path / "state"
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'src'}"},
        stderr=subprocess.DEVNULL,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL
    config = training_config(checkpoint_interval=1)
    steps: list[int] = []
    resume = Resume(folder, config=config)
    resumed, _ = train(config, resume=resume, log=lambda metrics, step: steps.append(step))
    assert steps == [7, 8, 9, 10, 11, 12]
    whole, _ = train(config)
    assert save(resumed.state_dict()) == save(whole.state_dict())


def test_a_state_of_another_configuration_or_code_is_not_continued(tmp_path: Path) -> None:
    config = training_config(checkpoint_interval=1)
    old = Resume(tmp_path, config=config, data="a")
    with pytest.raises(Interrupted):
        train(config, resume=old, log=interrupt_at(5))
    assert old.path.exists()
    assert Resume(tmp_path, data="a", config=training_config(checkpoint_interval=1)).path == old.path
    for identity in ({"config": replace(config, max_steps=9), "data": "a"}, {"config": config, "data": "b"}):
        other = Resume(tmp_path, **identity)
        assert other.path != old.path
        steps: list[int] = []
        with pytest.raises(Interrupted):
            train(
                config, resume=other, log=lambda m, step, s=steps: (s.append(step), interrupt_at(3)(m, step))
            )
        assert steps == [1, 2, 3]
        assert [path.name for path in tmp_path.iterdir()] == [other.path.name]  # the stale one is gone


@pytest.mark.parametrize(
    ("file", "old", "new", "is_kept"),
    [
        ("training/resume.py", "import math", "import math  # a comment", True),
        ("nn/decoder.py", '"""', '"""In other words: ', True),
        ("nn/decoder.py", "return", "return 2 *", False),
        ("files.py", "import", "import math\nimport", False),
    ],
)
def test_an_edit_of_a_comment_keeps_a_state_and_one_of_code_anywhere_in_the_library_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, old: str, new: str, is_kept: bool
) -> None:
    ours = Resume(tmp_path).path
    package = tmp_path / "groundup"
    shutil.copytree(module.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    text = (package / file).read_text(encoding="utf-8")
    assert old in text
    (package / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    monkeypatch.setattr(module, "PACKAGE", package)
    assert (Resume(tmp_path).path == ours) == is_kept


def test_the_code_is_that_of_the_whole_library() -> None:
    assert (module.PACKAGE / "nn/decoder.py").samefile(sys.modules[Decoder.__module__].__file__ or "")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4000])


def one_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda info: info.file_size)
    data[largest.header_offset + largest.file_size] ^= 1  # in its numbers, not in the padding
    path.write_bytes(data)


def folder_in_its_place(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "file").write_text("")


def resaved(change: Callable[[dict[str, Any]], None], with_digest: bool = True) -> Callable[[Path], None]:
    """Change the content of a file that stays readable; with `with_digest`, its digest matches the new content."""

    def damage(path: Path) -> None:
        record = torch.load(path, weights_only=True)
        content = {name: record[name] for name in ("state", "model", "optimizers")}
        change(content)
        digest = _digest(content) if with_digest else record["digest"]
        torch.save({"fingerprint": record["fingerprint"], "digest": digest, **content}, path)

    return damage


def first_rows(content: dict[str, Any]) -> None:
    content["model"] = {name: t[:1].clone() for name, t in content["model"].items()}


def first_rows_of_momenta(content: dict[str, Any]) -> None:
    for optimizer in content["optimizers"]:
        for slots in optimizer["state"].values():
            slots |= {name: t[:1].clone() for name, t in slots.items() if t.ndim}


def zeros(content: dict[str, Any]) -> None:
    for tensor in content["model"].values():
        tensor.zero_()


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "damaged or not a training state"),
    "random": (
        lambda path: path.write_bytes(random.Random(0).randbytes(5000)),
        "damaged or not a training state",
    ),
    "a pickle": (
        lambda path: path.write_bytes(pickle.dumps({"state": 1})),
        "damaged or not a training state",
    ),
    "truncated": (truncate, "damaged or not a training state"),
    "one bit": (one_byte, "its content has changed since it was saved|cannot be read"),
    "no state": (lambda path: torch.save([1], path), "cannot be read"),
    "zeros": (resaved(zeros, with_digest=False), "its content has changed since it was saved"),
    "first rows": (resaved(first_rows), r"in the model, .* is float32 \[1"),
    "first rows of momenta": (resaved(first_rows_of_momenta), r"in the optimizer, \w+ of parameter 0 is \[1"),
    "one tensor fewer": (
        resaved(lambda content: content["model"].popitem()),
        "in the model, only this training or only the state has",
    ),
    "half precision": (
        resaved(lambda content: content["model"].update({k: t.half() for k, t in content["model"].items()})),
        "is float16",
    ),
    "one optimizer fewer": (resaved(lambda content: content["optimizers"].pop()), "it has 1 optimizers"),
    "a folder": (folder_in_its_place, "cannot be read"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_unusable_state_is_set_aside_and_training_starts_again(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = training_config(checkpoint_interval=1)
    expected, expected_history = train(config)
    spoil, why = DAMAGES[damage]
    for _ in range(2):  # a state that was set aside before does no harm
        with pytest.raises(Interrupted):
            train(config, resume=Resume(tmp_path, config=config), log=interrupt_at(6))
        spoil(Resume(tmp_path, config=config).path)
        capsys.readouterr()
        resume = Resume(tmp_path, config=config)
        model, history = train(config, resume=resume)
        assert_same(model, expected)
        assert history == expected_history
        [warning] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
        assert str(resume.path) in warning
        assert re.search(why, warning), warning
        resume.clear()
        assert [path.name for path in tmp_path.iterdir()] == ["state.unfit"]


def test_the_state_of_another_training_under_this_name_is_set_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = training_config(checkpoint_interval=1)
    expected, _ = train(config)
    ours, theirs = Resume(tmp_path / "a", data="a"), Resume(tmp_path / "b", data="b")
    with pytest.raises(Interrupted):
        train(config, randomised(new_model(), 5), resume=theirs, log=interrupt_at(6))
    ours.folder.mkdir()
    theirs.path.rename(ours.path)
    model, _ = train(config, resume=ours)
    assert_same(model, expected)
    assert "another training saved it" in capsys.readouterr().err


def test_a_file_in_place_of_the_folder_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no folder")
    resume = Resume(tmp_path / "state" / "seed_1")
    with pytest.raises(Interrupted):
        train(training_config(checkpoint_interval=1), resume=resume, log=interrupt_at(3))
    assert resume.path.is_file()
    assert (tmp_path / "state.unfit").read_text() == "no folder"


def test_clear_states_deletes_all_states_below_a_folder_and_nothing_else(tmp_path: Path) -> None:
    for name in ("seed_1/a.pt", "seed_2/b.pt", "seed_2/state.unfit"):
        (tmp_path / "state" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "state" / name).touch()
    clear_states(tmp_path / "state")
    assert [path.name for path in (tmp_path / "state").rglob("*")] == ["seed_2", "state.unfit"]
    (tmp_path / "state/seed_2/state.unfit").unlink()
    clear_states(tmp_path / "state")
    clear_states(tmp_path / "state")
    assert not (tmp_path / "state").exists()
