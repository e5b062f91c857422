"""Open documents, equal to the files on disk; and which further files a server must read before it is asked."""

from __future__ import annotations

import asyncio
import contextlib
import glob
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from codebuddy.agent.lsp.positions import split_lines
from codebuddy.agent.lsp.readiness import Condition, remaining
from codebuddy.agent.lsp.transport import Session, SessionClosed
from codebuddy.agent.lsp.tree import Stamp, Tree, uri_of
from codebuddy.agent.lsp.watching import CHANGED, CREATED, DELETED
from codebuddy.files.text import content_hash
from codebuddy.schemas.server_description import Refresh
from codebuddy.tool import ToolError

_MAX_OPEN: Final = 128

# Two writes within one tick of the file system's clock leave the same stamp. A file that was read so soon after a write
# is compared by its text the next time.
_RECHECK_NS: Final = 100_000_000

# Up to so many changed files stay open, whatever ``refresh`` is declared.
_KEPT_OPEN: Final = 32
_FLUSH_BYTES: Final = 256 * 1024

_LONGEST_SEARCH: Final = 10.0


class StaleText(Exception):
    """An answer is not for the present text of a file, whose workspace path is ``path``."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


@dataclass
class Document:
    """One open document, as the server knows it."""

    path: Path
    uri: str
    version: int  # grows with every text that is sent
    text: str  # without byte order mark
    lines: list[str]
    digest: str  # of the bytes that the text was read from
    stamp: Stamp  # of the file when it was read
    recheck: bool  # whether the file was read so soon after it was written that the stamp may hide another write
    since: int  # the first version with this text
    overlays: set[int] = field(default_factory=set)  # later versions whose text was not that of the disk
    changes: int = 0  # of files, that were announced before this version

    def has_text_of(self, version: int | None) -> bool:
        """Say whether a version had the document's present text."""
        return version is not None and self.since <= version <= self.version and version not in self.overlays


