"""The schemas of tools are short, and describe what is really sent."""

from __future__ import annotations

import json
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from pydantic import Field

from codebuddy.schemas.code import LocationsResult
from codebuddy.tool import Arguments, Call, Result, ToolError, parse_arguments, tool_of
from codebuddy.wire.calls import input_schema, output_schema

PLACE = {"path": "p/a.py", "line": 1, "column": 1, "end_line": 1, "end_column": 2}


class Branch(Result):
    name: str
    twigs: list[Branch] = Field(default_factory=list)
    note: str | None = None


class Tree(Result):
    trunk: Branch


class Inner(Arguments):
    """A part."""

    title: str


class Wanted(Arguments):
    """What is wanted."""

    name: str | None = Field(default=None, max_length=9)
    depth: int = Field(default=1, ge=1)
    limit: int = Field(default=5, ge=1, le=5)
    inner: list[Inner] = Field(default_factory=list, min_length=1)
    variables: dict[str, str] = Field(default_factory=dict)
    pattern: str = Field(min_length=1, pattern="^x?", description="What to look for.")


async def wants(_call: Call, arguments: Wanted) -> Tree:
    raise NotImplementedError


@pytest.mark.parametrize(
    "result",
    [
        LocationsResult.model_validate({"complete": True, "locations": [PLACE, {**PLACE, "line_text": "x = 1"}]}),
        LocationsResult(complete=False, reason="indexing", message="It loads.", locations=[]),
        Tree(trunk=Branch(name="a", twigs=[Branch(name="b", note="c")])),
    ],
)
def test_answers_fit_their_schema_and_wrong_ones_do_not(result: Result) -> None:
    schema = output_schema(type(result))
    sent: dict[str, Any] = result.model_dump(mode="json", exclude_none=True)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(sent, schema)
    for wrong in ({**sent, "colour": "red"}, {}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


def test_a_definition_that_is_used_once_is_inlined() -> None:
    schema = output_schema(LocationsResult)
    assert "$ref" not in json.dumps(schema)
    assert "null" not in json.dumps(schema)


def test_a_recursive_definition_is_not_inlined() -> None:
    deep = {"trunk": {"name": "a", "twigs": [{"name": "b", "twigs": [{"name": 5}]}]}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(deep, output_schema(Tree))


def test_the_schema_of_arguments_has_types_and_names_and_no_more() -> None:
    assert input_schema(Wanted) == {
        "properties": {
            "pattern": {"type": "string", "description": "What to look for."},
            "name": {"type": "string"},
            "depth": {"type": "integer", "default": 1},
            "limit": {"type": "integer"},
            "inner": {
                "items": {"properties": {"title": {"type": "string"}}, "required": ["title"], "type": "object"},
                "type": "array",
            },
            "variables": {"type": "object", "additionalProperties": {"type": "string"}},
        },
        "required": ["pattern"],
        "type": "object",
    }


def test_what_the_schema_of_arguments_does_not_say_is_checked_all_the_same() -> None:
    tool = tool_of(wants, "read")
    assert parse_arguments(tool, {"pattern": "x", "name": None}).name is None
    for wrong in ({"depth": 0}, {"limit": 6}, {"colour": "red"}, {"pattern": ""}):
        with pytest.raises(ToolError, match=f"{next(iter(wrong))} "):
            parse_arguments(tool, {"pattern": "x", **wrong})
