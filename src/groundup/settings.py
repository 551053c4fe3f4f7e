"""Validation of the sections of params.yaml."""

from pydantic import ConfigDict, ValidationError

STRICT = ConfigDict(extra="forbid")  # a dataclass with `__pydantic_config__ = STRICT` refuses misspelt names


def describe(error: ValidationError) -> str:
    """Every problem that pydantic found, with its path, in one line."""
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg']}" for e in error.errors())