class Documents:
    """The documents that are open in one session.

    A version grows before its text is sent, so that an answer that comes in between does not count as one for the new
    text. What reads a file raises ToolError if that fails; what opens one raises ValueError if it is not served.
    """

    def __init__(
        self, tree: Tree, language_of: Callable[[str], str | None], notify: Callable[[str, Any], None]
    ) -> None:
        self._tree = tree
        self._language_of = language_of
        self._notify = notify
        self._open: OrderedDict[Path, Document] = OrderedDict()
        self._overlay: Document | None = None
        self._version = 0
        self._changes = 0  # how often files were announced as changed

    def serves(self, path: Path) -> bool:
        """Say whether the server serves a file."""
        return self._language_of(self._tree.relative(path)) is not None

    def paths(self) -> list[Path]:
        """Return the open files, the least recently used first."""
        return list(self._open)

    def version_of(self, path: Path) -> int | None:
        """Return the version that the server has of a file; None if it is not open."""
        document = self._known(path)
        return document.version if document else None

    def overlaid_by(self, path: Path, version: int | None) -> Document | None:
        """Return the document of a version that is the text of an `overlay`; None for a text of the disk."""
        document = self._known(path)
        return document if document and version in document.overlays else None

    def texts(self) -> dict[Path, list[str]]:
        """Return the lines of every open document, as the server knows them."""
        return {path: document.lines for path, document in self._open.items()}

    def copies(self) -> dict[Path, Document]:
        """Return copies of all open documents, which later changes do not affect."""
        return {path: replace(document) for path, document in self._open.items()}

    def sync(self, path: Path) -> Document:
        """Open the file, or send its new text if it changed on disk; close it if it is gone or cannot be read.

        Raises:
            ToolError: it is gone or cannot be read, or has an overlay at the moment.
        """
        if self._overlay_of(path) is not None:
            raise ToolError("busy", "This file is being formatted; ask again.", self._tree.show(path))
        document = self._open.get(path)
        if document is None:
            return self._open_new(path)
        self._open.move_to_end(path)
        self._read_if_changed(document)
        return document

    def sync_all(self) -> bool:
        """Update every open document and close those whose file is gone; say whether any had changed."""
        before = self._version, len(self._open)
        for path, document in list(self._open.items()):
            if self._overlay_of(path) is None:  # an overlaid one is updated afterwards
                with contextlib.suppress(ToolError):  # it was closed, and the server was told
                    self._read_if_changed(document)
        return (self._version, len(self._open)) != before

    def send(self, path: Path, keep_open: bool) -> int:
        """Send a file's text, an empty one if it is gone; say about how many bytes were sent."""
        if self._overlay_of(path) is not None:
            return 0
        if keep_open or path in self._open:
            document = self._sync_existing(path)
            return 0 if document is None else len(document.text)
        try:
            text = self._tree.decode(path, self._tree.read(path)[0])
        except ToolError as error:
            if error.code != "not_found":
                raise
            text = ""
        with self._open_briefly(path, text):
            return len(text)

    def send_again(self, path: Path) -> None:
        """Send an open document as if it had changed, if other files have since: it may have other errors now."""
        document = self._open.get(path)
        if document is not None and document.changes != self._changes and self._overlay_of(path) is None:
            self._version += 1
            document.version = document.since = self._version
            document.overlays, document.changes = set(), self._changes
            # Without them, clangd publishes nothing for a text that is the same, unless what it includes has changed.
            self._send_change(document, {"forceRebuild": True, "wantDiagnostics": True})

    def tell_changed(self, events: list[tuple[str, int]]) -> None:
        """Announce changes on disk, of files that are open or not: URI and FileChangeType."""
        if events:
            self._changes += 1
            changes = [{"uri": uri, "type": kind} for uri, kind in events]
            self._notify("workspace/didChangeWatchedFiles", {"changes": changes})

    @contextlib.contextmanager
    def overlay(self, path: Path, text: str) -> Iterator[Document]:
        """Show the server a text that is not on disk, for one file at a time; on any exit it gets that of the disk.

        The file need not exist. The text has no byte order mark.
        """
        if self._overlay is not None:
            raise RuntimeError("there is an overlay already")
        covered = self._sync_existing(path)
        overlay = self._new_overlay(path, text)
        if covered is None:
            self._send_open(overlay)
        else:
            covered.version = overlay.version
            covered.overlays.add(overlay.version)
            self._send_change(overlay)
        self._overlay = overlay
        try:
            yield overlay
        finally:
            self._overlay = None
            with contextlib.suppress(SessionClosed):
                self._remove_overlay(overlay, covered)

    def _remove_overlay(self, overlay: Document, covered: Document | None) -> None:
        self._version += 1
        if covered is not None:
            covered.version = self._version
            self._send_change(covered)
            return
        # Servers keep the text of a closed document until they look at the disk: an empty one does less harm.
        self._send_change(replace(overlay, version=self._version, text=""))
        self._send_close(overlay.path, overlay.uri)

    @contextlib.contextmanager
    def _open_briefly(self, path: Path, text: str) -> Iterator[None]:
        document = self._new_overlay(path, text)
        self._send_open(document)
        yield
        self._notify("textDocument/didClose", {"textDocument": {"uri": document.uri}})

    def _new_overlay(self, path: Path, text: str) -> Document:
        version = self._version = self._version + 1
        no_stamp = Stamp(0, 0, 0, 0)
        return Document(path, uri_of(path), version, text, split_lines(text), "", no_stamp, False, version, {version})

    def _overlay_of(self, path: Path) -> Document | None:
        return self._overlay if self._overlay is not None and self._overlay.path == path else None

    def _known(self, path: Path) -> Document | None:
        return self._open.get(path) or self._overlay_of(path)

    def _sync_existing(self, path: Path) -> Document | None:
        try:
            return self.sync(path)
        except ToolError as error:
            if error.code != "not_found":
                raise
            return None

    def _open_new(self, path: Path) -> Document:
        data, stamp = self._tree.read(path)
        text = self._tree.decode(path, data)
        version = self._version = self._version + 1
        lines, digest, recheck = split_lines(text), content_hash(data), _may_hide_write(stamp)
        document = Document(path, uri_of(path), version, text, lines, digest, stamp, recheck, since=version)
        document.changes = self._changes
        self._send_open(document)
        self._open[path] = document
        if len(self._open) > _MAX_OPEN:
            self._close(next(one for one in self._open if self._overlay_of(one) is None))
        return document

    def _read_if_changed(self, document: Document) -> None:
        if self._tree.stamp(document.path) == document.stamp and not document.recheck:
            return
        try:
            data, stamp = self._tree.read(document.path)
        except ToolError:
            self._close(document.path)
            raise
        document.stamp, document.recheck, document.digest = stamp, _may_hide_write(stamp), content_hash(data)
        text = self._tree.decode(document.path, data)
        if text == document.text:
            return
        self._version += 1
        document.version = document.since = self._version
        document.text, document.lines, document.overlays = text, split_lines(text), set()
        self._send_change(document)
        self.tell_changed([(document.uri, CHANGED)])
        document.changes = self._changes

    def _close(self, path: Path) -> None:
        self._send_close(path, self._open.pop(path).uri)

    def _send_open(self, document: Document) -> None:
        language = self._language_of(self._tree.relative(document.path))
        if language is None:
            raise ValueError(f"{document.path} is not served")
        item = {"uri": document.uri, "languageId": language, "version": document.version, "text": document.text}
        self._notify("textDocument/didOpen", {"textDocument": item})

    def _send_change(self, document: Document, more: Mapping[str, Any] = MappingProxyType({})) -> None:
        item = {"uri": document.uri, "version": document.version}
        changes = [{"text": document.text}]
        self._notify("textDocument/didChange", {"textDocument": item, "contentChanges": changes, **more})

    def _send_close(self, path: Path, uri: str) -> None:
        self._notify("textDocument/didClose", {"textDocument": {"uri": uri}})
        if self._tree.stamp(path) is None:
            self.tell_changed([(uri, DELETED)])


def _may_hide_write(stamp: Stamp) -> bool:
    return time.time_ns() - stamp.mtime_ns < _RECHECK_NS


