"""The schemas of tools are short, and describe what is really sent."""

from __future__ import annotations

from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from pydantic import Field

from codebuddy.hub.tools.code import ProjectPart, ReferencesInProjects
from codebuddy.schemas.code import Hierarchy, HierarchyItem, LocationsResult, SymbolsOfFile
from codebuddy.schemas.runs import JobOutput, RunResult, RunResults, TestCounts
from codebuddy.tool import Arguments, Call, Result, ToolError, parse_arguments, tool_of
from codebuddy.wire.calls import input_schema, output_schema

PLACE: dict[str, Any] = {"path": "p/a.py", "line": 1, "column": 1, "end_line": 1, "end_column": 2}
SYMBOL = {**PLACE, "name": "a", "kind": "function", "symbol": "A/a", "line_text": "def a"}
JOB = {"job_id": "p:0123abcd", "project": "p", "argv": ["sh"], "background": True, "started_at": "2026-01-31T12:00:00Z"}


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


async def wants(_call: Call, arguments: Wanted) -> Result:
    raise NotImplementedError


@pytest.mark.parametrize("detail", ["lean", "full"])
@pytest.mark.parametrize(
    "result",
    [
        LocationsResult.model_validate({"complete": True, "locations": [PLACE, {**PLACE, "line_text": "x = 1"}]}),
        LocationsResult(complete=False, reason="indexing", message="It loads.", locations=[]),
        ReferencesInProjects.model_validate(
            {
                "complete": False,
                "reason": "truncated",
                "cursor": "c",
                "locations": [PLACE],
                "symbols": [SYMBOL],
                "projects": [ProjectPart(project="p", complete=False, cursor="c")],
            }
        ),
        SymbolsOfFile.model_validate({"complete": True, "path": "p/a.py", "symbols": [SYMBOL]}),
        Hierarchy(
            complete=True,
            direction="incoming",
            items=[HierarchyItem.model_validate({**SYMBOL, "id": 1, "depth": 0, "calls": [PLACE]})],
        ),
        RunResults.of([RunResult(project="p", reason="exited", exit_code=1, output="x", counts=TestCounts(failed=1))]),
        RunResults.of([RunResult(project="p", job_id="p:0123abcd")]),
        JobOutput.model_validate(
            {**JOB, "duration_seconds": 1.0, "output_bytes": 1, "output": "x", "complete": False, "cursor": "c"}
        ),
    ],
    ids=lambda result: type(result).__name__,
)
def test_lean_and_full_answers_fit_their_schema_and_wrong_ones_do_not(result: Result, detail: Any) -> None:
    schema, sent = output_schema(type(result)), result.structured(detail)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(sent, schema)
    for name, field in schema["properties"].items():
        with pytest.raises(jsonschema.ValidationError, match=field["type"]):
            jsonschema.validate({**sent, name: 5}, schema)


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
