"""The Makefile installs with uv or else pip, corrects moved environments, and requires a git identity."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# the Makefile's correction of scripts, without the installation
PROBE = """
probe:
\t@echo made in: $(MADE_IN)
\t@echo moved: $(MOVED)
\t@echo source: $$PYTHONPATH
\t@[ -z "$(MOVED)" ] || "$(BIN)/python" -c "$$CORRECT_SCRIPTS" "$(MADE_IN)" $(VENV)
repro-toy:
\t$(run-profile)
"""


def make(folder: Path, target: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a target of the project's Makefile in another folder; git sees only the configuration of `folder`."""
    probe = folder / "probe.mk"
    probe.write_text(PROBE)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "MAKE", "PYTHONPATH"))}
    home = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    command = ["make", "-f", str(ROOT / "Makefile"), "-f", str(probe), target]
    return subprocess.run(
        command, cwd=folder, env=kept | home | variables, capture_output=True, text=True, check=False
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with an environment whose scripts contain its path, as pip and venv write them."""
    folder = tmp_path / "first"
    environment = folder / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    for name in ("pip", "tool"):
        script = environment / "bin" / name
        script.write_text(f"#!{environment}/bin/python\nimport sys\nprint(sys.prefix, *sys.argv[1:])\n")
        script.chmod(0o755)
    return folder


def test_scripts_of_a_moved_environment_run_in_the_new_place(project: Path) -> None:
    unmoved = make(project, "probe").stdout.splitlines()
    assert unmoved == [f"made in: {project}/.venv", "moved:", f"source: {project}/src"]
    for name in ("with a blank", "again", "and-" + "long-" * 40):
        moved = project.rename(project.with_name(name))
        done = make(moved, "probe")
        assert f"made in: {project}/.venv\nmoved: moved\n" in done.stdout and not done.stderr
        project = moved
        for script in ("pip", "tool"):
            said = subprocess.run(
                [project / ".venv/bin" / script, "two words"], capture_output=True, text=True, check=True
            )
            assert said.stdout == f"{project}/.venv two words\n"
        assert str(project) in (project / ".venv/bin/activate").read_text()
        assert make(project, "probe").stdout.splitlines()[1] == "moved:"


def test_a_copy_is_corrected_and_a_shared_environment_is_not(project: Path, tmp_path: Path) -> None:
    copy, sharing = tmp_path / "copy", tmp_path / "sharing"
    shutil.copytree(project, copy, symlinks=True)
    assert "moved: moved" in make(copy, "probe").stdout
    assert str(project) not in (copy / ".venv/bin/tool").read_text()
    assert str(project) in (project / ".venv/bin/tool").read_text()
    sharing.mkdir()
    (sharing / ".venv").symlink_to(project / ".venv")
    assert make(sharing, "probe", PYTHONPATH="more").stdout.splitlines()[1:] == [
        "moved:",
        f"source: {sharing}/src:more",
    ]


def test_experiments_need_an_identity(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    asked = make(tmp_path, "identity")
    assert asked.returncode and "git config --global user.name" in asked.stderr
    assert "git config --global user.email" in asked.stderr
    everything = {f"GIT_{role}_{part}": "x" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    assert make(tmp_path, "identity", **everything).returncode == 0
    subprocess.run(["git", "config", "user.name", "x"], cwd=tmp_path, check=True)
    assert make(tmp_path, "identity").returncode
    subprocess.run(["git", "config", "user.email", "x"], cwd=tmp_path, check=True)
    assert make(tmp_path, "identity").returncode == 0


def test_a_profile_s_lines_and_the_user_s_become_arguments_of_dvc(tmp_path: Path) -> None:
    tools = tmp_path / ".venv/bin"
    tools.mkdir(parents=True)
    for name, does in (("python", "true"), ("dvc", """for word; do printf '<%s>\\n' "$word"; done""")):
        (tools / name).write_text(f"#!/bin/sh\n{does}\n")
        (tools / name).chmod(0o755)
    profile = tmp_path / "pipelines/profiles/toy.txt"
    profile.parent.mkdir(parents=True)
    profile.write_text("# a remark\nspam=null # first\nspam={protocol: book}\n\nbetas=[0.9,0.98]\n")
    (tmp_path / "betas=9").touch()  # a file that [0.9,0.98] would match as a pattern
    done = make(tmp_path, "repro-toy", ARGS="-S 'a=[1, 2]'")
    assert done.returncode == 0, done.stderr
    words = [line[1:-1] for line in done.stdout.splitlines() if line.startswith("<")]
    assert words[words.index("run") :] == [
        *("run", "--name", "toy", "-S", "spam=null", "-S", "spam={protocol: book}", "-S", "betas=[0.9,0.98]"),
        *("-S", "a=[1, 2]"),
    ]


@pytest.mark.parametrize(
    ("breaks", "variables", "expected"),
    [
        ("", {}, ["uv.txt", "uv https://pip.example/simple"]),
        ("", {"PIP_INDEX_URL": "https://env.example/"}, ["uv.txt", "uv https://env.example/"]),
        ("", {"UV_DEFAULT_INDEX": "https://uv.example/"}, ["uv.txt", "uv https://uv.example/"]),
        ("", {"PIP_NO_INDEX": "1"}, ["requirements.lock"]),
        ("uv.txt", {}, ["uv.txt", "requirements.lock"]),
        ("uv pip", {}, ["uv.txt", "uv https://pip.example/simple", "requirements.lock"]),
    ],
)
def test_uv_installs_the_lock_from_pip_s_index_or_else_pip_does(
    tmp_path: Path, breaks: str, variables: dict[str, str], expected: list[str]
) -> None:
    folder = tmp_path / "a folder"
    python = folder / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    (folder / "pyproject.toml").write_text('    "torch==2.13.0",\n')
    (folder / "requirements.lock").write_text("a==1 \\\n    --hash=x\nuv==2 \\\n    --hash=y\nz==3\n")
    python.write_text(f"""#!/bin/sh
case "$*" in
  *"config get global.index-url") echo https://pip.example/simple; exit;;
  *"config get"*) exit 1;;
  *"--requirement .venv/uv.txt") cat .venv/uv.txt >> lock; echo uv.txt >> log;;
  "-m uv pip"*) echo "uv $UV_DEFAULT_INDEX" >> log;;
  *"-m pip install"*"--requirement requirements.lock") echo requirements.lock >> log;;
esac
case "{breaks or "nothing"}" in nothing) ;; *) case "$*" in *"{breaks}"*) exit 1;; esac;; esac
""")
    python.chmod(0o755)
    done = make(folder, ".venv/.ready", **variables)
    assert done.returncode == 0, done.stderr
    assert (folder / "log").read_text().splitlines() == expected
    if "uv.txt" in expected:
        assert (folder / "lock").read_text() == "uv==2 \\\n    --hash=y\n"
    assert ("instead of uv" in done.stdout) == (expected[-1] == "requirements.lock")
