"""What the description of a language server may contain: its keys, choices and kinds of values.

The fleet role checks an inventory with this file (a link in its module_utils leads here), and the agent checks its
configuration with it. It therefore uses nothing but the standard library.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, get_args

ReadyBy = Literal["immediate", "progress", "server_status", "log"]
Refresh = Literal["notify", "show", "search", "reload", "restart"]
Modules = Literal["commonjs"]
Feature = Literal["navigation", "hover", "completion", "diagnostics", "format", "actions", "rename"]
Limit = Literal["searched_files", "parsed_files", "shortest_name"]

FEATURES: Final[tuple[Feature, ...]] = get_args(Feature)
LIMITS: Final[tuple[Limit, ...]] = get_args(Limit)
REQUIRED: Final = ("name", "command", "languages")

Rule = tuple[str, Callable[[Any], bool]]
"""What must hold for a value, as the end of a sentence, and the test of it."""


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_text_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(part, str) for part in value)


def _is_text_mapping(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(part, str) for pair in value.items() for part in pair)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _is_positive(value: Any) -> bool:
    return type(value) in (int, float) and value > 0


def _are_limits(value: Any) -> bool:
    return isinstance(value, dict) and all(
        key in LIMITS and type(number) is int and number > 0 for key, number in value.items()
    )


def _is_pattern(value: Any) -> bool:
    try:
        return _is_text(value) and re.compile(value) is not None
    except re.error:
        return False


def _choice(choices: tuple[str, ...]) -> Rule:
    return f"must be one of {', '.join(choices)}", lambda value: value in choices


_POSITIVE: Final[Rule] = ("must be a number over 0", _is_positive)
_MAPPING: Final[Rule] = ("must be a mapping", _is_mapping)

RULES: Final[dict[str, Rule]] = {
    "name": ("must be a string", _is_text),
    "command": ("must be a non-empty list of strings", _is_text_list),
    "languages": (
        "must map file patterns to language ids, like {'*.py': python}",
        lambda value: _is_text_mapping(value) and bool(value),
    ),
    "ready": _choice(get_args(ReadyBy)),
    "ready_log": ("must be a regular expression, like 'Workspace loaded'", _is_pattern),
    "refresh": _choice(get_args(Refresh)),
    "features": (
        f"must be a list of some of {', '.join(FEATURES)}",
        lambda value: _is_text_list(value) and set(value) <= set(FEATURES),
    ),
    "modules": _choice(get_args(Modules)),
    "settings": _MAPPING,
    "initialization_options": _MAPPING,
    "environment": ("must map names to strings", _is_text_mapping),
    "limits": (f"must map some of {', '.join(LIMITS)} to whole numbers over 0", _are_limits),
    "load_seconds": _POSITIVE,
    "memory": _POSITIVE,  # bytes
    "idle_seconds": _POSITIVE,
}


def value_problems(description: Mapping[str, Any]) -> list[str]:
    """Return a sentence without its subject for each value of a wrong kind, and each required one that is missing."""
    return [
        f"{key} {requirement}"
        for key, (requirement, holds) in RULES.items()
        if (key in description or key in REQUIRED) and not holds(description.get(key))
    ]


def combination_problems(description: Mapping[str, Any]) -> list[str]:
    """Return a sentence without its subject for each pair of values that contradict each other."""
    by_log, problems = description.get("ready") == "log", []
    if by_log != ("ready_log" in description):
        problems.append("ready: log and ready_log go together: give both or none")
    if description.get("refresh") == "search" and not by_log:
        problems.append("refresh: search needs ready: log, which tells when a search has ended")
    return problems
