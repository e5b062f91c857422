"""The lines of the hub's and the agents' logs, in which a project's words cannot pass for a line of their own."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import TypeAlias

from codebuddy.text_safety import labelled, one_line

_ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class LogFormatter(logging.Formatter):
    """Writes each message in one line, and tracebacks, which quote all kinds of texts, indented below it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        record.message = one_line(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: _ExcInfo) -> str:  # noqa: N802
        return labelled(super().formatException(ei), "  ")

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        return labelled(stack_info, "  ")
