"""Open documents: what a server knows of a file's text, kept equal to the file on disk."""

from __future__ import annotations

import asyncio
import contextlib
import glob
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from codebuddy.agent.lsp.positions import decode_text, split_lines
from codebuddy.agent.lsp.readiness import Changes
from codebuddy.agent.lsp.transport import Session, SessionClosed
from codebuddy.agent.lsp.tree import Stamp, Tree, uri_of
from codebuddy.agent.lsp.watching import CHANGED, CREATED, DELETED
from codebuddy.files.text import content_hash
from codebuddy.schemas.server_description import Refresh
from codebuddy.tool import ToolError

_MAX_OPEN: Final = 128

# Two writes within one tick of the file system's clock leave the same time; a file read so soon after it was written
# is compared by its text the next time, not by its stamp.
_UNSURE_NS: Final = 100_000_000


class StaleText(Exception):
    """What was said of a file is not for the text that it has now.

    Args:
        path: the file's workspace path.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


@dataclass
class Document:
    """One open document, as the server knows it.

    Args:
        path: the file.
        uri: its URI, the same in every message.
        version: grows with every text that is sent.
        text: the text that was sent, without byte-order mark.
        lines: the same, split.
        digest: the hash of the bytes that the text was read from.
        stamp: the file's stamp when it was read.
        unsure: whether the stamp was too fresh to be relied on.
        since: the first version with this text.
        overlays: versions after that which had another text for a while, one that is not on the disk.
    """

    path: Path
    uri: str
    version: int
    text: str
    lines: list[str]
    digest: str
    stamp: Stamp
    unsure: bool
    since: int
    overlays: set[int] = field(default_factory=set)

    def has_text_of(self, version: int | None) -> bool:
        """Say whether a version had the text that the document has now."""
        return version is not None and self.since <= version <= self.version and version not in self.overlays


class Documents:
    """The documents that are open in one session.

    Args:
        tree: the project.
        language_of: gives the language id of a path in the project; None for a file that the server does not serve.
        notify: sends a notification in order, without waiting. A version is raised before its text is sent, so an
            answer that comes in between can always be told from one for the new text.
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

    def paths(self) -> list[Path]:
        """Give the open files, the least recently used first."""
        return list(self._open)

    def version_of(self, path: Path) -> int | None:
        """Give the version that the server has of a file; None when it is not open."""
        document = self._open.get(path) or self._overlaid(path)
        return document.version if document else None

    def overlaid_by(self, path: Path, version: int | None) -> Document | None:
        """Give the document of which a version is no text of the disk, see `overlay`; None when it is one."""
        document = self._open.get(path) or self._overlaid(path)
        return document if document and version in document.overlays else None

    def texts(self) -> dict[Path, list[str]]:
        """Give the lines of every open document, as the server knows them."""
        return {path: document.lines for path, document in self._open.items()}

    def copies(self) -> dict[Path, Document]:
        """Give every open document as it is now; later changes do not show in these."""
        return {path: replace(document) for path, document in self._open.items()}

    def sync(self, path: Path) -> Document:
        """Open the file, or tell the server its new text if it changed on disk.

        Raises:
            ToolError: it cannot be read, or is no longer there; it is closed then. Or the server must see another text
                of it at this moment.
        """
        if self._overlaid(path) is not None:
            raise ToolError("busy", "This file is being formatted; ask again.", self._tree.show(path))
        document = self._open.get(path)
        if document is None:
            return self._open_new(path)
        self._open.move_to_end(path)
        stamp = self._tree.stamp(path)
        if stamp != document.stamp or document.unsure:
            self._read_again(document)
        return document

    def sync_all(self) -> bool:
        """Bring every open document up to date; say whether any had changed. Files that are gone are closed."""
        before = self._version, len(self._open)
        for path, document in list(self._open.items()):
            if self._overlaid(path) is not None:
                continue  # it is brought up to date afterwards
            if self._tree.stamp(path) != document.stamp or document.unsure:
                try:
                    self._read_again(document)
                except ToolError:
                    continue  # it was closed, and the server was told
        return (self._version, len(self._open)) != before

    def show(self, path: Path, keep: bool) -> int:
        """Make a file's text known: an empty one for a file that is gone.

        Args:
            path: the file.
            keep: whether it stays open.

        Returns:
            About how many bytes were sent.

        Raises:
            ToolError: it is there and cannot be read.
        """
        if self._overlaid(path) is not None:
            return 0
        if keep or path in self._open:
            document = self._if_there(path)
            return 0 if document is None else len(document.text)
        try:
            text = decode_text(self._tree.read(path)[0])
        except ToolError as error:
            if error.code != "not_found":
                raise
            text = ""
        with self._open_for_a_moment(path, text):
            return len(text)

    def announce(self, path: Path) -> None:
        """Tell the server of a file as if it were new, open at that moment: it is then one that the server knows.

        Raises:
            ToolError: it cannot be read.
            ValueError: the server does not serve it.
        """
        with contextlib.ExitStack() as stack:
            if path not in self._open and self._overlaid(path) is None:
                stack.enter_context(self._open_for_a_moment(path, decode_text(self._tree.read(path)[0])))
            self.tell_changed([(uri_of(path), CREATED)])

    @contextlib.contextmanager
    def overlay(self, path: Path, text: str) -> Iterator[Document]:
        """Show the server another text of a file than the disk's, one file at a time; afterwards that of the disk.

        Args:
            path: the file; it need not exist.
            text: the text, without byte-order mark.

        Raises:
            ToolError: the file cannot be read.
            ValueError: the server does not serve the file.
        """
        if self._overlay is not None:
            raise RuntimeError("there is an overlay already")
        known = self._if_there(path)
        self._version += 1
        shown = _overlaid(path, self._version, text)
        if known is None:
            self._send_open(shown)
        else:
            known.version = shown.version
            known.overlays.add(shown.version)
            self._send_text(shown)
        self._overlay = shown
        try:
            yield shown
        finally:
            self._overlay = None
            with contextlib.suppress(SessionClosed):
                self._uncover(shown, known)

    @contextlib.contextmanager
    def _open_for_a_moment(self, path: Path, text: str) -> Iterator[None]:
        self._version += 1
        shown = _overlaid(path, self._version, text)
        self._send_open(shown)
        yield
        self._notify("textDocument/didClose", {"textDocument": {"uri": shown.uri}})

    def _if_there(self, path: Path) -> Document | None:
        try:
            return self.sync(path)
        except ToolError as error:
            if error.code != "not_found":
                raise
            return None

    def _uncover(self, shown: Document, known: Document | None) -> None:
        self._version += 1
        if known is not None:
            known.version = self._version
            self._send_text(known)
            return
        # Servers keep the text of a document that is closed until they looked at the disk: better an empty one.
        self._send_text(replace(shown, version=self._version, text=""))
        self._send_close(shown.path, shown.uri)

    def _overlaid(self, path: Path) -> Document | None:
        return self._overlay if self._overlay is not None and self._overlay.path == path else None

    def _open_new(self, path: Path) -> Document:
        data, stamp = self._tree.read(path)
        text = decode_text(data)
        version = self._version = self._version + 1
        lines, digest, unsure = split_lines(text), content_hash(data), _unsure(stamp)
        document = Document(path, uri_of(path), version, text, lines, digest, stamp, unsure, since=version)
        self._send_open(document)
        self._open[path] = document
        if len(self._open) > _MAX_OPEN:
            self._close(next(one for one in self._open if self._overlaid(one) is None))
        return document

    def _read_again(self, document: Document) -> None:
        try:
            data, stamp = self._tree.read(document.path)
        except ToolError:
            self._close(document.path)
            raise
        document.stamp, document.unsure, document.digest = stamp, _unsure(stamp), content_hash(data)
        text = decode_text(data)
        if text == document.text:
            return
        self._version += 1
        document.version = document.since = self._version
        document.text, document.lines, document.overlays = text, split_lines(text), set()
        self._send_text(document)
        self.tell_changed([(document.uri, CHANGED)])

    def _close(self, path: Path) -> None:
        self._send_close(path, self._open.pop(path).uri)

    def _send_open(self, document: Document) -> None:
        language = self._language_of(self._tree.relative(document.path))
        if language is None:
            raise ValueError(f"{document.path} is not served")
        item = {"uri": document.uri, "languageId": language, "version": document.version, "text": document.text}
        self._notify("textDocument/didOpen", {"textDocument": item})

    def _send_text(self, document: Document) -> None:
        item = {"uri": document.uri, "version": document.version}
        self._notify("textDocument/didChange", {"textDocument": item, "contentChanges": [{"text": document.text}]})

    def _send_close(self, path: Path, uri: str) -> None:
        self._notify("textDocument/didClose", {"textDocument": {"uri": uri}})
        if self._tree.stamp(path) is None:
            self.tell_changed([(uri, DELETED)])

    def tell_changed(self, events: list[tuple[str, int]]) -> None:
        """Tell the server of files that changed on disk, open or not."""
        if events:
            changes = [{"uri": uri, "type": kind} for uri, kind in events]
            self._notify("workspace/didChangeWatchedFiles", {"changes": changes})


