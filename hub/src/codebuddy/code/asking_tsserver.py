"""Asking the compiler behind typescript-language-server for the diagnostics of a file.

What that server publishes comes in parts, without a version and 50 ms after each part: on a busy machine the first is
that the file can be parsed, and looks as if nothing were wrong with it. The compiler's own requests, which it passes
on, answer for the text that it has.
"""

from __future__ import annotations

from typing import Any, Final

from codebuddy.code.asking import request
from codebuddy.code.questions import malformed
from codebuddy.language.connection import Connection
from codebuddy.language.documents import Document

__all__ = ["ask_tsserver", "passes_on"]

_COMMAND: Final = "typescript.tsserverRequest"
_CHECKS: Final = ("syntacticDiagnosticsSync", "semanticDiagnosticsSync", "suggestionDiagnosticsSync")
_SEVERITIES: Final = {"error": 1, "warning": 2, "suggestion": 4}  # DiagnosticSeverity, LSP 3.17


def passes_on(connection: Connection) -> bool:
    """Say whether a server passes requests on to TypeScript's tsserver."""
    return connection.capabilities.runs(_COMMAND)


async def ask_tsserver(connection: Connection, document: Document, deadline: float) -> list[Any]:
    """Give the diagnostics of an open document as the protocol writes them.

    Raises:
        RequestTimedOut, ServerError, SessionClosed: there are none.
        Unsettled: the answer is malformed.
    """
    found: list[Any] = []
    for check in _CHECKS:
        params = {"command": _COMMAND, "arguments": [check, {"file": str(document.path)}]}
        result = await request(connection, "workspace/executeCommand", params, deadline)
        body = result.get("body") if isinstance(result, dict) else None
        if not isinstance(body, list):
            raise malformed(ValueError(f"{check} without a list"))
        try:
            found += [_translated(item) for item in body]
        except (AttributeError, KeyError, TypeError):
            raise malformed(ValueError(f"{check} with what is no diagnostic")) from None
    return found


def _translated(item: dict[str, Any]) -> dict[str, Any]:
    """Give one diagnostic of tsserver (protocol.ts: ``Diagnostic``), whose lines and offsets count from 1."""
    return {
        "range": {end: _position(item[end]) for end in ("start", "end")},
        "message": item["text"],
        "severity": _SEVERITIES.get(item.get("category", "error"), 1),
        "code": item.get("code"),
        "source": item.get("source") or "typescript",
    }


def _position(place: dict[str, Any]) -> dict[str, int]:
    return {"line": place["line"] - 1, "character": place["offset"] - 1}
