"""The connection to one process of a language server: its session and all state that ends with the process."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from codebuddy import __version__
from codebuddy.agent.lsp.config import ServerConfig
from codebuddy.agent.lsp.documents import Document, Documents, Refresher, SearchBarrier
from codebuddy.agent.lsp.positions import OFFERED_ENCODINGS, Encoding, agreed_encoding
from codebuddy.agent.lsp.readiness import Condition, Readiness, remaining
from codebuddy.agent.lsp.transport import MethodNotFound, RequestTimedOut, ServerError, Session, SessionClosed
from codebuddy.agent.lsp.tree import Tree, uri_of
from codebuddy.files.search import compile_glob
from codebuddy.schemas.server_description import Feature
from codebuddy.tool import ToolError

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
    ("workspace/willRenameFiles", "workspace.fileOperations.willRename", "rename"),
)

CAPABILITY: Final[Mapping[str, str]] = MappingProxyType({method: name for method, name, _ in _METHODS})
"""The server capability (LSP 3.17, "ServerCapabilities") that a request needs."""

FEATURE: Final[Mapping[str, Feature]] = MappingProxyType({method: feature for method, _, feature in _METHODS})
"""The feature that a server must be declared for before a request is sent to it."""

# Of what the client announces.
_FORMATS: Final = ["markdown", "plaintext"]
_SYMBOL_KINDS: Final = {"valueSet": list(range(1, 27))}
_ACTION_KINDS: Final = [
    "", "quickfix", "refactor", "refactor.extract", "refactor.inline", "refactor.rewrite",
    "source", "source.organizeImports", "source.fixAll",
]  # fmt: skip

# Of the published diagnostics.
_MAX_URI: Final = 8192
_MAX_FILES: Final = 2000
_MAX_ITEMS: Final = 50_000
_MAX_ITEMS_OF_FILE: Final = 2000

# Of the compiler runs of rust-analyzer.
_RUN: Final = "flycheck"
# Not Indexing, which comes after the project is loaded, and at the same time as the run.
_LOADS: Final = tuple(f"rustAnalyzer/{step}" for step in ("Fetching", "Roots Scanned", "Building", "Loading"))
_MAX_TOKENS: Final = 50

# A requested run cancels the one before and begins 50 ms later (flycheck.rs) on a machine that is not busy.
_LINGER: Final = 0.3

# How long to wait for an automatic run to begin before another is requested.
_BEGINNING: Final = 5.0


class Capabilities:
    """What a server announced in its answer to ``initialize``, and what it registered later."""

    def __init__(self, announced: Mapping[str, Any]) -> None:
        self.announced = announced
        self._registered: dict[str, tuple[str, Mapping[str, Any]]] = {}

    def covers(self, method: str) -> bool:
        """Say whether the server supports a request of `CAPABILITY`."""
        if self._announced(method) not in NOT_ANNOUNCED:
            return True
        return any(name == method for name, _ in self._registered.values())

    def options(self, method: str) -> Mapping[str, Any]:
        """Return the announced options of a request; empty when there are none."""
        announced = self._announced(method)
        if isinstance(announced, dict):
            return announced
        return next((options for name, options in self._registered.values() if name == method), {})

    def _announced(self, method: str) -> Any:
        found: Any = self.announced
        for key in CAPABILITY[method].split("."):
            found = found.get(key) if isinstance(found, Mapping) else None
        return found

    def wants_move(self, path: str, *, is_directory: bool) -> bool:
        """Say whether the server wants to be asked about the move of a path (LSP 3.17, "FileOperationFilter").

        It need not serve such files: TypeScript's servers also update the imports of a JSON file.
        """
        filters = self.options("workspace/willRenameFiles").get("filters")
        return any(_fits(path, one, is_directory) for one in filters) if isinstance(filters, list) else False

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


def _fits(path: str, operation_filter: Any, is_directory: bool) -> bool:
    """Say whether a path fits a filter of file operations; one that makes no sense fits nothing."""
    pattern = mapping_at(operation_filter, "pattern")
    glob, scheme = pattern.get("glob"), operation_filter.get("scheme") if pattern else None
    if not isinstance(glob, str) or scheme not in (None, "file"):
        return False
    if pattern.get("matches") not in (None, "folder" if is_directory else "file"):
        return False
    if mapping_at(pattern, "options").get("ignoreCase") is True:
        glob, path = glob.lower(), path.lower()
    with contextlib.suppress(ToolError):
        return compile_glob(glob).matches("", path)
    return False


def mapping_at(value: Any, key: str) -> dict[str, Any]:
    """Return the mapping at a key of a mapping; an empty one if either is none."""
    found = value.get(key) if isinstance(value, Mapping) else None
    return found if isinstance(found, dict) else {}


def _items(params: Any, key: str) -> list[dict[str, Any]]:
    items = params.get(key) if isinstance(params, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def initialize_params(config: ServerConfig, tree: Tree) -> dict[str, Any]:
    """Return the parameters of ``initialize``."""
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
            "fileOperations": {"dynamicRegistration": True, "willRename": True},
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
    """Return the result of a server's request, since some servers wait for it forever.

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
    """Return the settings of a requested section; ``{}`` when there are none, since null stops some servers."""
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


