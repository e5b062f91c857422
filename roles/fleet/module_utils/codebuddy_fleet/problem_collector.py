"""Collects the problems of a declaration, so that all of them are reported at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, fields
from typing import Any, TypeVar

T = TypeVar("T")


def setting(parse: Callable[[Any], Any], default: Any = None, *, name: str | None = None) -> Any:
    """Declare a field of a dataclass that :meth:`ProblemCollector.settings` reads.

    Args:
        parse: one of :mod:`parsers`.
        default: parsed where the declaration has no value.
        name: what messages call it, if that is not the field's name.
    """
    return field(metadata={"parse": parse, "default": default, "name": name})


def options(cls: type) -> dict[str, dict[str, Any]]:
    """Return the ``argument_spec`` of the fields that are declared with :func:`setting`: any type, to be parsed."""
    return {item.name: {"type": "raw"} for item in fields(cls) if item.metadata}


class ProblemCollector:
    """Collects the problems of one subject, such as ``host api``, with which each sentence begins."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.problems: list[str] = []

    def add(self, sentence: str) -> None:
        self.problems.append(f"{self.subject}: {sentence}")

    def parse(self, name: str, parse: Callable[[Any], T], value: Any, fallback: T) -> T:
        """Return the parsed value, or the fallback after collecting what is wrong with it."""
        try:
            return parse(value)
        except ValueError as error:
            shown = f" {value!r}" if isinstance(value, (str, int, float)) else ""
            for problem in error.args:
                self.add(f"{name}{shown} {problem}.")
            return fallback

    def settings(self, cls: type, source: Mapping[str, Any]) -> dict[str, Any]:
        """Parse the fields of a dataclass that are declared with :func:`setting`; a wrong one becomes None."""
        parsed = {}
        for item in fields(cls):
            if about := item.metadata:
                given = source.get(item.name)
                value = about["default"] if given is None else given
                parsed[item.name] = self.parse(about["name"] or item.name, about["parse"], value, None)
        return parsed

    def items(self, name: str, value: Any) -> list[Any]:
        """Return the items of a list; none if the value is None or not a list."""
        if value is None:
            return []
        if not isinstance(value, (list, tuple)):
            self.add(f"{name} must be a list.")
            return []
        return list(value)
