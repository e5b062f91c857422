"""An answer of a code tool must not contradict itself."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from codebuddy.schemas.code import LocationsResult


def read(**said: Any) -> LocationsResult:
    return LocationsResult.model_validate({"locations": [], **said})


@pytest.mark.parametrize(
    "said",
    [
        {"complete": True, "reason": "indexing"},
        {"complete": True, "cursor": "1.0"},
        {"complete": "yes"},
        {"complete": 1},
    ],
)
def test_a_contradictory_answer_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read(**said)


def test_a_long_message_is_cut() -> None:
    answer = read(complete=False, reason="truncated", message="x" * 900_000, cursor="1.0")
    assert answer.message == "x" * 2000
