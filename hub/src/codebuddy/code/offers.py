"""What a server offers as code actions (LSP 3.17, "Code Action Request"), read. Servers are not trusted. Pure."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from codebuddy.language.positions import clean
from codebuddy.schemas.code import CodeAction

__all__ = ["Offer", "command_of", "edit_of", "read_offers"]

_MAX_TITLE: Final = 500
_MAX_FIXES: Final = 10

# Kinds of gopls (go.dev/gopls/features) which only open a page in an editor or browser.
_PAGES: Final = frozenset({"source.doc", "source.assembly", "source.freesymbols", "gopls.doc.features"})


@dataclass(frozen=True)
class Offer:
    """One action that a server offers.

    Args:
        raw: as the protocol writes it.
        shown: as it is told.
    """

    raw: dict[str, Any]
    shown: CodeAction


def read_offers(result: Any, server: str, digest: str, kinds: Sequence[str] | None) -> list[Offer]:
    """Read the answer to ``textDocument/codeAction``; what could only open a page is left out.

    Args:
        result: the answer.
        server: the server's name.
        digest: the hash of the text that it is for.
        kinds: those that are wanted, each with the ones below it; None: all.

    Raises:
        ValueError: it is malformed.
    """
    items = [] if result is None else result
    if not isinstance(items, list):
        raise ValueError("actions that are no list")
    seen: Counter[tuple[str | None, str]] = Counter()
    offers = []
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("title"), str):
            raise ValueError("an action without a title")
        kind = item.get("kind") if isinstance(item.get("kind"), str) else None
        key = (kind, item["title"])
        seen[key] += 1
        if kind in _PAGES:
            continue
        if kinds is None or any(f"{kind}.".startswith(f"{wanted}.") for wanted in kinds):
            ident = hashlib.sha256(json.dumps([server, digest, *key, seen[key]]).encode()).hexdigest()[:12]
            offers.append(Offer(item, _shown(item, ident, kind, server)))
    return offers


def edit_of(action: dict[str, Any]) -> Any:
    """Give the workspace edit of an action; None when it has none, or an empty one."""
    edit = action.get("edit")
    if isinstance(edit, dict) and not edit.get("changes") and not edit.get("documentChanges"):
        return None
    return edit


def command_of(action: dict[str, Any]) -> dict[str, Any] | None:
    """Give the command of an action, or the one that stands in place of an action.

    Raises:
        ValueError: it is malformed.
    """
    command = action.get("command")
    if command is None:
        return None
    given = action if isinstance(command, str) else command
    arguments = given.get("arguments", []) if isinstance(given, dict) else None
    if not isinstance(given, dict) or not isinstance(given.get("command"), str) or not isinstance(arguments, list):
        raise ValueError("a command without a name")
    return {"command": given["command"], "arguments": arguments}


def _shown(item: dict[str, Any], ident: str, kind: str | None, server: str) -> CodeAction:
    disabled = item.get("disabled")
    reason = disabled.get("reason") if isinstance(disabled, dict) else None
    diagnostics = item.get("diagnostics")
    fixes = [
        clean(one["message"][:_MAX_TITLE])
        for one in (diagnostics if isinstance(diagnostics, list) else [])[:_MAX_FIXES]
        if isinstance(one, dict) and isinstance(one.get("message"), str)
    ]
    return CodeAction(
        id=ident,
        title=clean(item["title"][:_MAX_TITLE]),
        kind=None if kind is None else clean(kind[:_MAX_TITLE]),
        server=server,
        preferred=True if item.get("isPreferred") is True else None,
        disabled=clean(str(reason)[:_MAX_TITLE]) if disabled is not None else None,
        fixes=fixes or None,
    )
