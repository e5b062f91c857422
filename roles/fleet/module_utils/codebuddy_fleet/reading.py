"""Reads values of a declaration and keeps the sentences about the bad ones, so that all are shown at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["Reader"]

T = TypeVar("T")


class Reader:
    """Collects what is wrong with one subject.

    Args:
        subject: whose values they are, such as ``host api``; begins each sentence.
    """

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.problems: list[str] = []

    def say(self, sentence: str) -> None:
        """Keep a sentence."""
        self.problems.append(f"{self.subject}: {sentence}")

    def read(self, name: str, parse: Callable[[Any], T], value: Any, otherwise: T) -> T:
        """Give the typed value; where ``parse`` refuses it (ValueError), keep what it says and give ``otherwise``."""
        try:
            return parse(value)
        except ValueError as error:
            shown = f" {value!r}" if isinstance(value, (str, int, float)) else ""
            for problem in error.args:
                self.say(f"{name}{shown} {problem}.")
            return otherwise

    def items(self, name: str, value: Any) -> list[Any]:
        """Give the items of a list; none where it is left out or is no list."""
        if value is None:
            return []
        if not isinstance(value, (list, tuple)):
            self.say(f"{name} must be a list.")
            return []
        return list(value)
