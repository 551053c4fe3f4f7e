"""Every value of every params.yaml: its type, bounds and meaning from the dataclasses, its setting from the file."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pipelines.docs.rooms import escape
from pipelines.params import Pipeline, read_values

Schema = Mapping[str, Any]
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


@dataclass(frozen=True)
class Key:
    """A key of a section or of a type."""

    name: str
    type: str  # as Markdown
    value: str  # in params.yaml, as Markdown; empty for a key of a type, and where it is a mapping
    meaning: str


@dataclass(frozen=True)
class Section:
    """A section of a params.yaml, or a type that sections share; a section without keys is itself one value."""

    name: str
    meaning: str
    keys: tuple[Key, ...]


def read_parameters(
    root: Path, pipelines: Mapping[str, Pipeline]
) -> tuple[dict[str, list[Section]], list[Section]]:
    """The sections of each pipeline's own file by its path, and the types that their values have."""
    files: dict[str, list[Section]] = {}
    types: dict[str, Schema] = {}
    for pipeline in pipelines.values():
        schema = TypeAdapter(pipeline.sections).json_schema()
        definitions = schema["$defs"]
        values = read_values(root / pipeline.params_yaml)
        sections = files[pipeline.params_yaml] = []
        for name in schema["properties"]:
            if name in pipeline.borrowed:
                continue
            body = _resolved(schema["properties"][name], definitions, values[name])
            sections.append(_section(name, body, values[name]))
            types |= {found: definitions[found] for found in _mentioned(body, definitions)}
    return files, [_section(name, types[name]) for name in sorted(types)]


def _resolved(schema: Schema, definitions: Mapping[str, Schema], value: Any) -> Schema:
    """The schema behind a reference; of a union the member whose discriminating key has the value's."""
    if "$ref" in schema:
        return definitions[schema["$ref"].rpartition("/")[2]]
    if "discriminator" in schema:
        key, members = schema["discriminator"]["propertyName"], schema["discriminator"]["mapping"]
        return definitions[members[value[key]].rpartition("/")[2]]
    return schema


def _mentioned(schema: Any, definitions: Mapping[str, Schema]) -> set[str]:
    """The names of all types that a schema refers to, directly or not."""
    found: set[str] = set()
    todo = [schema]
    while todo:
        new = set(_references(todo.pop())) - found
        found |= new
        todo += [definitions[name] for name in new]
    return found


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].rpartition("/")[2]
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from _references(part)


def _section(name: str, schema: Schema, values: Any = None) -> Section:
    """Of a section with its values, or of a type without."""
    keys = tuple(
        Key(key, kind(part), _setting(values, key), _line(part.get("description", "")))
        for key, part in schema.get("properties", {}).items()
    )
    if not keys and values is not None:
        keys = (
            Key(name, kind(schema), f"`{json.dumps(values)}`" if not isinstance(values, dict) else "", ""),
        )
    return Section(name, _line(schema.get("description", "")), keys)


def _setting(values: Any, key: str) -> str:
    if not isinstance(values, dict) or key not in values or isinstance(values[key], dict):
        return ""
    return f"`{json.dumps(values[key], ensure_ascii=False)}`".replace("|", "\\|")


def _line(text: str) -> str:
    return " ".join(escape(text).split())


def kind(schema: Schema) -> str:
    """What a value may be, as Markdown: "integer ≥ 1", "`none` or `balanced`", "list of strings"."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return " or ".join(map(kind, schema[union]))
    if "const" in schema or "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if "prefixItems" in schema:
        return f"[{', '.join(map(kind, schema['prefixItems']))}]"
    bounds = "".join(f" {sign} {schema[key]:g}" for key, sign in BOUNDS.items() if key in schema)
    match schema.get("type"):
        case "array":
            return f"list of {kind(schema['items'])}"
        case "object":
            return f"mapping of {kind(schema['additionalProperties'])}"
        case "null":
            return "`null`"
        case other:
            return f"{other or 'any'}{bounds}"
