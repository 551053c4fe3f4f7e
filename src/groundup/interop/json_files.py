"""Read the JSON files of a Hugging Face folder: any object, the tokenizer's settings, and what they name."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.errors import BadInput


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises:
        BadInput: the file is missing, cannot be read, or is not a JSON object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(
            f"{path} does not exist; expected a file of a Hugging Face model: check the folder."
        ) from error
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read ({error.strerror}); expected a readable file: check its permissions."
        ) from error
    except (ValueError, RecursionError) as error:
        raise BadInput(
            f"{path} is not JSON ({error}); expected a file of a Hugging Face model: download it again."
        ) from error
    if not isinstance(found, dict):
        raise BadInput(
            f"{path} is not a JSON object; expected a file of a Hugging Face model: download it again."
        )
    return found


def read_settings(folder: Path) -> dict[str, Any]:
    """Return the settings in special_tokens_map.json and tokenizer_config.json of a Hugging Face folder.

    Both files are optional. If both have a setting, tokenizer_config.json wins.
    """
    paths = [folder / name for name in ("special_tokens_map.json", "tokenizer_config.json")]
    found = [entry for path in paths if path.is_file() for entry in read_json_object(path).items()]
    return {key: value for key, value in found if value is not None}


def named_tokens(config: Mapping[str, Any]) -> set[str]:
    """Return the tokens to which tokenizer_config.json gives a role, such as eos_token."""
    found = [value for name, value in config.items() if name.endswith("_token")]
    for name in ("additional_special_tokens", "extra_special_tokens"):
        more = config.get(name) or []
        found += more.values() if isinstance(more, dict) else more
    contents = [token.get("content") if isinstance(token, dict) else token for token in found]
    return {content for content in contents if isinstance(content, str)}


def eos_token_ids(path: Path) -> list[int]:
    """Return the eos ids in a config.json or generation_config.json; the list may be empty.

    Raises:
        BadInput: the file is damaged, or its eos_token_id is neither an id nor a list of ids.
    """
    found = read_json_object(path).get("eos_token_id") if path.is_file() else None
    ids = found if isinstance(found, list) else [] if found is None else [found]
    if not all(type(i) is int for i in ids):
        raise BadInput(
            f"{path} has eos_token_id {found!r}; expected an id or a list of ids: download it again."
        )
    return ids
