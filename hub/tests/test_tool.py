"""How wrong arguments are explained: which argument, why, and what is accepted in its place."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import Field, model_validator

from codebuddy.tool import Arguments, Result, Tool, ToolError, parse_arguments


class Piece(Arguments):
    old_text: str
    count: int = Field(1, ge=1)


class Wanted(Arguments):
    path: str
    pieces: list[Piece] | None = Field(None, max_length=20)
    mode: Literal["a", "b"] = "a"
    quick: bool = False
    name: str = Field("x", min_length=1)
    seconds: float = Field(1.0, gt=0, le=600)

    @model_validator(mode="after")
    def _not_root(self) -> Wanted:
        if self.path == "/":
            raise ValueError("give a path inside a project")
        return self


async def nothing(_call: Any, _arguments: Any) -> Result:
    return Result()


TOOL = Tool("cut", "write", "Cuts.", Wanted, Result, nothing)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "path is required."),
        ({"path": 3}, "path must be a string."),
        (
            {"path": "x", "colour": 1},
            "colour is not an argument of cut; it accepts path, pieces, mode, quick, name, seconds.",
        ),
        (
            {"path": "x", "pieces": [{"old_text": "a", "colour": 1}]},
            "pieces.0 has no argument colour; it accepts old_text, count.",
        ),
        ({"path": "x", "pieces": [{"old_text": "a", "count": 0}]}, "pieces.0.count must be at least 1."),
        ({"path": "x", "pieces": {}}, "pieces must be a list."),
        ({"path": "x", "pieces": [1]}, "pieces.0 must be an object."),
        ({"path": "x", "mode": "c"}, "mode must be one of 'a' or 'b'."),
        ({"path": "x", "quick": "yes"}, "quick must be true or false."),
        ({"path": "x", "seconds": 0}, "seconds must be more than 0."),
        ({"path": "x", "seconds": 601}, "seconds may be at most 600."),
        ({"path": "x", "name": ""}, "name must not be empty."),
        ({"path": "/"}, "Give a path inside a project."),
        ({"path": 3, "quick": 1}, "path must be a string; quick must be true or false."),
    ],
)
def test_each_wrong_argument_is_explained(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ToolError) as refused:
        parse_arguments(TOOL, arguments)
    assert (refused.value.code, refused.value.message) == ("invalid_arguments", sentence)


def test_many_wrong_arguments_are_counted() -> None:
    with pytest.raises(ToolError, match=r"; and 10 more\.$"):
        parse_arguments(TOOL, {"path": "x", "pieces": [{}] * 20})
