"""JSON Schemas of the params.yaml files and of the catalogue, with which editors complete and check values.

`make docs` generates them from the types and writes them to this folder. The first line of each YAML file names its
schema (`# yaml-language-server: $schema=…`). The descriptions are the docstrings of the classes and of their fields.
"""

import ast
import inspect
import json
import textwrap
from collections.abc import Collection
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import CoreSchema, DataclassSchema

from groundup.datasets.catalogue import NAME, Dataset
from pipelines.params import PIPELINES, Pipeline

FOLDER = Path("pipelines/schemas")


def schemas() -> dict[Path, str]:
    """Return the text of every schema, by its path in the project."""
    found = {name: _params(pipeline) for name, pipeline in PIPELINES.items()} | {"catalogue": _catalogue()}
    return {
        FOLDER / f"{name}.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in found.items()
    }


def _params(pipeline: Pipeline) -> dict[str, Any]:
    """Return the schema of a pipeline's params.yaml, without the borrowed sections."""
    schema = TypeAdapter(pipeline.sections).json_schema(schema_generator=_Described)
    return _without(schema, pipeline.borrowed)


def _catalogue() -> dict[str, Any]:
    """Return the schema of the catalogue, whose entries have no field `name`: their names are the keys."""
    schema = TypeAdapter(dict[str, Dataset]).json_schema(schema_generator=_Described)
    schema["$defs"]["Dataset"] = _without(schema["$defs"]["Dataset"], ("name",))
    return {**schema, "propertyNames": {"pattern": f"^{NAME.pattern}$"}}


def _without(schema: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    properties = {name: value for name, value in schema["properties"].items() if name not in names}
    required = [name for name in schema["required"] if name not in names]
    return {**schema, "properties": properties, "required": required}


class _Described(GenerateJsonSchema):
    """Pydantic's schemas, with docstrings as the descriptions of fields and without titles such as "Max Lr".

    Pydantic's own `use_attribute_docstrings` is not used: it would parse the source whenever params.yaml is read, which
    takes longer than the rest of the reading.
    """

    def field_title_should_be_set(self, schema: CoreSchema) -> bool:
        return False

    def dataclass_schema(self, schema: DataclassSchema) -> JsonSchemaValue:
        found = super().dataclass_schema(schema)
        for name, text in _docstrings(schema["cls"]).items():
            found["properties"][name]["description"] = text
        return found


def _docstrings(kind: type) -> dict[str, str]:
    """Return the docstring below each field of a dataclass and its bases, on one line, by the field's name."""
    found = {}
    for base in kind.__mro__[-2::-1]:  # base classes first, without object
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, below in pairwise(body.body):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[name] = " ".join(text.split())
    return found