class Refresher:
    """Does what the setting ``refresh`` says: sends the texts of changed files before the server is asked."""

    def __init__(
        self,
        refresh: Refresh,
        documents: Documents,
        session: Session,
        search_barrier: SearchBarrier,
        send_settings: Callable[[], None],
    ) -> None:
        self._refresh = refresh
        self._documents = documents
        self._session = session
        self._search_barrier = search_barrier
        self._send_settings = send_settings
        self._unsent: dict[Path, bool] = {}  # file to whether it stays open
        self._new: set[Path] = set()
        self._settings_due = False  # whether the settings must be sent again, since files are new or gone
        self._lock = asyncio.Lock()
        #: Whether only a new process of the server can know the files as they are.
        self.outdated = False

    def note(self, changes: Mapping[Path, int]) -> None:
        """Note changes that were announced to the server."""
        served = {path: kind for path, kind in changes.items() if self._documents.serves(path)}
        notebooks = {path: kind for path, kind in changes.items() if path.suffix == ".ipynb"}
        if self._refresh == "search":
            # A notebook's cells are read when it is found, and never again.
            self._new |= {path for path, kind in notebooks.items() if kind == CREATED}
            self.outdated |= CHANGED in notebooks.values()
            self._settings_due |= bool(self._new)
        few = len(served) + len(self._unsent) <= _KEPT_OPEN
        gone = any(kind == DELETED for kind in served.values())
        if self._refresh == "restart" and served and (gone or not few):
            self.outdated = True
        if self._refresh == "reload" and (not few or self._has_new_directory(served)):
            self.outdated = True
        for path, kind in served.items():
            keep_open = few and kind != DELETED
            if keep_open or self._refresh in ("show", "search"):
                self._unsent[path] = keep_open
            if kind == CREATED and self._refresh == "search":
                self._new.add(path)
            elif kind == DELETED:
                self._new.discard(path)
            self._settings_due |= kind != CHANGED and self._refresh == "search"

    async def catch_up(self, asked: Path | None = None) -> str | None:
        """Send everything noted, and return when it is written; say in a sentence what the server may still miss.

        ``asked`` is the file of the next request; without it no search for files is waited for.
        """
        due = self._unsent or self._settings_due or self._search_barrier.awaited
        if not due and not self._lock.locked():
            return None
        async with self._lock:
            unflushed = 0
            while self._unsent:
                path, keep_open = self._unsent.popitem()
                if keep_open:
                    self._new.discard(path)  # answers include open documents
                with contextlib.suppress(ToolError):  # nobody can read it
                    unflushed += self._documents.send(path, keep_open)
                if unflushed > _FLUSH_BYTES:
                    await self._session.flush()
                    await asyncio.sleep(0)
                    unflushed = 0
            if self._settings_due:
                if self._new:
                    self._search_barrier.begin()
                self._settings_due = False
                self._new.clear()
                self._send_settings()
            await self._session.flush()
        return None if asked is None else await self._search_barrier.end()

    def _has_new_directory(self, served: Mapping[Path, int]) -> bool:
        """Say whether in some directory all files with some suffix are new."""
        serves, created = self._documents.serves, {path for path, kind in served.items() if kind == CREATED}
        return any(
            all(file in created for file in directory.glob(f"*{glob.escape(suffix)}") if serves(file))
            for directory, suffix in {(path.parent, path.suffix) for path in created}
        )


class SearchBarrier:
    """Waits until a server with ``refresh: search`` has looked for new files, which it logs (``ends_search``).

    It searches, and resolves imports anew, when it gets its settings. A notification about a new file has no effect if
    the file is outside of what it was configured to look at. A search whose end is logged before the answer to a marker
    request may have begun before the settings were sent.
    """

    def __init__(self, name: str, ends_search: Callable[[str], bool], session: Session) -> None:
        self._name = name
        self._ends_search = ends_search
        self._session = session
        self._marker: asyncio.Future[Any] | None = None
        self._deadline = 0.0
        self._condition = Condition()

    @property
    def awaited(self) -> bool:
        """Whether a search is not known to have ended."""
        return self._marker is not None

    def logged(self, text: str) -> None:
        """Handle a log message, in its order among the server's answers."""
        if self._marker is not None and self._marker.done() and self._ends_search(text):
            self.close()

    def close(self) -> None:
        """End all waits."""
        self._marker = None
        self._condition.notify_all()

    def begin(self) -> None:
        """Send the marker: from now on a search is awaited, which the caller causes next."""
        self._marker = self._session.send_request("$/codebuddy/search", None)
        self._marker.add_done_callback(asyncio.Future.exception)  # an error is expected: the request is unknown
        self._deadline = asyncio.get_running_loop().time() + _LONGEST_SEARCH

    async def end(self) -> str | None:
        """Wait until the search has ended; say in a sentence if that is unknown."""
        while self.awaited:
            if (left := remaining(self._deadline)) == 0:  # later new files extend it
                return f"{self._name} has not logged yet that it searched for new files: results there may be missing."
            await self._condition.wait(left)
        self._session.require_open()
        return None
