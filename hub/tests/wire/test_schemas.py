"""The schemas of tools are short, and describe what is really sent."""

from __future__ import annotations

import json
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from pydantic import Field

from codebuddy.schemas.code import LocationsResult
from codebuddy.tool import Arguments, Result
from codebuddy.wire.calls import input_schema, output_schema

PLACE = {"path": "p/a.py", "line": 1, "column": 1, "end_line": 1, "end_column": 2}


class Branch(Result):
    name: str
    twigs: list[Branch] = Field(default_factory=list)
    note: str | None = None


class Tree(Result):
    trunk: Branch


class Wanted(Arguments):
    name: str | None = None


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


def test_an_argument_may_still_be_null() -> None:
    jsonschema.validate({"name": None}, input_schema(Wanted))