class ReadWriteLock:
    """An async read-write lock that prefers writers: while one waits, no reader begins.

    Waits last until cancelled; put a timeout around them.
    """

    def __init__(self) -> None:
        self._readers = 0
        self._writing = False
        self._waiting_writers = 0
        self._condition = Condition()

    def try_acquire(self) -> bool:
        """Acquire the lock for reading unless a writer has it or waits for it; say whether that succeeded."""
        if self._writing or self._waiting_writers:
            return False
        self._readers += 1
        return True

    async def acquire(self) -> None:
        await self._condition.wait_for(self.try_acquire)

    def release(self) -> None:
        self._readers -= 1
        self._condition.notify_all()

    @asynccontextmanager
    async def released(self) -> AsyncIterator[None]:
        """Release the lock for a wait that may be long, between `try_acquire` and `release`; then acquire it again."""
        self.release()
        try:
            yield
            await self.acquire()
        except BaseException:
            self._readers += 1  # without waiting: the reader only calls `release` now
            raise

    @asynccontextmanager
    async def write(self) -> AsyncIterator[None]:
        """Hold the lock for writing: all readers have ended or stepped aside, and none begins."""
        self._waiting_writers += 1
        try:
            await self._condition.wait_for(lambda: not (self._readers or self._writing))
            self._writing = True
        finally:
            self._waiting_writers -= 1
            self._condition.notify_all()
        try:
            yield
        finally:
            self._writing = False
            self._condition.notify_all()


@dataclass(frozen=True)
class _Entry:
    version: int | None
    has_version: bool
    items: list[Any]
    cut: bool


class Published:
    """The last diagnostics that a server published for each file; the least recently updated files are dropped."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Path, _Entry] = OrderedDict()
        self._items = 0
        self._condition = Condition()
        self._closed = False

    def take(self, path: Path, version: int | None, items: list[Any], has_version: bool) -> None:
        """Keep the diagnostics of a version of a file.

        The version is optional in the message; without it, it is the one that had been sent when the message came,
        None if the document was not open.
        """
        if (before := self._entries.pop(path, None)) is not None:
            self._items -= len(before.items)
        cut = len(items) > _MAX_ITEMS_OF_FILE
        entry = self._entries[path] = _Entry(version, has_version, items[:_MAX_ITEMS_OF_FILE], cut)
        self._items += len(entry.items)
        while len(self._entries) > _MAX_FILES or self._items > _MAX_ITEMS:
            self._items -= len(self._entries.popitem(last=False)[1].items)
        self._condition.notify_all()

    def is_cut(self, document: Document) -> bool:
        """Say whether a file had more diagnostics than are kept."""
        entry = self._entries.get(document.path)
        return entry is not None and entry.cut

    def current(self, document: Document) -> list[Any] | None:
        """Return the diagnostics of the document's present text; None if there are none yet."""
        entry = self._entries.get(document.path)
        return entry.items if entry is not None and document.has_text_of(entry.version) else None

    def supplementary(self, document: Document) -> list[Any]:
        """Return what a server with pull diagnostics publishes in addition, e.g. from a compiler run."""
        entry = self._entries.get(document.path)
        if entry is None or (entry.has_version and not document.has_text_of(entry.version)):
            return []
        return entry.items

    async def wait(
        self,
        document: Document,
        deadline: float,
        needless: Callable[[], bool] = lambda: False,
        enough: Callable[[list[Any]], bool] = lambda items: True,
    ) -> list[Any] | None:
        """Wait for the diagnostics of the document's text, which may change meanwhile; None if they do not come.

        ``needless`` says that there is nothing to wait for any more, also when `wake` is called. ``enough`` says that
        the published diagnostics are complete, for a server that publishes in parts.
        """
        while (items := self.current(document)) is None or not enough(items):
            if self._closed or needless() or not await self._condition.wait(remaining(deadline)):
                return None
        return items

    def wake(self) -> None:
        """Have all waiters check whether they still need to wait."""
        self._condition.notify_all()

    def close(self) -> None:
        """End all waits: the server is gone."""
        self._closed = True
        self._condition.notify_all()


