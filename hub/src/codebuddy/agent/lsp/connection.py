"""The connection to one process of a language server: its session, and all that is known of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from codebuddy.agent.lsp.config import ServerConfig
from codebuddy.agent.lsp.documents import Document, Documents, Searches, Showing
from codebuddy.agent.lsp.positions import Encoding, agreed_encoding
from codebuddy.agent.lsp.protocol import Capabilities, Capture, answer_server, initialize_params
from codebuddy.agent.lsp.readiness import Changes, Readiness, remaining
from codebuddy.agent.lsp.transport import RequestTimedOut, ServerError, Session, SessionClosed
from codebuddy.agent.lsp.tree import Tree, uri_of

_FOR_EVER: Final = 1e9


class Turns:
    """Any number of questions, or one that is alone. Who wants to be alone is next: later questions wait for it.

    Everyone waits until cancelled; put a time-out around it.
    """

    def __init__(self) -> None:
        self._together = 0
        self._alone = False
        self._want_alone = 0
        self._changes = Changes()

    def begin(self) -> bool:
        """Go on with others of the same kind, unless one is alone or wants to be; say so. `end` must follow."""
        if self._alone or self._want_alone:
            return False
        self._together += 1
        return True

    async def join(self) -> None:
        """Go on with others of the same kind as soon as nobody is alone; `end` must follow."""
        while not self.begin():
            await self._changes.wait(_FOR_EVER)

    def end(self) -> None:
        """Give way to who wants to be alone."""
        self._together -= 1
        self._changes.tell()

    @asynccontextmanager
    async def aside(self) -> AsyncIterator[None]:
        """Step out, between `begin` and `end`, for a wait that may be long, and come back after it."""
        self.end()
        try:
            yield
            await self.join()
        except BaseException:
            self._together += 1  # at once: it asks nothing more, and `end` takes it off again
            raise

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Go on when all others have ended or stepped aside; nobody begins meanwhile."""
        self._want_alone += 1
        try:
            while self._together or self._alone:
                await self._changes.wait(_FOR_EVER)
            self._alone = True
        finally:
            self._want_alone -= 1
            self._changes.tell()
        try:
            yield
        finally:
            self._alone = False
            self._changes.tell()


_MAX_FILES: Final = 2000
_MAX_ITEMS: Final = 2000
_MAX_ITEMS_OF_ALL: Final = 50_000


@dataclass(frozen=True)
class _Entry:
    version: int | None
    said: bool
    items: list[Any]
    cut: bool


