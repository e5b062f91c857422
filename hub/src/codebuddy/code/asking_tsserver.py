"""Asking the compiler behind typescript-language-server for the diagnostics of a file.

What that server publishes comes in parts, without a version and 50 ms after each part: on a busy machine the first is
that the file can be parsed, and looks as if nothing were wrong with it. The compiler's own requests, which it passes
on, answer for the text that it has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from codebuddy.code.asking import Asked, request
from codebuddy.code.questions import malformed
from codebuddy.language.connection import Connection
from codebuddy.language.documents import Document

__all__ = ["ask_tsserver", "has_all", "passes_on"]

_COMMAND: Final = "typescript.tsserverRequest"
_CHECKS: Final = ("syntacticDiagnosticsSync", "semanticDiagnosticsSync", "suggestionDiagnosticsSync")
_SEVERITIES: Final = {"error": 1, "warning": 2, "suggestion": 4}  # DiagnosticSeverity, LSP 3.17


def passes_on(connection: Connection) -> bool:
    """Say whether a server passes requests on to TypeScript's tsserver."""
    return connection.capabilities.runs(_COMMAND)


def has_all(published: list[Any], asked: list[Any]) -> bool:
    """Say whether all diagnostics that tsserver answered are among those that were published."""
    return {_place_of(item) for item in asked} <= {_place_of(item) for item in published if isinstance(item, dict)}


def _place_of(item: dict[str, Any]) -> str:
    return json.dumps([item.get("code"), item.get("range")], sort_keys=True)


async def ask_tsserver(asked: Asked, connection: Connection, document: Document) -> list[Any]:
    """Give the diagnostics of an open document as the protocol writes them, but for ``diagnostics.ignoredCodes``.

    Raises:
        RequestTimedOut, ServerError, SessionClosed: there are none.
        Unsettled: the answer is malformed.
    """
    ignored = _ignored(asked.server.config.settings)
    found: list[Any] = []
    for check in _CHECKS:
        params = {"command": _COMMAND, "arguments": [check, {"file": str(document.path)}]}
        result = await request(connection, "workspace/executeCommand", params, asked.deadline)
        body = result.get("body") if isinstance(result, dict) else None
        if not isinstance(body, list):
            raise malformed(ValueError(f"{check} without a list"))
        try:
            found += [_translated(item) for item in body if item.get("code") not in ignored]
        except (AttributeError, KeyError, TypeError):
            raise malformed(ValueError(f"{check} with what is no diagnostic")) from None
    return found


def _ignored(settings: Mapping[str, Any]) -> list[Any]:
    diagnostics = settings.get("diagnostics")
    codes = diagnostics.get("ignoredCodes") if isinstance(diagnostics, dict) else None
    return codes if isinstance(codes, list) else []


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
