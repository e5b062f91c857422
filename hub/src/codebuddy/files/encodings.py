"""The encodings of files, as their projects declare them; set once, when hub or agent start."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from codebuddy.schemas.encodings import codec_of


class Matcher(Protocol):
    """A pattern of paths."""

    def matches(self, project: str, relative: str) -> bool: ...


_DECLARED: Final[dict[str, list[tuple[Matcher, str]]]] = {}


def declare_encodings(project: str, encodings: Iterable[tuple[Matcher, str]]) -> None:
    """Set the encodings of a project's files, in place of those declared before; the last that fits counts.

    Raises:
        ValueError: an encoding is not known.
    """
    declared = list(encodings)
    if unknown := [name for _, name in declared if codec_of(name) is None]:
        raise ValueError(f"encodings: {unknown[0]!r} is not known")
    _DECLARED[project] = declared


def declared_encoding(project: str, relative: str) -> str | None:
    """Return the encoding that is declared for a file of a project; None if it is UTF-8, or none is declared."""
    declared = reversed(_DECLARED.get(project, []))
    name = next((name for matcher, name in declared if matcher.matches(project, relative)), None)
    return None if name is None or codec_of(name) == "utf-8" else name