class Flycheck:
    """The compiler runs of rust-analyzer in one session, as its progress notifications show them.

    Only a server with ``ready: server_status`` has them, unless ``checkOnSave`` is off.
    """

    def __init__(self, config: ServerConfig) -> None:
        options = config.settings.get(config.name) or config.initialization_options
        on = options.get("checkOnSave", True) if isinstance(options, dict) else True
        self.used = config.ready == "server_status" and on is not False
        self._condition = Condition()
        self._running: set[str | int] = set()
        self._begun = 0
        self._awaited = 1  # the run that begins by itself when the project is loaded
        #: Whether files changed since the last run was requested, so that a new one must be.
        self.stale = False
        self._requested = 0
        # A load that ends while another run is or may be under way: which run is the last is then uncertain.
        self._uncertain = self._settled = 0
        self._closed = False

    def files_changed(self) -> None:
        self.stale = True

    async def begun(self, deadline: float) -> None:
        """Wait until the awaited run has begun: only then is it distinguishable from a new one, which cancels it."""
        until = min(deadline, asyncio.get_running_loop().time() + _BEGINNING)
        await self._condition.wait_for(lambda: self._closed or self._begun >= self._awaited, until)

    def take_stale(self) -> bool:
        """Say whether a new run must be requested; if so, the caller does that now with a ``didSave``."""
        stale, self.stale = self.stale, False
        if stale:
            self._awaited = self._requested = self._begun + 1
            self._condition.notify_all()
        return stale

    def progressed(self, token: str | int, value: dict[str, Any]) -> None:
        """Handle a ``$/progress`` notification."""
        name, kind = str(token), value.get("kind")
        if _RUN not in name:
            if kind == "end" and name.startswith(_LOADS):
                # If another run is under way, the next begin or end may be that one's.
                self._uncertain += bool(self._running) or self._begun < self._requested
                self._awaited = self._begun + 1
                self._condition.notify_all()
            return
        if kind == "begin" and len(self._running) < _MAX_TOKENS:
            self._begun += 1
            self._running.add(token)
        elif kind == "end":
            self._running.discard(token)
        self._condition.notify_all()

    async def wait(self, deadline: float) -> bool:
        """Wait until the awaited run has ended; say whether it has."""
        while (under_way := self._running or self._begun < self._awaited) or self._settled < self._uncertain:
            left, uncertain = remaining(deadline), self._uncertain
            if self._closed or left == 0:
                return False
            seconds = left if under_way else min(_LINGER, left)
            if not await self._condition.wait(seconds) and not under_way and seconds == _LINGER:
                self._settled = uncertain  # no other run began
        return True

    def close(self) -> None:
        """End all waits: the server is gone."""
        self._closed = True
        self._condition.notify_all()


