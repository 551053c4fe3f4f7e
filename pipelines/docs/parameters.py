"""Describe every key of every params.yaml: type, bounds and meaning from the JSON Schema, the value from the file."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.docs.rooms import escape
from pipelines.params import Pipeline, read_values

Schema = Mapping[str, Any]
WIDEST = 80  # most characters of a mapping that is shown in a table
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


@dataclass(frozen=True)
class Key:
    """A key of a section of params.yaml or of a type, with its description."""

    name: str
    type: str  # as Markdown
    value: str  # the one in params.yaml, as Markdown; empty for a key of a type, and for a long mapping
    meaning: str


@dataclass(frozen=True)
class Section:
    """A section of a params.yaml, or a type that sections share; a section without keys is a single value."""

    name: str
    meaning: str
    keys: tuple[Key, ...]
    # other types that the section may have, with another kind, protocol or source
    others: tuple[str, ...] = ()


def read_parameters(
    root: Path, pipelines: Mapping[str, Pipeline], schemas: Mapping[str, Schema]
) -> tuple[dict[str, list[Section]], list[Section]]:
    """Return the sections of each pipeline's params.yaml by its path, and the types that the sections use.

    Args:
        root: the project's folder.
        pipelines: see `pipelines.params.PIPELINES`.
        schemas: the JSON Schema of each params.yaml, by the name of its pipeline.
    """
    files: dict[str, list[Section]] = {}
    types: dict[str, Schema] = {}
    for name, pipeline in pipelines.items():
        definitions = schemas[name]["$defs"]
        values = read_values(root / pipeline.params_yaml)
        sections = files[pipeline.params_yaml] = []
        for key in values:
            schema = schemas[name]["properties"][key]
            chosen, others = _chosen(schema, definitions, values[key])
            sections.append(_section(key, chosen, values[key], others))
            mentioned = {*_mentioned(chosen, definitions), *others}
            types |= {found: definitions[found] for found in mentioned | _mentioned(others, definitions)}
    return files, [_section(name, types[name]) for name in sorted(types)]


def _chosen(schema: Schema, definitions: Mapping[str, Schema], value: Any) -> tuple[Schema, list[str]]:
    """Resolve a reference or union: return the schema of the value, and the names of the union's other members."""
    if "$ref" in schema:
        return definitions[_name(schema["$ref"])], []
    if "discriminator" in schema:
        members = {kind: _name(ref) for kind, ref in schema["discriminator"]["mapping"].items()}
        chosen = members.pop(value[schema["discriminator"]["propertyName"]])
        return definitions[chosen], sorted(members.values())
    return schema, []


def _name(reference: str) -> str:
    return reference.rpartition("/")[2]


def _mentioned(schema: Any, definitions: Mapping[str, Schema]) -> set[str]:
    """Return the names of all types that a schema refers to, directly or indirectly."""
    found: set[str] = set()
    todo: list[Any] = [definitions[name] for name in schema] if isinstance(schema, list) else [schema]
    while todo:
        new = set(_references(todo.pop())) - found
        found |= new
        todo += [definitions[name] for name in new]
    return found


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if isinstance(schema.get("$ref"), str):
            yield _name(schema["$ref"])
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from _references(part)


def _section(name: str, schema: Schema, values: Any = None, others: Sequence[str] = ()) -> Section:
    """Return a section with its values, or, without `values`, a type."""
    keys = tuple(
        Key(key, kind(part), _setting(values, key), _line(part.get("description", "")))
        for key, part in schema.get("properties", {}).items()
    )
    if not keys and values is not None:
        keys = (
            Key(name, kind(schema), f"`{json.dumps(values)}`" if not isinstance(values, dict) else "", ""),
        )
    return Section(name, _line(schema.get("description", "")), keys, tuple(others))


def _setting(values: Any, key: str) -> str:
    """Return the value of `key` as Markdown; empty for a mapping that is too long for a table."""
    if not isinstance(values, dict) or key not in values:
        return ""
    text = json.dumps(values[key], ensure_ascii=False)
    if isinstance(values[key], dict) and len(text) > WIDEST:
        return ""
    return f"`{text}`".replace("|", "\\|")


def _line(text: str) -> str:
    return " ".join(escape(text).split())


def kind(schema: Schema) -> str:
    """Return the type of a value as Markdown: "integer ≥ 1", "`none` or `balanced`", "list of string"."""
    if "$ref" in schema:
        name = _name(schema["$ref"])
        return f"[{name}](#{name.lower()})"
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return " or ".join(map(kind, schema[union]))
    if "const" in schema or "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if "prefixItems" in schema:
        return f"[{', '.join(map(kind, schema['prefixItems']))}]"
    bounds = "".join(f" {sign} {schema[key]:,}" for key, sign in BOUNDS.items() if key in schema)
    match schema.get("type"):
        case "array":
            return f"list of {kind(schema['items'])}"
        case "object":
            return f"mapping of {kind(schema['additionalProperties'])}"
        case "null":
            return "`null`"
        case other:
            return f"{other or 'any'}{bounds}"
