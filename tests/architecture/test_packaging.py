"""The package data in pyproject.toml, compared with the files of the package."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_data_file_is_installed_and_every_pattern_matches() -> None:
    package = ROOT / "src" / "groundup"
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    found = {pattern: set(package.glob(pattern)) for pattern in declared["groundup"]}
    assert all(found.values()), found
    there = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert set().union(*found.values()) == there