class Connection:
    """Everything that lives and dies with one process; its output is ``reader``, its input ``writer``."""

    def __init__(
        self,
        config: ServerConfig,
        tree: Tree,
        readiness: Readiness,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._config = config
        self._tree = tree
        self.readiness = readiness
        self.session = Session(reader, writer, self._on_request, self._on_notification)
        self.documents = Documents(tree, config.language_of, self.session.notify)
        self._search_barrier = SearchBarrier(config.name, readiness.matches_log, self.session)
        self.refresher = Refresher(
            config.refresh, self.documents, self.session, self._search_barrier, self._send_settings
        )
        self.published = Published()
        #: Requests hold it for reading; an overlay, which no request may see, for writing.
        self.read_write_lock = ReadWriteLock()
        self.flycheck = Flycheck(config)
        #: The version of each document up to which the server is known to have read it.
        self.read_versions: dict[Path, int] = {}
        self.encoding: Encoding = "utf-16"
        self.capabilities = Capabilities({})
        self._commands = asyncio.Lock()
        self._captured: CapturedEdits | None = None
        #: Why the process ended or was ended, as soon as that is known.
        self.end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        #: What was looked up since a file changed; see `code.coverage`.
        self.memory: object = None
        #: The name in the server's ``serverInfo``.
        self.server_name: str | None = None

    async def run(self) -> str:
        """Read the server's messages until it ends; give the reason.

        Readiness is updated before the waits end, so that a caller who asks again waits for the next process.
        """
        try:
            return await self.session.run()
        finally:
            self.readiness.lost()
            self.published.close()
            self.flycheck.close()
            self._search_barrier.close()

    async def initialize(self, seconds: float) -> None:
        """Do the handshake; raise RequestTimedOut, ServerError or SessionClosed if it fails."""
        result = await self.session.request("initialize", initialize_params(self._config, self._tree), seconds)
        announced = self.capabilities.announced = mapping_at(result, "capabilities")
        name = mapping_at(result, "serverInfo").get("name")
        self.server_name = name if isinstance(name, str) else None
        self.encoding = agreed_encoding(announced.get("positionEncoding"), name)
        self.session.notify("initialized", {})
        # Even if empty: servers of the pyright family answer nothing before it.
        self._send_settings()
        await self.session.flush()

    def _send_settings(self) -> None:
        self.session.notify("workspace/didChangeConfiguration", {"settings": self._config.settings})

    async def probe(self, seconds: float) -> None:
        """Check that the server answers: an unknown request ``$/…`` must get an error (LSP 3.17).

        Raises RequestTimedOut or SessionClosed if it does not.
        """
        with contextlib.suppress(ServerError):
            await self.session.request("$/codebuddy/probe", None, seconds)

    async def shutdown(self, seconds: float) -> None:
        """Ask the server to end by itself; never fails."""
        with contextlib.suppress(RequestTimedOut, ServerError, SessionClosed):
            await self.session.request("shutdown", None, seconds)
            self.session.notify("exit", None)
            await self.session.flush()

    def files_changed(self, changes: Mapping[Path, int]) -> None:
        """Announce changed files (LSP's FileChangeType by file) and update open documents.

        Further texts that the server needs are sent by the refresher, at the latest before the next request.
        """
        self.documents.tell_changed([(uri_of(path), kind) for path, kind in changes.items()])
        self.documents.sync_all()
        self.flycheck.files_changed()
        self.refresher.note(changes)

    @asynccontextmanager
    async def overlay(self, path: Path, text: str, seconds: float) -> AsyncIterator[Document]:
        """Show the server a text that is not on disk, e.g. to format it before it is written; see `Documents.overlay`.

        No request sees it: later requests wait, and this waits at most ``seconds`` for earlier ones.

        Raises:
            RequestTimedOut: earlier requests took longer.
            SessionClosed: the server is gone.
            ToolError, ValueError: as in `Documents.overlay`.
        """
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(seconds):
                    await stack.enter_async_context(self.read_write_lock.write())
            except TimeoutError:
                raise RequestTimedOut(f"no end of the earlier requests within {seconds:.1f} s") from None
            self.session.require_open()
            with self.documents.overlay(path, text) as document:
                yield document

    @asynccontextmanager
    async def capture(self) -> AsyncIterator[CapturedEdits]:
        """Record the edits that the server asks for instead of refusing them, for one command at a time."""
        async with self._commands:
            self._captured = CapturedEdits()
            try:
                yield self._captured
            finally:
                self._captured = None

    @property
    def pulls_diagnostics(self) -> bool:
        """Whether diagnostics are requested from the server, in addition to those that it publishes."""
        return self.capabilities.covers("textDocument/diagnostic")

    @property
    def renames(self) -> bool:
        """Whether the server supports renames."""
        return self.capabilities.covers("textDocument/rename")

    @property
    def prepares_renames(self) -> bool:
        """Whether the server can say if a place can be renamed."""
        return self.capabilities.options("textDocument/rename").get("prepareProvider") is True

    @property
    def wants_saves(self) -> bool:
        """Whether the server wants to know that a document was saved."""
        return mapping_at(self.capabilities.announced, "textDocumentSync").get("save") not in NOT_ANNOUNCED

    def _on_request(self, method: str, params: Any) -> Any:
        if method == "client/registerCapability":
            self.capabilities.register(params)
            self.published.wake()
        elif method == "client/unregisterCapability":
            self.capabilities.unregister(params)
        elif self._captured is not None and (result := self._captured.take(method, params)) is not None:
            return result
        return answer_server(self._config, self._tree, method, params)

    def _on_notification(self, method: str, params: Any) -> None:
        if not isinstance(params, dict):
            return
        if method == "$/progress":
            token, value = params.get("token"), params.get("value")
            if isinstance(token, (str, int)) and isinstance(value, dict):
                self.readiness.progressed(token, value)
                self.flycheck.progressed(token, value)
        elif method == "experimental/serverStatus":
            self.readiness.server_status(params)
        elif method in ("window/logMessage", "window/showMessage"):
            if isinstance(text := params.get("message"), str):
                self.readiness.logged(text)
                self._search_barrier.logged(text)
        elif method == "textDocument/publishDiagnostics":
            self._take_diagnostics(params)

    def _take_diagnostics(self, params: dict[str, Any]) -> None:
        uri, items, version = params.get("uri"), params.get("diagnostics"), params.get("version")
        if not isinstance(uri, str) or len(uri) > _MAX_URI or not isinstance(items, list):
            return
        path, has_version = self._tree.path_of(uri), isinstance(version, int)
        if path is None:
            return
        if not has_version:
            version = self.documents.version_of(path)
        document = self.documents.overlaid_by(path, version)
        if document is None:
            self.published.take(path, version, items, has_version)
        elif self.flycheck.used:
            # A compiler reads the file on disk, whatever version the server has of it.
            self.published.take(path, document.since, items, has_version)