def _overlaid(path: Path, version: int, text: str) -> Document:
    nowhere = Stamp(0, 0, 0, 0)
    return Document(path, uri_of(path), version, text, split_lines(text), "", nowhere, False, version, {version})


def _unsure(stamp: Stamp) -> bool:
    return time.time_ns() - stamp.mtime_ns < _UNSURE_NS


# As long as they are so few, changed files stay open, whatever is declared.
_KEPT_OPEN: Final = 32
_BYTES_AT_ONCE: Final = 256 * 1024


class Showing:
    """What one server is still to be shown.

    Args:
        refresh: what is declared.
        documents: the server's.
        serves: whether the server serves a file.
        flush: waits until the server has read what it was sent.
        searches: the server's searches for new files.
    """

    def __init__(
        self,
        refresh: Refresh,
        documents: Documents,
        serves: Callable[[Path], bool],
        flush: Callable[[], Awaitable[None]],
        searches: Searches,
    ) -> None:
        self._refresh = refresh
        self._documents = documents
        self._serves = serves
        self._flush = flush
        self._searches = searches
        self._waiting: dict[Path, bool] = {}
        self._new: set[Path] = set()
        self._turn = asyncio.Lock()
        #: Whether only a new process of the server can know the files as they are.
        self.outdated = False

    def note(self, changes: Mapping[Path, int]) -> None:
        """Note changes that the server was told of."""
        served = {path: kind for path, kind in changes.items() if self._serves(path)}
        few = len(served) + len(self._waiting) <= _KEPT_OPEN
        gone = any(kind == DELETED for kind in served.values())
        if self._refresh == "restart" and served and (gone or not few):
            self.outdated = True
        if self._refresh == "reload" and (not few or self._has_new_directory(served)):
            self.outdated = True
        for path, kind in served.items():
            keep = few and kind != DELETED
            if keep or self._refresh in ("show", "search"):
                self._waiting[path] = keep
            if kind == CREATED and self._refresh == "search":
                self._new.add(path)
            elif kind == DELETED:
                self._new.discard(path)

    async def catch_up(self, asked: Path | None = None) -> str | None:
        """Show all that waits; return when it is with the server. Say in a sentence what it may not know all the same.

        Args:
            asked: the file that the server is going to be asked about; without it no search for files is waited for.

        Raises:
            SessionClosed: the server is gone.
        """
        if not self._waiting and not self._new and not self._searches.awaited and not self._turn.locked():
            return None
        async with self._turn:
            unsent = 0
            while self._waiting:
                path, keep = self._waiting.popitem()
                if keep:
                    self._new.discard(path)  # what is open is in the answers
                unsent += self._show(path, keep)
                if unsent > _BYTES_AT_ONCE:
                    await self._flush()
                    await asyncio.sleep(0)
                    unsent = 0
            created, self._new = self._new, set()
            self._searches.begin(created, asked)
            await self._flush()
        return None if asked is None else await self._searches.end()

    def _has_new_directory(self, served: Mapping[Path, int]) -> bool:
        """Say whether all files of a kind in some directory are new."""
        created = {path for path, kind in served.items() if kind == CREATED}
        return any(
            all(file in created for file in directory.glob(f"*{glob.escape(suffix)}") if self._serves(file))
            for directory, suffix in {(path.parent, path.suffix) for path in created}
        )

    def _show(self, path: Path, keep: bool) -> int:
        try:
            return self._documents.show(path, keep)
        except ToolError:
            return 0  # it can be read by nobody


