"""The log: a project's words stay in the line, or below the line, that quotes them."""

from __future__ import annotations

import logging
import sys

from codebuddy.log_format import LogFormatter

FORGED = "x\n2026-01-01 00:00:00,000 INFO codebuddy.hub: forged\r\x1b[2K\u202e\x85"


def record(message: str, *arguments: object, failed: bool = False) -> logging.LogRecord:
    error = sys.exc_info() if failed else None
    return logging.LogRecord("codebuddy.test", logging.WARNING, __file__, 1, message, arguments, error)


def test_a_message_is_one_line_of_bounded_length() -> None:
    line = LogFormatter().format(record("server %s: %s", FORGED, "y" * 10_000))
    assert line.isprintable()
    assert len(line) < 3000
    assert "WARNING codebuddy.test: server x" in line


def test_a_traceback_is_indented_and_without_control_characters() -> None:
    try:
        raise ValueError(FORGED)
    except ValueError:
        text = LogFormatter().format(record("failed", failed=True))
    first, *rest = text.split("\n")
    assert first.endswith("WARNING codebuddy.test: failed")
    assert len(rest) > 3
    assert all(line.startswith("  ") and line.isprintable() for line in rest)
