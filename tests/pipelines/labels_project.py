"""A small DVC project whose stage prepare_spam adds increments with the project's own code; its inbox can be filled."""

import json
import shutil
import sys
from pathlib import Path

from groundup.text.jsonl import write_jsonl
from tests.pipelines import toy

DVC = (sys.executable, "-m", "dvc")
AUTHOR = ("-c", "user.name=test", "-c", "user.email=test@example.org")

# the paths are at the same places as in the project's dvc.yaml
DVC_YAML = """\
stages:
  prepare_spam:
    cmd: python -B work.py prepare_spam data/raw/spam.jsonl data/labelled corpus validation.json data/prepared/spam
    deps: [data/raw/spam.jsonl, data/labelled, corpus]
    outs: [data/prepared/spam]
  prepare_instructions:
    cmd: python -B work.py prepare_instructions data/prepared/instructions
    outs: [data/prepared/instructions]
"""
WORK = """\
import sys
from pathlib import Path
from groundup.datasets.spam import DeduplicatedSpamConfig, prepare_files
from groundup.text.jsonl import write_splits
stage, *paths = sys.argv[1:]
if stage == "prepare_spam":
    raw, labelled, corpus, _, out = map(Path, paths)
    config = DeduplicatedSpamConfig("deduplicated", 0.1, 0.2, 0.1, "none", None, 1, 1)
    prepare_files(raw, corpus, out, config, labelled)
else:
    row = {"family": "f", "input": "", "output": "yes"}
    names = ("train", "val", "test", "gate", "held_out")
    write_splits(Path(*paths), {name: [row | {"id": name, "instruction": f"Do {name}."}] for name in names}, {})
"""
LETTERS = [a + b for a in "abcdefgh" for b in "abcde"]


def files() -> dict[str, str]:
    """Return the project's files: its own settings, 80 raw messages, a corpus."""
    raw = [{"id": f"h{x}", "label": "ham", "text": f"hello {x}"} for x in LETTERS]
    raw += [{"id": f"s{x}", "label": "spam", "text": f"win {x}"} for x in LETTERS]
    own = (
        "params.yaml",
        "data/labelled/.gitignore",
        "data/labelled/README.md",
        "data/inbox/README.md",
        ".gitignore",
    )
    return {
        "data/raw/spam.jsonl": "".join(json.dumps(row) + "\n" for row in raw),
        **{
            f"corpus/{n}.jsonl": json.dumps({"id": n, "messages": ["talk", n]}) + "\n"
            for n in ("train", "val", "gate")
        },
        **{name: (toy.ROOT / name).read_text(encoding="utf-8") for name in own},
    }


def build(root: Path) -> Path:
    """Write the project to `root`, with git and DVC, and run it once."""
    toy.make(root, DVC_YAML, WORK, files())
    for name in ("params.yaml", ".dvcignore"):  # toy.make has written its own
        shutil.copy(toy.ROOT / name, root / name)
    toy.run(root, "git", *AUTHOR, "commit", "-aqm", "settings")
    toy.run(root, *DVC, "repro", "-q")
    toy.run(root, "git", "add", "-A")
    toy.run(root, "git", *AUTHOR, "commit", "-qm", "first run")
    return root


def drop(root: Path, name: str, *rows: tuple[str, str]) -> Path:
    """Put a file of labels into the inbox, as JSON Lines."""
    path = root / "data/inbox" / name
    write_jsonl(path, [{"text": text, "label": label} for text, label in rows])
    return path


NEW = [(f"lunch at {x}", "ham") for x in LETTERS[:12]] + [(f"cash for {x}", "spam") for x in LETTERS[:12]]
