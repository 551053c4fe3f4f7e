"""A small project with real DVC, git and MLflow: its stages run through the real runner and train a real model."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.pipelines import toy

DVC_YAML = """\
stages:
  download:
    foreach: [spam]
    do:
      cmd: python -m pipelines.run main.download data/own data/raw.jsonl
      deps: [data/catalogue.yaml, data/own, pipelines/main/download.py]
      params: [data]
      outs: [data/raw.jsonl]
  validate:
    cmd: python -m pipelines.run main.work data/raw.jsonl reports/validation.json
    deps: [data/raw.jsonl, pipelines/main/work.py]
    plots: [{reports/validation.json: {cache: false}}]
  prepare_spam:
    cmd: python -m pipelines.run main.work data/raw.jsonl reports/validation.json data/prepared
    deps: [data/raw.jsonl, reports/validation.json, pipelines/main/work.py]
    outs: [data/prepared]
  finetune_spam:
    cmd: python -m pipelines.run main.train data/prepared reports/validation.json data/models/spam data/predictions.csv
    deps: [data/prepared, reports/validation.json, pipelines/main/train.py, src/groundup]
    params: [left]
    outs: [data/models/spam, data/predictions.csv]
  evaluate:
    cmd: python -m pipelines.run main.work data/predictions.csv data/prepared reports/metrics.json
    deps: [data/predictions.csv, data/prepared, pipelines/main/work.py]
    metrics: [{reports/metrics.json: {cache: false}}]
"""

CATALOGUE = """\
messages:
  role: spam
  title: Messages
  licence: CC0
  citation: none
  locations: [{url: "file:data/own/messages.txt", reader: text}]
"""

DOWNLOAD = '''\
import hashlib
from pathlib import Path
from groundup.tracking import Run

def main(run: Run, own: Path, out: Path) -> None:
    """Copy the user's file."""
    content = (own / "messages.txt").read_bytes()
    out.write_bytes(content)
    run.tag("dataset", "messages")
    run.tag("dataset_sha256", hashlib.sha256(content).hexdigest())
    run.tag("location", "file:data/own/messages.txt")
'''

WORK = '''\
from pathlib import Path
from groundup.tracking import Run

def main(run: Run, *paths: Path) -> None:
    """Join the sources, which may be folders, to one file, or to one in a folder."""
    *sources, out = paths
    files = [f for s in sources for f in ([s] if s.is_file() else sorted(s.iterdir()))]
    if not out.suffix:
        out.mkdir(parents=True)
        out = out / "train.txt"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("".join(f.read_text() for f in files))
    run.log({"test/bytes": out.stat().st_size})
'''

# it trains nothing, but its weights depend on the data, the values and, if asked, on chance
TRAIN = '''\
import os
from pathlib import Path
import numpy
import yaml
from safetensors.numpy import save_file
from groundup.tracking import Run

def main(run: Run, data: Path, validation: Path, out: Path, predictions: Path) -> None:
    """Write weights that are made from the bytes of the data and a value."""
    steps = float(yaml.safe_load(Path("params.yaml").read_text())["left"]["steps"])
    content = numpy.frombuffer((data / "train.txt").read_bytes(), numpy.uint8).astype(numpy.float32)
    chance = float(os.environ.get("TOY_CHANCE", "0"))
    out.mkdir(parents=True)
    save_file({"w": content * numpy.float32(steps) + numpy.float32(chance)}, out / "model.safetensors")
    (out / "config.json").write_text('{"kind": "classifier"}')
    predictions.write_text("message,spam\\n")
    run.log({"val/mcc": 0.5})
    run.pointer(out / "model.safetensors", "checkpoint")
'''

IGNORED = "/mlflow.db*\n/mlruns/\n__pycache__/\n/data/own/\n"
VALUES = "left: {steps: 5.0e-4}\ndata: {catalogue: data/catalogue.yaml, spam: messages}\n"


def make(folder: Path) -> Path:
    """Write the project, with the code of this checkout, and commit it."""
    for package in ("pipelines", "src/groundup"):
        skipped = shutil.ignore_patterns("__pycache__", "dvc.*", "params.yaml", "docs", "schemas", "profiles")
        shutil.copytree(toy.ROOT / package, folder / package, ignore=skipped)
    more = {
        "data/catalogue.yaml": CATALOGUE,
        "data/own/messages.txt": "win a prize\nsee you at six\n",
        "pipelines/main/download.py": DOWNLOAD,
        "pipelines/main/work.py": WORK,
        "pipelines/main/train.py": TRAIN,
        ".gitignore": IGNORED,
    }
    toy.make(folder, DVC_YAML, "", more)
    (folder / ".dvcignore").write_text("__pycache__/\n")
    (folder / "params.yaml").write_text(VALUES)
    commit(folder, "values")
    return folder


def commit(folder: Path, message: str) -> str:
    """Commit everything; return the commit."""
    toy.run(folder, "git", "add", "-A")
    author = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    toy.run(folder, "git", *author, "commit", "-q", "-m", message)
    return toy.run(folder, "git", "rev-parse", "HEAD").stdout.strip()


def dvc(folder: Path, *arguments: str, **variables: str) -> None:
    """Run DVC with the project's own code and store."""
    paths = {"PYTHONPATH": os.pathsep.join([str(folder / "src"), str(folder)]), "MLFLOW_TRACKING_URI": ""}
    environment = toy.environment() | paths | variables
    subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=folder, env=environment, check=True, timeout=900
    )


def register(store: Any, folder: Path, run: Any, alias: str | None = "champion") -> str:
    """Register the folder's model as the next version of groundup-spam, with the tags of the real registry."""
    client, name = store.client, "groundup-spam"
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    kept = folder / "mlruns/groundup/models" / f"m-{run.info.run_id}" / "artifacts"
    shutil.copytree(folder / "data/models/spam", kept / "artifacts/spam")
    tags = {"stage_key": run.data.tags["stage_key"], "run_id": run.info.run_id}
    made = client.create_model_version(name, kept.as_uri(), run.info.run_id, tags=tags)
    if alias:
        client.set_registered_model_alias(name, alias, made.version)
    return str(made.version)


def newest_run(store: Any, stage: str) -> Any:
    """Return the newest run of a stage."""
    wanted = f"tags.kind = 'stage' and tags.stage = '{stage}'"
    return store.client.search_runs([store.experiment_id], wanted, max_results=1)[0]
