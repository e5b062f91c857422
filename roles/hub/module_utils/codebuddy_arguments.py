"""Arguments of modules: their specification, and the notation of times that they share."""

from __future__ import annotations

import re
from typing import Any

import yaml

_SPECIFIED = ("type", "elements", "choices", "default", "required")
_DURATION = re.compile(r"([0-9]{1,9})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LONGEST = 10 * 365 * 86400


def argument_spec(documentation: str) -> dict[str, dict[str, Any]]:
    """Return the ``argument_spec`` of a module from its DOCUMENTATION, so that an argument is declared only once."""
    return _specification(yaml.safe_load(documentation)["options"])


def _specification(options: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    # No argument of these modules is a secret, but Ansible suspects names such as `tokens`.
    return {
        name: {key: option[key] for key in _SPECIFIED if key in option}
        | ({"options": _specification(option["suboptions"])} if "suboptions" in option else {})
        | {"no_log": False}
        for name, option in options.items()
    }


def duration_seconds(value: Any) -> int:
    """Parse a time such as ``30d``, ``12h``, ``45m``, ``90s`` or ``2w``.

    Raises:
        ValueError: it is not a time, or is zero or over ten years; the message is the end of a sentence.
    """
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if seconds <= 0:
        raise ValueError("is not a time: write a number and one of s, m, h, d or w, like 30d")
    if seconds > _LONGEST:
        raise ValueError("is too long: give at most ten years, 3650d")
    return seconds
