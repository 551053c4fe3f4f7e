"""Tokenizers on disk: a JSON object with readable diffs, whose SHA-256 is the tokenizer's fingerprint."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.errors import BadInput


def to_json(document: Mapping[str, Any]) -> str:
    """Return the text of a tokenizer's file; equal documents give equal text."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def fingerprint(text: str) -> str:
    """Return the SHA-256 (hex) of the text of a tokenizer's file."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_document(path: Path) -> dict[str, Any]:
    """Read the JSON object of a saved tokenizer.

    Raises:
        BadInput: the file is missing, not JSON or not a JSON object.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(
            f"{path} does not exist; expected a saved tokenizer: run the stage train_tokenizer."
        ) from error
    except (ValueError, RecursionError) as error:  # JSONDecodeError and UnicodeDecodeError
        raise BadInput(
            f"{path} is not JSON ({error}); expected a saved tokenizer: train it again."
        ) from error
    if not isinstance(document, dict):
        raise BadInput(f"{path} is not a saved tokenizer; expected a JSON object: train it again.")
    return document


def check_document(document: Mapping[str, Any], path: Path, keys: set[str], version: int) -> None:
    """Raise BadInput unless the document of a saved tokenizer has exactly these keys and this version."""
    if set(document) != keys:
        raise BadInput(
            f"{path} is not a saved tokenizer; expected a JSON object with {', '.join(sorted(keys))}: train it again."
        )
    if document["version"] != version:
        raise BadInput(f"{path} has version {document['version']!r}; expected {version}: train it again.")


def are_strings(value: Any) -> bool:
    """Return whether `value` is a list of strings."""
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
