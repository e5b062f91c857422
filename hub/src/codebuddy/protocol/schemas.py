"""The JSON schemas of tools, as short as they can be: clients read them, models pay for them, SDKs check with them."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

__all__ = ["input_schema", "output_schema"]

_PREFIX: Final = "#/$defs/"


class _Input(GenerateJsonSchema):
    """Without titles, which say a field's name again."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


class _Output(_Input):
    """As an answer is on the wire: what is None is left out, so nothing is ever null, and nothing has a default."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def input_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Give the schema of a tool's arguments."""
    return _inlined(model.model_json_schema(schema_generator=_Input))


def output_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Give the schema of a tool's answer."""
    return _inlined(model.model_json_schema(schema_generator=_Output, mode="serialization"))


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """Put definitions that are used once where they are used: following a reference takes a checker a while each time.

    What leads back to itself stays a definition.
    """
    definitions = schema.pop("$defs", {})
    uses = Counter(_references(schema)) + Counter(_references(definitions))
    recursive = {name for name in definitions if _reaches(name, name, definitions)}
    once = {name for name in definitions if uses[_PREFIX + name] == 1} - recursive

    def put(value: Any) -> Any:
        if isinstance(value, list):
            return [put(item) for item in value]
        if not isinstance(value, dict):
            return value
        name = str(value.get("$ref", "")).removeprefix(_PREFIX)
        if name in once:
            return put({**definitions[name], **{key: item for key, item in value.items() if key != "$ref"}})
        return {key: put(item) for key, item in value.items()}

    kept = {name: put(definition) for name, definition in definitions.items() if name not in once}
    whole: dict[str, Any] = put(schema)
    return whole | ({"$defs": kept} if kept else {})


def _references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [found for item in value for found in _references(item)]
    if not isinstance(value, dict):
        return []
    own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
    return own + [found for item in value.values() for found in _references(item)]


def _reaches(start: str, wanted: str, definitions: dict[str, Any]) -> bool:
    """Say whether a definition refers to another, by however many steps."""
    todo, seen = [start], set[str]()
    while todo:
        for reference in _references(definitions.get(todo.pop(), {})):
            name = reference.removeprefix(_PREFIX)
            if name == wanted:
                return True
            if name not in seen:
                seen.add(name)
                todo.append(name)
    return False
