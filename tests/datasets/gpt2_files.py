"""GPT-2's vocabulary in miniature."""

import hashlib
import json
from pathlib import Path


def gpt2_catalogue(folder: Path) -> Path:
    """A catalogue with OpenAI's two files in miniature: the bytes, "lo" and "low"."""
    spelled = [chr(b) for b in range(256) if chr(b).isprintable() and chr(b) != " "]
    spelled += [chr(256 + i) for i in range(256 - len(spelled))]
    ids = {token: i for i, token in enumerate([*spelled, "lo", "low", "<|endoftext|>"])}
    (folder / "vocab.bpe").write_text("#version: 0.2\nl o\nlo w\n", encoding="utf-8")
    (folder / "encoder.json").write_text(json.dumps(ids), encoding="utf-8")
    catalogue = folder / "catalogue.yaml"
    entries = {"gpt2_vocab_bpe": folder / "vocab.bpe", "gpt2_encoder_json": folder / "encoder.json"}
    catalogue.write_text(json.dumps({name: _entry(path) for name, path in entries.items()}))  # JSON is YAML
    return catalogue


def _entry(path: Path) -> dict[str, object]:
    location = {
        "url": f"file:{path}",
        "reader": "bytes",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    return {"role": "vocabulary", "title": "t", "licence": "l", "citation": "c", "locations": [location]}
