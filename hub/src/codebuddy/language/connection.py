"""The connection to one process of a language server: its session, and all that is known of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

from codebuddy.language.capabilities import Capabilities
from codebuddy.language.capturing import Capture
from codebuddy.language.checks import Checks
from codebuddy.language.client import answer_server, initialize_params
from codebuddy.language.config import ServerConfig
from codebuddy.language.documents import Document, Documents
from codebuddy.language.positions import Encoding, agreed_encoding
from codebuddy.language.published import Published
from codebuddy.language.readiness import Readiness
from codebuddy.language.searches import Searches
from codebuddy.language.session import RequestTimedOut, ServerError, Session, SessionClosed
from codebuddy.language.showing import Showing
from codebuddy.language.tree import Tree, uri_of
from codebuddy.language.turns import Turns

__all__ = ["Connection"]

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
