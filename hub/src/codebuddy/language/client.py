"""Our side of the protocol: what we say that we can do, and how we answer what a server asks."""

from __future__ import annotations

import os
from typing import Any, Final

from codebuddy import __version__
from codebuddy.language.config import ServerConfig
from codebuddy.language.positions import OFFERED_ENCODINGS
from codebuddy.language.session import MethodNotFound
from codebuddy.language.tree import Tree, uri_of

__all__ = ["answer_server", "initialize_params"]

_FORMATS: Final = ["markdown", "plaintext"]
_SYMBOL_KINDS: Final = {"valueSet": list(range(1, 27))}
_ACTION_KINDS: Final = [
    "",
    "quickfix",
    "refactor",
    "refactor.extract",
    "refactor.inline",
    "refactor.rewrite",
    "source",
    "source.organizeImports",
    "source.fixAll",
]


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
            "applyEdit": True,  # it is taken down while a command runs; see Connection.capture
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
            # Registered watchers are taken and not looked at: every change is told. A server that cannot register
            # would watch by itself and learn of a change in its own time, perhaps after the next question.
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
        # Dynamic: basedpyright offers it so only, and publishes nothing but a first glance for a version in its place.
        "diagnostic": {"dynamicRegistration": True, "relatedDocumentSupport": False},
    }


def answer_server(config: ServerConfig, tree: Tree, method: str, params: Any) -> Any:
    """Give the result of a request that the server makes. Each is answered: some servers wait for it for ever.

    Raises:
        MethodNotFound: a request that is not in the protocol, or that we did not say we support.
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
    """Give the settings of one asked section; ``{}`` when there are none, for null stops some servers."""
    section = item.get("section") if isinstance(item, dict) else None
    if not isinstance(section, str) or not section:
        return config.settings
    # rust-analyzer takes the same options at start and from its section, and an empty section would undo the first.
    if section == config.name and section not in config.settings:
        return config.initialization_options
    found: Any = config.settings
    for part in section.split("."):
        if not isinstance(found, dict) or part not in found:
            return config.settings.get(section, {})
        found = found[part]
    return found
