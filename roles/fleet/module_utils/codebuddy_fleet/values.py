"""Reads the values of a declaration: each function gives the typed value, or ValueError with the end of a sentence, or
of several: one in each of its arguments.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = [
    "command",
    "cpu_count",
    "duration_seconds",
    "environment",
    "flag",
    "identifier",
    "image_reference",
    "journal_bytes",
    "memory_bytes",
    "output_bytes",
    "package",
    "pattern",
    "process_count",
    "seconds",
    "small_count",
    "whole",
]

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_LEAST_MEMORY = 64 * 2**20
_LEAST_JOURNAL = 2**20
_LEAST_OUTPUT = 4 * 2**20
_SMALL = 1000
_DIGITS = 20
_DURATION = re.compile(r"([0-9]{1,9})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LONGEST = 10 * 365 * 86400
_LEAST_PROCESSES = 16
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]*(:[a-z0-9]+)?(=[A-Za-z0-9.+:~-]+)?")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*")


def identifier(value: Any) -> str:
    """Read a project id or fleet name."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise ValueError("must be 1 to 41 of a-z, 0-9 and '-', beginning with a letter or digit")
    return value


def memory_bytes(value: Any) -> int:
    """Read a limit of memory, such as ``512m``, ``2g`` or a number of bytes."""
    size = _size(value)
    if size < _LEAST_MEMORY:
        raise ValueError("is too little to run in: give at least 64m")
    return size


def journal_bytes(value: Any) -> int:
    """Read how large the hub's journal may grow; written as limits of memory are."""
    size = _size(value)
    if size < _LEAST_JOURNAL:
        raise ValueError("is too little for a journal of edits: give at least 1m")
    return size


def output_bytes(value: Any) -> int:
    """Read how much of a run's output is kept; written as limits of memory are."""
    size = _size(value)
    if size < _LEAST_OUTPUT:
        raise ValueError("is too little to keep of an output: give at least 4m")
    return size


def duration_seconds(value: Any) -> int:
    """Read a time such as ``30d``, ``12h``, ``45m``, ``90s`` or ``2w``; written as the life time of a token is."""
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if seconds <= 0:
        raise ValueError("is not a time: write a number and one of s, m, h, d or w, like 30d")
    if seconds > _LONGEST:
        raise ValueError("is too long: give at most ten years, 3650d")
    return seconds


def _size(value: Any) -> int:
    match = _SIZE.fullmatch(str(value).strip()) if isinstance(value, (str, int, float)) else None
    if match is None or isinstance(value, bool):
        raise ValueError("is not a size: write it like 512m or 2g")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def cpu_count(value: Any) -> float:
    """Read a number of CPUs, fractions allowed; rounded to a thousandth."""
    try:
        cpus = float(value) if not isinstance(value, bool) else 0.0
    except (TypeError, ValueError):
        cpus = 0.0
    if not 0.01 <= cpus <= 1024:
        raise ValueError("is not a number of CPUs: write it like 1.5 (at least 0.01)")
    return round(cpus, 3)


def whole(value: Any) -> int | None:
    """Read a number that is not negative, also as text, as ``--extra-vars`` gives it; None: it is none."""
    text = "" if isinstance(value, bool) else str(value).strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < _DIGITS else None


def process_count(value: Any) -> int:
    """Read a limit on the number of processes and threads."""
    number = whole(value)
    if number is None or not _LEAST_PROCESSES <= number <= 4_194_304:
        raise ValueError(f"is not a limit of processes: give a whole number of at least {_LEAST_PROCESSES}")
    return number


def small_count(value: Any) -> int:
    """Read a number of things that are under way at the same time."""
    number = whole(value)
    if number is None or not 1 <= number <= _SMALL:
        raise ValueError(f"is not a number of things at a time: give a whole number from 1 to {_SMALL}")
    return number


def command(value: Any) -> list[str]:
    """Read an argument vector: a list of strings whose first is a program."""
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError("must be a list of strings, program first, like [npm, test]")
    if not all(isinstance(word, str) for word in value):
        raise ValueError("has an argument that is not a string: put it in quotes")
    if any("\0" in word for word in value):
        raise ValueError("has a NUL character in it: remove it")
    if not value[0] or value[0].startswith("-"):
        raise ValueError("must begin with a program, not with an option")
    return [str(word) for word in value]


def environment(value: Any) -> dict[str, str]:
    """Read environment variables: strings, or numbers that become strings."""
    if not isinstance(value, dict):
        raise ValueError("must map names to strings")
    problems = [problem for name, item in value.items() if (problem := _variable_problem(name, item))]
    if problems:
        raise ValueError(*problems)
    return {str(name): str(item) for name, item in value.items()}


def _variable_problem(name: Any, item: Any) -> str | None:
    if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
        return f"has the name {name!r}, which is not one of a variable: use letters, digits and '_'"
    if isinstance(item, bool) or not isinstance(item, (str, int, float)):
        return f"gives {name} a value that is not a string: put it in quotes"
    return f"gives {name} a value with a NUL character in it: remove it" if "\0" in str(item) else None


def pattern(value: Any) -> str:
    """Read a regular expression."""
    try:
        compiled = re.compile(value) if isinstance(value, str) and value else None
    except re.error as error:
        raise ValueError(f"is not a regular expression ({error}): write it like 'Workspace loaded'") from error
    if compiled is None:
        raise ValueError("must be a regular expression: write it like 'Workspace loaded'")
    return str(value)


def seconds(value: Any) -> float:
    """Read a number of seconds, up to a day."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= _SECONDS["d"]:
        raise ValueError("is not a number of seconds: write it like 60 (at most a day)")
    return value


def flag(value: Any) -> bool:
    """Read a yes or no: a boolean, for in YAML a quoted "no" would be true."""
    if not isinstance(value, bool):
        raise ValueError("is neither true nor false: write one of them, without quotes")
    return value


def package(value: Any) -> str:
    """Read a distribution package, with a version if need be."""
    if not isinstance(value, str) or not _PACKAGE.fullmatch(value):
        raise ValueError("is not the name of a distribution package: write it like libpq-dev")
    return str(value)


def image_reference(value: Any) -> str:
    """Read an image as the engine names it."""
    if not isinstance(value, str) or not _IMAGE.fullmatch(value):
        raise ValueError("is not the name of an image: write it like debian:trixie")
    return str(value)
