"""What is said in LSP: the handshake, announced capabilities, the server's own requests, and the edits it asks for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from codebuddy import __version__
from codebuddy.agent.lsp.config import ServerConfig
from codebuddy.agent.lsp.positions import OFFERED_ENCODINGS
from codebuddy.agent.lsp.transport import MethodNotFound
from codebuddy.agent.lsp.tree import Tree, uri_of
from codebuddy.schemas.server_description import Feature

NOT_ANNOUNCED: Final = (None, False)  # values of an absent capability; an empty object means that it is present
_MAX_REGISTERED: Final = 500
_MAX_ID: Final = 200  # characters of a registration's id or method
_MAX_EDITS: Final = 100
_MAX_TEXT: Final = 500

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
"""The feature that a server must be declared for before a request is sent to it."""


class Capabilities:
    """What a server announced in its answer to ``initialize``, and what it registered later."""

    def __init__(self, announced: Mapping[str, Any]) -> None:
        self.announced = announced
        self._registered: dict[str, tuple[str, Mapping[str, Any]]] = {}

    def covers(self, method: str) -> bool:
        """Say whether the server supports a request of `CAPABILITY`."""
        if self.announced.get(CAPABILITY[method]) not in NOT_ANNOUNCED:
            return True
        return any(name == method for name, _ in self._registered.values())

    def options(self, method: str) -> Mapping[str, Any]:
        """Give the announced options of a request; empty when there are none."""
        announced = self.announced.get(CAPABILITY[method])
        if isinstance(announced, dict):
            return announced
        return next((options for name, options in self._registered.values() if name == method), {})

    def runs(self, command: str) -> bool:
        """Say whether the server announced a command."""
        commands = mapping_at(self.announced, "executeCommandProvider").get("commands")
        return isinstance(commands, list) and command in commands

    def register(self, params: Any) -> None:
        """Handle ``client/registerCapability``."""
        for item in _items(params, "registrations"):
            ident, method, options = item.get("id"), item.get("method"), item.get("registerOptions")
            if isinstance(ident, str) and isinstance(method, str) and len(self._registered) < _MAX_REGISTERED:
                self._registered[ident[:_MAX_ID]] = method[:_MAX_ID], options if isinstance(options, dict) else {}

    def unregister(self, params: Any) -> None:
        """Handle ``client/unregisterCapability``."""
        for item in _items(params, "unregisterations"):  # spelt so in the protocol
            if isinstance(ident := item.get("id"), str):
                self._registered.pop(ident[:_MAX_ID], None)


def mapping_at(value: Any, key: str) -> dict[str, Any]:
    """Give the mapping at a key of a mapping; an empty one if either is none."""
    found = value.get(key) if isinstance(value, Mapping) else None
    return found if isinstance(found, dict) else {}


def _items(params: Any, key: str) -> list[dict[str, Any]]:
    items = params.get(key) if isinstance(params, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


_FORMATS: Final = ["markdown", "plaintext"]
_SYMBOL_KINDS: Final = {"valueSet": list(range(1, 27))}
_ACTION_KINDS: Final = [
    "", "quickfix", "refactor", "refactor.extract", "refactor.inline", "refactor.rewrite",
    "source", "source.organizeImports", "source.fixAll",
]  # fmt: skip


def initialize_params(config: ServerConfig, tree: Tree) -> dict[str, Any]:
    """Give the parameters of ``initialize``."""
    uri = uri_of(tree.root)
    return {
        "processId": os.getpid(),  # the server runs in our PID namespace; one that watches a foreign pid would exit
        "clientInfo": {"name": "codebuddy", "version": __version__},
        "rootPath": str(tree.root),
        "rootUri": uri,
        "workspaceFolders": [{"uri": uri, "name": tree.project}],
        "initializationOptions": config.initialization_options,
        "capabilities": _capabilities(),
    }


def _capabilities() -> dict[str, Any]:
    return {
        "general": {"positionEncodings": list(OFFERED_ENCODINGS)},
        "window": {"workDoneProgress": True},
        "workspace": {
            "applyEdit": True,  # recorded while a command runs, see Connection.capture; otherwise refused
            "executeCommand": {},
            "workspaceEdit": {
                "documentChanges": True,
                "resourceOperations": ["create", "rename", "delete"],
                "failureHandling": "transactional",
                "normalizesLineEndings": True,
            },
            "configuration": True,
            "workspaceFolders": True,
            "didChangeConfiguration": {"dynamicRegistration": False},
            # Registered watchers are accepted and ignored: every change is announced. A server that cannot register
            # would watch files itself and could notice a change only after the next question.
            "didChangeWatchedFiles": {"dynamicRegistration": True, "relativePatternSupport": True},
            "symbol": {"symbolKind": _SYMBOL_KINDS, "resolveSupport": {"properties": ["location.range"]}},
        },
        "textDocument": _document_capabilities(),
        "experimental": {"serverStatusNotification": True},
    }


def _document_capabilities() -> dict[str, Any]:
    return {
        "synchronization": {"didSave": True},
        "definition": {"linkSupport": True},
        "typeDefinition": {"linkSupport": True},
        "implementation": {"linkSupport": True},
        "references": {},
        "callHierarchy": {},
        "typeHierarchy": {},
        "documentSymbol": {"hierarchicalDocumentSymbolSupport": True, "symbolKind": _SYMBOL_KINDS},
        "hover": {"contentFormat": _FORMATS},
        "completion": {
            "completionItem": {
                "snippetSupport": False,
                "documentationFormat": _FORMATS,
                "resolveSupport": {"properties": ["documentation", "detail"]},
            },
            "completionItemKind": {"valueSet": list(range(1, 26))},
            "contextSupport": True,
        },
        "signatureHelp": {
            "signatureInformation": {
                "documentationFormat": _FORMATS,
                "parameterInformation": {"labelOffsetSupport": True},
                "activeParameterSupport": True,
            }
        },
        "formatting": {},
        "rangeFormatting": {},
        "codeAction": {
            "codeActionLiteralSupport": {"codeActionKind": {"valueSet": _ACTION_KINDS}},
            "isPreferredSupport": True,
            "disabledSupport": True,
            "dataSupport": True,
            "resolveSupport": {"properties": ["edit"]},
        },
        "rename": {"prepareSupport": True, "prepareSupportDefaultBehavior": 1},
        "publishDiagnostics": {"versionSupport": True},
        # Dynamic: basedpyright offers it only so, and otherwise publishes only a first, partial result for a version.
        "diagnostic": {"dynamicRegistration": True, "relatedDocumentSupport": False},
    }


def answer_server(config: ServerConfig, tree: Tree, method: str, params: Any) -> Any:
    """Give the result of a server's request, since some servers wait for it forever.

    Raises MethodNotFound if the protocol has no such request, or the client did not announce it.
    """
    if method == "workspace/configuration":
        items = params.get("items") if isinstance(params, dict) else None
        return [_settings(config, item) for item in items] if isinstance(items, list) else []
    if method == "workspace/applyEdit":
        return {"applied": False, "failureReason": "Edits are made by the tools of CodeBuddy, not by the server."}
    if method == "workspace/workspaceFolders":
        return [{"uri": uri_of(tree.root), "name": tree.project}]
    if method == "window/showDocument":
        return {"success": False}
    accepted = ("client/registerCapability", "client/unregisterCapability", "window/workDoneProgress/create")
    if method in accepted or method == "window/showMessageRequest":
        return None
    if method.startswith(("workspace/", "textDocument/")) and method.endswith("/refresh"):
        return None
    raise MethodNotFound(method)


def _settings(config: ServerConfig, item: Any) -> Any:
    """Give the settings of a requested section; ``{}`` when there are none, since null stops some servers."""
    section = item.get("section") if isinstance(item, dict) else None
    if not isinstance(section, str) or not section:
        return config.settings
    # rust-analyzer reads the same options at start and from its section; an empty section would undo the former.
    if section == config.name and section not in config.settings:
        return config.initialization_options
    found: Any = config.settings
    for part in section.split("."):
        if not isinstance(found, dict) or part not in found:
            return config.settings.get(section, {})
        found = found[part]
    return found


class CapturedEdits:
    """What a server asks the client for while it runs one command."""

    def __init__(self) -> None:
        self.edits: list[Any] = []
        #: Messages for the user that want an answer.
        self.questions: list[str] = []
        #: URIs of documents that the server would have opened.
        self.pages: list[str] = []

    def take(self, method: str, params: Any) -> dict[str, Any] | None:
        """Record a server's request; give its result, or None if `answer_server` gives it."""
        given = params if isinstance(params, dict) else {}
        if method == "workspace/applyEdit":
            if len(self.edits) >= _MAX_EDITS:
                return {"applied": False, "failureReason": "These are too many edits for one command."}
            self.edits.append(given.get("edit"))
            return {"applied": True}
        if method == "window/showMessageRequest":
            self.questions.append(str(given.get("message"))[:_MAX_TEXT])
        if method == "window/showDocument":
            self.pages.append(str(given.get("uri"))[:_MAX_TEXT])
        return None