_LONGEST: Final = 10.0
_MAX_ANNOUNCED: Final = 50


class Searches:
    """The searches of one process.

    Args:
        name: the server's.
        tells: says whether a line of its log tells the end of a search.
        tree: the project.
        session: the session with it.
        documents: its documents.
    """

    def __init__(
        self, name: str, tells: Callable[[str], bool], tree: Tree, session: Session, documents: Documents
    ) -> None:
        self._name = name
        self._tells = tells
        self._tree = tree
        self._session = session
        self._documents = documents
        self._question: asyncio.Future[Any] | None = None
        self._announced: set[str] = set()
        self._until = 0.0
        self._changes = Changes()

    @property
    def awaited(self) -> bool:
        """Whether there is a search that is not known to have ended."""
        return self._question is not None

    def logged(self, text: str) -> None:
        """Take what the server logs, in its place among its answers."""
        if self._question is not None and self._question.done() and self._tells(text):
            self._question = None
            self._changes.tell()

    def close(self) -> None:
        """End all waiting, for the session is closed."""
        self._question = None
        self._changes.tell()

    def begin(self, created: Collection[Path], asked: Path | None) -> None:
        """Have the server look for files that it was told of, and for those that it did not look for yet.

        Args:
            created: new files.
            asked: a file that the server is going to be asked about.

        Raises:
            SessionClosed: the server is gone.
        """
        if not created and not self.awaited:
            return
        if created:
            self._question = self._session.ask("$/codebuddy/search", None)
            # It is an unknown request, which is what it is for.
            self._question.add_done_callback(asyncio.Future.exception)
            self._until = asyncio.get_running_loop().time() + _LONGEST
            self._announced.clear()
        # A server ignores what is outside of what it was set to look at, which only it knows.
        self._announce([*created, *([] if asked is None else [asked]), *reversed(self._documents.paths())])
        if not self._announced:
            self._question = None  # all that was new is gone again, and nothing else is there

    async def end(self) -> str | None:
        """Wait until the search has ended; say in a sentence if that cannot be known.

        Raises:
            SessionClosed: the server is gone.
        """
        while self.awaited:
            left = self._until - asyncio.get_running_loop().time()
            if left <= 0:
                return f"{self._name} has not said yet that it looked for new files: what is in them may be missing."
            await self._changes.wait(left)
        self._session.require_open()
        return None

    def _announce(self, paths: Iterable[Path]) -> None:
        """Tell one file of each directory in the project's own."""
        for path in paths:
            inside = self._tree.relative(path)
            directory = inside.partition("/")[0] if "/" in inside else ""
            if directory in self._announced or len(self._announced) == _MAX_ANNOUNCED:
                continue
            try:
                self._documents.announce(path)
            except (ToolError, ValueError):
                continue  # it is not there any more, or not the server's
            self._announced.add(directory)