class Published:
    """The last diagnostics of each file; the least recently told are forgotten."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Path, _Entry] = OrderedDict()
        self._items = 0
        self._changes = Changes()
        self._closed = False

    def take(self, path: Path, version: int | None, items: list[Any], said: bool) -> None:
        """Keep what was published.

        Args:
            path: the file.
            version: the version of the document that it is for.
            items: the diagnostics as the protocol writes them.
            said: whether the version was in the message; servers may leave it out. It is then the one that the server
                had been sent when the message came, None when the document was not open.
        """
        if (before := self._entries.pop(path, None)) is not None:
            self._items -= len(before.items)
        entry = self._entries[path] = _Entry(version, said, items[:_MAX_ITEMS], len(items) > _MAX_ITEMS)
        self._items += len(entry.items)
        while len(self._entries) > _MAX_FILES or self._items > _MAX_ITEMS_OF_ALL:
            self._items -= len(self._entries.popitem(last=False)[1].items)
        self._changes.tell()

    def is_cut(self, document: Document) -> bool:
        """Say whether there were more diagnostics of a file than are kept."""
        entry = self._entries.get(document.path)
        return entry is not None and entry.cut

    def of(self, document: Document) -> list[Any] | None:
        """Give what was computed for the text that the document has now; None when nothing was yet."""
        entry = self._entries.get(document.path)
        return entry.items if entry is not None and document.has_text_of(entry.version) else None

    def besides(self, document: Document) -> list[Any]:
        """Give what a server that is asked for its diagnostics published in addition, e.g. from a compiler run."""
        entry = self._entries.get(document.path)
        if entry is None or (entry.said and not document.has_text_of(entry.version)):
            return []
        return entry.items

    async def wait(
        self,
        document: Document,
        deadline: float,
        needless: Callable[[], bool] = lambda: False,
        enough: Callable[[list[Any]], bool] = lambda items: True,
    ) -> list[Any] | None:
        """Wait for what is computed for the document's text; None when it did not come in time or the server is gone.

        When the text changes meanwhile, it is that of the new text.

        Args:
            document: the document.
            deadline: until when, in the running loop's time.
            needless: looked at whenever `wake` is called: whether there is nothing to wait for any more.
            enough: whether what was published is all of it, from a server that publishes in parts.
        """
        while (items := self.of(document)) is None or not enough(items):
            if self._closed or needless() or not await self._changes.wait(remaining(deadline)):
                return None
        return items

    def wake(self) -> None:
        """Have all who wait look whether that has become needless."""
        self._changes.tell()

    def close(self) -> None:
        """Note that the server is gone: nobody needs to wait any more."""
        self._closed = True
        self._changes.tell()


_RUN: Final = "flycheck"
# Not Indexing, which comes after the project is loaded, and beside the run.
_LOADS: Final = tuple(f"rustAnalyzer/{step}" for step in ("Fetching", "Roots Scanned", "Building", "Loading"))
_MAX_TOKENS: Final = 50

# A run that is asked for ends the one before and begins 50 ms later (flycheck.rs), on a machine that is not busy.
_LINGER: Final = 0.3

# So long a run that begins by itself is waited for before another is asked for.
_BEGINNING: Final = 5.0


class Checks:
    """The runs of one session.

    Args:
        config: the server; only one with ``ready: server_status`` has such runs, unless ``checkOnSave`` is off.
    """

    def __init__(self, config: ServerConfig) -> None:
        options = config.settings.get(config.name) or config.initialization_options
        on = options.get("checkOnSave", True) if isinstance(options, dict) else True
        self.used = config.ready == "server_status" and on is not False
        self._changes = Changes()
        self._running: set[str | int] = set()
        self._begun = 0
        self._awaited = 1  # the one that comes by itself when the project is loaded
        self._stale = False
        self._saved = 0
        self._doubts = self._settled = 0
        self._closed = False

    def files_changed(self) -> None:
        """Note that what the last run found may no longer hold."""
        self._stale = True

    @property
    def stale(self) -> bool:
        """Whether a new run must be asked for."""
        return self._stale

    async def begun(self, deadline: float) -> None:
        """Wait until the awaited run has begun: only then a new one, which ends it, can be told from it."""
        until = min(deadline, asyncio.get_running_loop().time() + _BEGINNING)
        while self._begun < self._awaited and not self._closed and await self._changes.wait(remaining(until)):
            pass

    def take_stale(self) -> bool:
        """Say whether a new run must be asked for, by a ``didSave`` that the caller sends now."""
        stale, self._stale = self._stale, False
        if stale:
            self._awaited = self._saved = self._begun + 1
            self._changes.tell()
        return stale

    def progressed(self, token: str | int, value: dict[str, Any]) -> None:
        """Take a ``$/progress`` notification."""
        name, kind = str(token), value.get("kind")
        if _RUN not in name:
            if kind == "end" and name.startswith(_LOADS):
                # Was another under way, it may yet be seen to begin, or to end, and not be the one.
                self._doubts += bool(self._running) or self._begun < self._saved
                self._awaited = self._begun + 1
                self._changes.tell()
            return
        if kind == "begin" and len(self._running) < _MAX_TOKENS:
            self._begun += 1
            self._running.add(token)
        elif kind == "end":
            self._running.discard(token)
        self._changes.tell()

    async def wait(self, deadline: float) -> bool:
        """Wait until the awaited run has ended; say whether it has."""
        while (under_way := self._running or self._begun < self._awaited) or self._settled < self._doubts:
            left, doubts = remaining(deadline), self._doubts
            if self._closed or left == 0:
                return False
            waited = left if under_way else min(_LINGER, left)
            if not await self._changes.wait(waited) and not under_way and waited == _LINGER:
                self._settled = doubts  # there was no other
        return True

    def close(self) -> None:
        """Note that the server is gone: nobody needs to wait any more."""
        self._closed = True
        self._changes.tell()


_MAX_URI: Final = 8192
_NO: Final = (None, False)  # what a capability that is not there looks like; an empty object is a yes


class Connection:
    """Everything that lives and dies with one process.

    Args:
        config: the server.
        tree: the project.
        readiness: told of progress and status.
        reader: the process's output.
        writer: the process's input.
    """

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
        self.session = Session(reader, writer, self._answer, self._notice)
        self.documents = Documents(tree, config.language_of, self.session.notify)
        self._searches = Searches(config.name, readiness.tells, tree, self.session, self.documents)
        self.showing = Showing(
            config.refresh,
            self.documents,
            lambda path: config.language_of(tree.relative(path)) is not None,
            self.session.flush,
            self._searches,
        )
        self.published = Published()
        #: Every question goes on together with others; what a question must not see, alone.
        self.turns = Turns()
        self.checks = Checks(config)
        #: The version of each document up to which the server is known to have read it.
        self.read: dict[Path, int] = {}
        self.encoding: Encoding = "utf-16"
        self.capabilities = Capabilities({})
        self._commands = asyncio.Lock()
        self._captured: Capture | None = None
        #: Why the process ended or was ended, as soon as that is known.
        self.end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        #: What the server calls itself, if it says it.
        self.server_name: str | None = None

    async def run(self) -> str:
        """Read what the server says until it ends; give the reason.

        Whoever waits for the server hears of its end after it is known to be dead, so that asking again waits for the
        next one.
        """
        try:
            return await self.session.run()
        finally:
            self.readiness.lost()
            self.published.close()
            self.checks.close()
            self._searches.close()

    async def initialize(self, seconds: float) -> None:
        """Do the handshake.

        Raises:
            RequestTimedOut, ServerError, SessionClosed: it did not succeed.
        """
        result = await self.session.request("initialize", initialize_params(self._config, self._tree), seconds)
        capabilities = result.get("capabilities") if isinstance(result, dict) else None
        announced = capabilities if isinstance(capabilities, dict) else {}
        self.capabilities.announced = announced
        info = result.get("serverInfo") if isinstance(result, dict) else None
        name = info.get("name") if isinstance(info, dict) else None
        self.server_name = name if isinstance(name, str) else None
        self.encoding = agreed_encoding(announced.get("positionEncoding"), name)
        self.session.notify("initialized", {})
        # Also with nothing in it: servers of the pyright family wait for it before they answer anything.
        self.session.notify("workspace/didChangeConfiguration", {"settings": self._config.settings})
        await self.session.flush()

    def tell(self, changes: Mapping[Path, int]) -> None:
        """Tell the server of changed files; open documents are brought up to date.

        What it is to be shown of them besides waits until ``showing.catch_up`` is called, at the latest before a
        question.

        Args:
            changes: kind of change (LSP's FileChangeType) by file.

        Raises:
            SessionClosed: the server is gone.
        """
        self.documents.tell_changed([(uri_of(path), kind) for path, kind in changes.items()])
        self.documents.sync_all()
        self.checks.files_changed()
        self.showing.note(changes)

    @contextlib.asynccontextmanager
    async def overlay(self, path: Path, text: str, seconds: float) -> AsyncIterator[Document]:
        """Let the server see a text that is not on the disk, e.g. to have it formatted before it is written.

        No question is asked meanwhile: those that were asked before are waited for, and later ones wait. At the end,
        however it comes, the server has the text of the disk again.

        Args:
            path: the file; it need not exist.
            text: the text, without byte-order mark.
            seconds: how long to wait for the questions that were asked before.

        Raises:
            RequestTimedOut: these took longer.
            SessionClosed: the server is gone.
            ToolError: the file that is on the disk cannot be read.
            ValueError: the server does not serve the file.
        """
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(seconds):
                    await stack.enter_async_context(self.turns.alone())
            except TimeoutError:
                raise RequestTimedOut(f"no end of the questions before this one within {seconds:.1f} s") from None
            self.session.require_open()
            with self.documents.overlay(path, text) as document:
                yield document

    @contextlib.asynccontextmanager
    async def capture(self) -> AsyncIterator[Capture]:
        """Take down what the server asks to be changed, in place of refusing it; for one command at a time."""
        async with self._commands:
            self._captured = Capture()
            try:
                yield self._captured
            finally:
                self._captured = None

    async def probe(self, seconds: float) -> None:
        """See whether the server still answers: a request ``$/…`` that it does not know must get an error (LSP 3.17).

        Raises:
            RequestTimedOut, SessionClosed: it does not.
        """
        with contextlib.suppress(ServerError):
            await self.session.request("$/codebuddy/probe", None, seconds)

    async def shutdown(self, seconds: float) -> None:
        """Ask the server to end by itself; never fails."""
        with contextlib.suppress(RequestTimedOut, ServerError, SessionClosed):
            await self.session.request("shutdown", None, seconds)
            self.session.notify("exit", None)
            await self.session.flush()

    @property
    def pulls_diagnostics(self) -> bool:
        """Whether the server is asked for diagnostics, and does not only publish them."""
        return self.capabilities.covers("textDocument/diagnostic")

    @property
    def renames(self) -> bool:
        """Whether the server can be asked for a rename."""
        return self.capabilities.covers("textDocument/rename")

    @property
    def prepares_renames(self) -> bool:
        """Whether the server can be asked if a place can be renamed."""
        return self.capabilities.options("textDocument/rename").get("prepareProvider") is True

    @property
    def wants_saves(self) -> bool:
        """Whether the server wants to know that a document was saved."""
        sync = self.capabilities.announced.get("textDocumentSync")
        return isinstance(sync, dict) and sync.get("save") not in _NO

    def _answer(self, method: str, params: Any) -> Any:
        if method == "client/registerCapability":
            self.capabilities.register(params)
            self.published.wake()
        elif method == "client/unregisterCapability":
            self.capabilities.unregister(params)
        elif self._captured is not None and (result := self._captured.take(method, params)) is not None:
            return result
        return answer_server(self._config, self._tree, method, params)

    def _notice(self, method: str, params: Any) -> None:
        if not isinstance(params, dict):
            return
        if method == "$/progress":
            token, value = params.get("token"), params.get("value")
            if isinstance(token, (str, int)) and isinstance(value, dict):
                self.readiness.progressed(token, value)
                self.checks.progressed(token, value)
        elif method == "experimental/serverStatus":
            self.readiness.server_status(params)
        elif method in ("window/logMessage", "window/showMessage"):
            if isinstance(text := params.get("message"), str):
                self.readiness.logged(text)
                self._searches.logged(text)
        elif method == "textDocument/publishDiagnostics":
            self._take_diagnostics(params)

    def _take_diagnostics(self, params: dict[str, Any]) -> None:
        uri, items = params.get("uri"), params.get("diagnostics")
        if not isinstance(uri, str) or len(uri) > _MAX_URI or not isinstance(items, list):
            return
        path, said = self._tree.path_of(uri), params.get("version")
        if path is None:
            return
        version = said if isinstance(said, int) else self.documents.version_of(path)
        document = self.documents.overlaid_by(path, version)
        if document is None:
            self.published.take(path, version, items, said=isinstance(said, int))
        elif self.checks.used:
            # What a compiler run found is found in the file on the disk, whatever version the server has of it.
            self.published.take(path, document.since, items, said=isinstance(said, int))
