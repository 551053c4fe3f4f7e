"""What pyproject.toml installs: the package's data, and the packages that the library and its commands need."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

from groundup.checkpoint import save_checkpoint
from groundup.tokenizers.bpe import BPETokenizer
from tests.tiny import random_decoder

ROOT = Path(__file__).resolve().parents[2]
# hides the modules in the first argument; the others are the command's
HIDE = """
import sys

hidden, sys.argv = set(sys.argv[1].split(",")), ["groundup", *sys.argv[2:]]

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hide())
"""
COMMAND = """
import groundup
from groundup.cli.main import main
groundup.load
main()
"""
# prints the modules that cannot be imported
WALK = """
import importlib, pkgutil
import groundup
for module in pkgutil.walk_packages(groundup.__path__, "groundup."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError:
        print(module.name)
"""


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def names(requirements: Iterable[str]) -> set[str]:
    """The packages of a list of requirements."""
    return {re.split(r"[^a-z0-9-]", requirement)[0] for requirement in requirements} - {"groundup"}


def bare(*words: str, code: str = COMMAND) -> subprocess.CompletedProcess[str]:
    """Run the command, or other code, where only the base installation is."""
    extra = names(r for requirements in project()["optional-dependencies"].values() for r in requirements)
    # torch needs them, or every environment has them
    extra -= {"filelock", "fsspec", "networkx", "setuptools", "pip"}
    hidden = [
        module
        for module, packages in packages_distributions().items()
        if {package.lower().replace("_", "-") for package in packages} & extra
    ]
    return subprocess.run(
        [sys.executable, "-c", HIDE + code, ",".join(hidden), *words],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_base_installation_generates_and_names_the_extra_of_other_commands(tmp_path: Path) -> None:
    tokenizer = BPETokenizer.train(["low low lower"], 259)
    save_checkpoint(tmp_path / "model", random_decoder(vocab_size=259, context_length=20), tokenizer)
    done = bare("generate", "low", "--model", str(tmp_path / "model"), "--max-new-tokens", "3", "--seed", "1")
    assert done.returncode == 0 and done.stdout.startswith("low"), done.stderr
    done = bare("models")
    assert done.returncode == 1
    assert "package mlflow, which is not installed" in done.stderr and "groundup[pipeline]" in done.stderr


def test_only_rooms_that_belong_to_an_extra_import_more_than_the_base() -> None:
    done = bare(code=WALK)
    assert done.returncode == 0, done.stderr
    rooms = ("groundup.serving.", "groundup.validation.", "groundup.promotion.budget")
    with_transformers = ("groundup.interop.modeling_groundup", "groundup.interop.transformers")
    missing = done.stdout.split()
    assert "groundup.validation.expectations" in missing  # so that the walk is known to see what is hidden
    assert [name for name in missing if not name.startswith((*rooms, *with_transformers))] == []


def test_the_wheel_has_the_package_with_its_data_and_nothing_else(tmp_path: Path) -> None:
    source = tmp_path / "source"  # setuptools writes into the folder that it builds
    package = ROOT / "src" / "groundup"
    shutil.copytree(package, source / "src" / "groundup", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = [
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(tmp_path),
        str(source),
    ]
    subprocess.run([*pip, *build], check=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        files = {name for name in archive.namelist() if ".dist-info/" not in name}
        archive.extractall(tmp_path / "installed")
    there = {path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert files == {path.relative_to(ROOT / "src").as_posix() for path in there}
    done = subprocess.run(
        [sys.executable, "-m", "groundup.cli.main", "--version"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split()[0] == "groundup"


def test_the_lock_has_every_package_but_torch_with_hashes() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE))
    extras = project()["optional-dependencies"]
    wanted = names(
        [*project()["dependencies"], *(r for name in extras if name != "bench" for r in extras[name])]
    )
    assert wanted - locked.keys() == {"torch"}
    assert all("--hash=sha256:" in entry for entry in re.split(r"\n(?=[a-z0-9])", lock.strip()))


def test_every_data_file_is_installed_and_every_pattern_matches() -> None:
    package = ROOT / "src" / "groundup"
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    found = {pattern: set(package.glob(pattern)) for pattern in declared["groundup"]}
    assert all(found.values()), found
    there = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert set().union(*found.values()) == there
