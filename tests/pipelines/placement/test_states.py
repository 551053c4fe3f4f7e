"""The newest training state is on the remote soon after it was saved, and arrives whole on another machine."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.placement import states
from pipelines.placement.states import States, folder_of, travelling
from tests.pipelines import toy

FOLDER = Path("data/state/pretrain")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a project."""
    folder = tmp_path_factory.mktemp("states")
    toy.make(folder / "one")
    return folder


@pytest.fixture
def machines(place: Path, tmp_path: Path) -> Callable[[], tuple[States, States]]:
    """Two views of the same remote from two folders."""
    for name in ("one", "two"):
        toy.run(place, "cp", "-r", str(place / "one"), str(tmp_path / name))
        config = (
            "[core]\n    remote = team\n['remote \"team\"']\n    url = " + str(tmp_path / "remote") + "\n"
        )
        (tmp_path / name / ".dvc/config").write_text(config)
        (tmp_path / name / ".dvc/tmp").mkdir(exist_ok=True)
    return lambda: (States(tmp_path / "one", FOLDER, "key"), States(tmp_path / "two", FOLDER, "key"))


def content(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_a_state_goes_on_elsewhere(machines: Callable[[], tuple[States, States]]) -> None:
    one, two = machines()
    assert one.pull() == 0
    one.send()  # there is nothing yet
    write(
        one.folder,
        {"ab.pt": "step 1", "seed_2/cd_00000002.state/state.json": "{}", ".ab.pt.1.tmp": "half", "x": ""},
    )
    one.send()
    assert two.pull() == 2
    expected = {"ab.pt": "step 1", "seed_2/cd_00000002.state/state.json": "{}"}
    assert content(two.folder) == expected

    # the other machine saves a newer state and removes the older one
    write(two.folder, {"seed_2/cd_00000004.state/state.json": "{4}"})
    (two.folder / "seed_2/cd_00000002.state/state.json").unlink()
    two.send()
    one.pull()
    assert content(one.folder)["seed_2/cd_00000004.state/state.json"] == "{4}"

    # a training that has ended removes its states; the remote's stay until its results have been pushed
    for path in [path for path in two.folder.rglob("*") if path.is_file()]:
        path.unlink()
    two.send()
    third, _ = machines()
    assert third.pull() == 2
    third.clear()
    assert machines()[0].pull() == 0


def test_states_are_sent_while_a_stage_trains(
    machines: Callable[[], tuple[States, States]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "LOOK_SECONDS", 0.01)
    one, two = machines()
    said: list[str] = []
    sent = one.send

    def unsteady() -> None:
        if len(looks) < 3:
            looks.append(1)
            raise OSError("unreachable")
        sent()

    looks: list[int] = []
    monkeypatch.setattr(one, "send", unsteady)
    with pytest.raises(KeyboardInterrupt), travelling(one, said.append):
        write(one.folder, {"ab.pt": "step 1"})
        while not two.pull():
            pass
        write(one.folder, {"ab.pt": "step two"})
        raise KeyboardInterrupt
    two.pull()
    assert content(two.folder) == {"ab.pt": "step two"}  # also what was saved last
    assert len(said) == 1 and "could not be sent to DVC's remote (unreachable)" in said[0]


def test_the_folder_is_the_one_in_the_command() -> None:
    command = f"{sys.executable} -m pipelines.run main.pretrain data/prepared data/models data/state/pretrain"
    assert folder_of(command) == FOLDER
    assert folder_of("python -m pipelines.run main.tokenize data/prepared") is None
