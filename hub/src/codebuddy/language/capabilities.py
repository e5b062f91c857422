"""What a server announced that it can do, at its start or by registering it later."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from codebuddy.language.config import Feature

__all__ = ["CAPABILITY", "FEATURE", "Capabilities"]

_NO: Final = (None, False)  # what a capability that is not there looks like; an empty object is a yes
_MAX_REGISTERED: Final = 500

_METHODS: Final[tuple[tuple[str, str, Feature], ...]] = (
    ("textDocument/definition", "definitionProvider", "navigation"),
    ("textDocument/references", "referencesProvider", "navigation"),
    ("textDocument/implementation", "implementationProvider", "navigation"),
    ("textDocument/documentSymbol", "documentSymbolProvider", "navigation"),
    ("textDocument/prepareCallHierarchy", "callHierarchyProvider", "navigation"),
    ("textDocument/prepareTypeHierarchy", "typeHierarchyProvider", "navigation"),
    ("workspace/symbol", "workspaceSymbolProvider", "navigation"),
    ("textDocument/hover", "hoverProvider", "hover"),
    ("textDocument/completion", "completionProvider", "completion"),
    ("textDocument/signatureHelp", "signatureHelpProvider", "completion"),
    ("textDocument/diagnostic", "diagnosticProvider", "diagnostics"),
    ("textDocument/rename", "renameProvider", "rename"),
    ("textDocument/formatting", "documentFormattingProvider", "format"),
    ("textDocument/rangeFormatting", "documentRangeFormattingProvider", "format"),
    ("textDocument/codeAction", "codeActionProvider", "actions"),
)

CAPABILITY: Final[Mapping[str, str]] = MappingProxyType({method: name for method, name, _ in _METHODS})
"""The server capability (LSP 3.17, "ServerCapabilities") that a request needs."""

FEATURE: Final[Mapping[str, Feature]] = MappingProxyType({method: feature for method, _, feature in _METHODS})
"""What a server must be declared for to be sent a request."""


class Capabilities:
    """The capabilities of one session.

    Args:
        announced: those in the answer to ``initialize``, as the protocol writes them.
    """

    def __init__(self, announced: Mapping[str, Any]) -> None:
        self.announced = announced
        self._registered: dict[str, tuple[str, Mapping[str, Any]]] = {}

    def covers(self, method: str) -> bool:
        """Say whether the server can be sent a request of `CAPABILITY`."""
        if self.announced.get(CAPABILITY[method]) not in _NO:
            return True
        return any(name == method for name, _ in self._registered.values())

    def options(self, method: str) -> Mapping[str, Any]:
        """Give what it said of a request; empty when it said nothing but that it can."""
        announced = self.announced.get(CAPABILITY[method])
        if isinstance(announced, dict):
            return announced
        return next((options for name, options in self._registered.values() if name == method), {})

    def runs(self, command: str) -> bool:
        """Say whether it announced a command."""
        provider = self.announced.get("executeCommandProvider")
        commands = provider.get("commands") if isinstance(provider, dict) else None
        return isinstance(commands, list) and command in commands

    def register(self, params: Any) -> None:
        """Take ``client/registerCapability``."""
        for item in _items(params, "registrations"):
            ident, method, options = item.get("id"), item.get("method"), item.get("registerOptions")
            if isinstance(ident, str) and isinstance(method, str) and len(self._registered) < _MAX_REGISTERED:
                self._registered[ident[:200]] = method[:200], options if isinstance(options, dict) else {}

    def unregister(self, params: Any) -> None:
        """Take ``client/unregisterCapability``."""
        for item in _items(params, "unregisterations"):  # spelt so in the protocol
            if isinstance(ident := item.get("id"), str):
                self._registered.pop(ident[:200], None)


def _items(params: Any, key: str) -> list[dict[str, Any]]:
    items = params.get(key) if isinstance(params, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
