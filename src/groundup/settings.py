"""How every section of params.yaml is checked."""

from pydantic import ConfigDict

STRICT = ConfigDict(extra="forbid")  # a dataclass with `__pydantic_config__ = STRICT` refuses misspelt names
