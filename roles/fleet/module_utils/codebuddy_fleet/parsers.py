"""Parsers of declared values. Each returns the typed value, or raises ValueError with the end of a sentence.

A parser that finds several problems passes one such end for each in the error's arguments.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable
from typing import Any

from .encodings import EXAMPLES, codec_of
from .mounts import OWN_DISKS, Expectation

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_BYTES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FILE_SYSTEM = re.compile(r"[a-z0-9_]+(\.[A-Za-z0-9_.+-]+)?")
_AUTHOR = re.compile(r"[^<>\0\n]*[^<>\0\s] <[^<>\0\n]+>")


def _text(pattern: str, requirement: str) -> Callable[[Any], str]:
    compiled = re.compile(pattern)

    def parse(value: Any) -> str:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise ValueError(requirement)
        return value

    return parse


def _number(least: int, most: int, requirement: str) -> Callable[[Any], int]:
    def parse(value: Any) -> int:
        # Values of --extra-vars are text. The limit of the length keeps int() from refusing very long numbers.
        text = "" if isinstance(value, bool) else str(value).strip()
        number = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else -1
        if not least <= number <= most:
            raise ValueError(requirement)
        return number

    return parse


def _size(least: str, too_little: str) -> Callable[[Any], int]:
    def parse(value: Any) -> int:
        size = _bytes(value)
        if size < _bytes(least):
            raise ValueError(f"{too_little}: give at least {least}")
        return size

    return parse


def _bytes(value: Any) -> int:
    match = _SIZE.fullmatch(str(value).strip()) if isinstance(value, (str, int, float)) else None
    if match is None or isinstance(value, bool):
        raise ValueError("is not a size: write it like 512m or 2g")
    return int(float(match[1]) * _BYTES[match[2].lower()])


identifier = _text(r"[a-z0-9][a-z0-9-]{0,40}", "must be 1 to 41 of a-z, 0-9 and '-', beginning with a letter or digit")
package = _text(
    r"[a-z0-9][a-z0-9+.-]*(:[a-z0-9]+)?(=[A-Za-z0-9.+:~-]+)?",
    "is not the name of a distribution package: write it like libpq-dev",
)
image_reference = _text(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*", "is not the name of an image: write it like debian:trixie")
user_number = _number(1, 2**31 - 1, "must be the number of a user or group other than root, like 1000")
port = _number(1, 65535, "must be a port, 1 to 65535")
process_count = _number(16, 4_194_304, "must be a whole number of processes, at least 16")
parallel_count = _number(1, 1000, "must be a whole number from 1 to 1000")
memory_bytes = _size("64m", "is too little to run in")
shared_memory_bytes = _size("64k", "is too little for /dev/shm")
journal_bytes = _size("1m", "is too little for a journal of edits")
output_bytes = _size("4m", "is too little to keep of an output")


def git_author(value: Any) -> str:
    """Parse the author of commits, a name and an address; None is "", nobody."""
    author = "" if value is None else value.strip() if isinstance(value, str) else None
    if author is None or (author and not _AUTHOR.fullmatch(author)):
        raise ValueError("is not an author of commits: write it like Ada Lovelace <ada@example.org>")
    return str(author)


def seconds_up_to_a_day(value: Any) -> float:
    """Parse a number of seconds, fractions allowed."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 86400:
        raise ValueError("is not a number of seconds: write it like 60 (at most a day)")
    return value


def cpu_count(value: Any) -> float:
    """Parse a number of CPUs, fractions allowed; rounded to a thousandth."""
    try:
        cpus = float(value) if not isinstance(value, bool) else 0.0
    except (TypeError, ValueError):
        cpus = 0.0
    if not 0.01 <= cpus <= 1024:
        raise ValueError("is not a number of CPUs: write it like 1.5 (at least 0.01)")
    return round(cpus, 3)


def flag(value: Any) -> bool:
    """Parse a boolean. Text is refused, because a quoted "no" would count as true."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false, without quotes")
    return value


def directory(value: Any) -> str:
    """Parse the absolute path of a directory other than the root."""
    if not isinstance(value, str) or not os.path.isabs(value) or os.path.normpath(value) == "/":
        raise ValueError("must be an absolute path of a directory of its own")
    return os.path.normpath(value)


def command(value: Any) -> list[str]:
    """Parse an argument vector."""
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError("must be a list of strings, program first, like [npm, test]")
    if not all(isinstance(word, str) for word in value):
        raise ValueError("has an argument that is not a string: put it in quotes")
    if any("\0" in word for word in value):
        raise ValueError("has a NUL character in it: remove it")
    if not value[0] or value[0].startswith("-"):
        raise ValueError("must begin with a program, not with an option")
    return [str(word) for word in value]


def encodings(value: Any) -> tuple[tuple[str, str], ...]:
    """Parse the encodings of files by glob."""
    if not isinstance(value, dict) or not all(isinstance(pattern, str) and pattern for pattern in value):
        raise ValueError("must map globs to encodings, like {'legacy/**': cp1252}")
    if unknown := [str(name) for name in value.values() if codec_of(name) is None]:
        raise ValueError(f"has the encoding {unknown[0]!r}, which is not known: write it like {EXAMPLES}")
    return tuple(value.items())


def expectation(value: Any) -> Expectation | None:
    """Parse what must be mounted at a project's directory: a type of file system, or ``{marker: NAME}``."""
    if value is None:
        return None
    marker = value.get("marker") if isinstance(value, dict) and set(value) == {"marker"} else None
    if isinstance(marker, str) and marker not in ("", ".", "..") and not set(marker) & set("/\0\n"):
        return Expectation(marker=str(marker))
    if not isinstance(value, str) or not _FILE_SYSTEM.fullmatch(value):
        raise ValueError("must be a type of file system like nfs4 or fuse.gocryptfs, or {marker: NAME of a file in it}")
    if value in OWN_DISKS:
        raise ValueError(
            "is what a machine's own disk is too, so it does not tell whether another one is mounted: put a file on "
            "that one and name it, like {marker: .this-is-my-disk}"
        )
    return Expectation(type=str(value))


def environment(value: Any) -> dict[str, str]:
    """Parse environment variables: strings, or numbers that become strings."""
    if not isinstance(value, dict):
        raise ValueError("must map names to strings")
    if problems := [problem for name, item in value.items() if (problem := _variable_problem(name, item))]:
        raise ValueError(*problems)
    return {str(name): str(item) for name, item in value.items()}


def _variable_problem(name: Any, item: Any) -> str | None:
    if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
        return f"has the name {name!r}, which is not a variable's: use letters, digits and '_'"
    if isinstance(item, bool) or not isinstance(item, (str, int, float)):
        return f"gives {name} a value that is not a string: put it in quotes"
    return f"gives {name} a value with a NUL character in it: remove it" if "\0" in str(item) else None
