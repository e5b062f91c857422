"""The journal: an append-only log of edits in segments. Recovery and undo read it.

A record is one line of JSON with the lengths and checksums of its two parts, followed by the parts: a JSON document and
raw content. The kinds of records of an edit, in order:

- ``edit`` has all of it, and is written before anything is staged; a preview has ``staging`` instead, which only says
  where to look for leftovers.
- ``begun`` has the steps, once everything is staged; an edit of a single rename does without.
- ``applied``, ``reverting``, ``reverted`` or ``discarded`` say how it ended.
- ``settled`` says that the directories are on the disk too.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from codebuddy.files.paths import WorkspacePath
from codebuddy.hub.edits import disk
from codebuddy.hub.edits.disk_view import DirectoryEntry, Node
from codebuddy.hub.edits.draft import Change
from codebuddy.hub.edits.steps import Chmod, Create, Move, Overwrite, Remove, Replace, Step

_SUFFIX = ".journal"
_ENDED = frozenset({"settled", "reverted"})
_MAX_SEGMENT_BYTES = 16 * 1024 * 1024
_MIN_SEGMENT_BYTES = 64 * 1024

_encode = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps would create an encoder every time


@dataclass(frozen=True)
class _Position:
    """Where a record's two parts are: the offset of the first, their lengths and checksums."""

    segment: _Segment
    offset: int
    document: int
    content: int
    checksum: str
    content_checksum: str

    @property
    def end(self) -> int:
        return self.offset + self.document + self.content + 1


@dataclass
class Entry:
    """An edit in the journal.

    Args:
        at: when it was made, in seconds since the epoch.
        state: the kind of its last record.
        about: its tool, subject, projects, the edit that it undoes, and the boot id.
    """

    id: str
    at: float
    state: str
    about: dict[str, Any] = field(default_factory=dict)
    position: _Position | None = None
    begun: _Position | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing is left to do for it."""
        return self.state in _ENDED


class _Segment:
    """A file of the journal, open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        weakref.finalize(self, os.close, self.fd)
        self.size = os.fstat(self.fd).st_size
        self.edits: set[str] = set()


class Journal:
    """The journal in a directory of its own, which is created if necessary. Thread-safe.

    Args:
        max_bytes: size that is kept; older segments are removed.
        max_age_seconds: how long edits are kept.
        alone: lock the journal against other processes that ask for the same, for the lifetime of this object.

    Raises:
        BlockingIOError: another process has locked it.
        OSError: it cannot be read or written.
    """

    def __init__(
        self,
        directory: Path,
        max_bytes: int,
        max_age_seconds: float,
        clock: Callable[[], float] = time.time,
        *,
        alone: bool = False,
    ) -> None:
        self._directory, self._max_bytes, self._max_age, self._clock = directory, max_bytes, max_age_seconds, clock
        self._segment_bytes = max(_MIN_SEGMENT_BYTES, min(_MAX_SEGMENT_BYTES, max_bytes // 8))
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if alone:  # before reading: what looks like a torn record may be one that another process is writing
            held = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            weakref.finalize(self, os.close, held)
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._segments = [_Segment(path) for path in sorted(directory.glob("*" + _SUFFIX))]
        for segment in self._segments:
            self._read(segment)
        if not self._segments:
            self._begin_segment()
        self._prune()

    @property
    def boot(self) -> str:
        """The boot id: when it has changed, the disk may lack what was not synced before a power cut."""
        return self._boot

    def new_id(self) -> str:
        """Generate a unique edit id."""
        return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(self._clock()))}-{os.urandom(4).hex()}"

    def entries(self) -> list[Entry]:
        """List the edits that are kept, the oldest first."""
        with self._lock:
            return [entry for entry in self._entries.values() if self._is_kept(entry)]

    def get(self, edit: str) -> Entry | None:
        """Get an edit; None if it is unknown or no longer kept."""
        with self._lock:
            entry = self._entries.get(edit)
            return entry if entry is not None and self._is_kept(entry) else None

    def _is_kept(self, entry: Entry) -> bool:
        return not entry.has_ended or entry.at >= self._clock() - self._max_age

    def write(
        self, kind: str, edit: str, document: Any = None, content: bytes = b"", about: dict[str, Any] | None = None
    ) -> Callable[[], None]:
        """Append a record, or no part of it (`OSError`). The returned function waits until it is on the disk."""
        raw = b"" if document is None else _encode(document).encode()
        checksums = _checksum(raw), _checksum(content)
        header = {
            "kind": kind,
            "id": edit,
            "at": self._clock(),
            "about": about or {},
            "document": len(raw),
            "content": len(content),
            "sha256": checksums,
        }
        line = _encode(header).encode() + b"\n"
        with self._lock:
            if kind in ("staging", "edit") and self._segments[-1].size > self._segment_bytes:
                self._begin_segment()
                self._prune()
            segment = self._segments[-1]
            self._append(segment, b"".join((line, raw, content, b"\n")))
            offset = segment.size - len(raw) - len(content) - 1
            self._note(header, _Position(segment, offset, len(raw), len(content), *checksums))
        return lambda: disk.sync_data(segment.fd)

    def note(self, edit: str, state: str) -> None:
        """Set the state of an edit in memory; its record is written later."""
        with self._lock:
            if edit in self._entries:
                self._entries[edit].state = state

    def sync(self) -> None:
        """Wait until all records are on the disk; segments before the last were synced when they ended."""
        disk.sync_data(self._segments[-1].fd)

    def read(self, entry: Entry) -> tuple[Any, bytes]:
        """Read the document and the content of an edit's first record; raises `ValueError` if it is damaged."""
        position = entry.position
        if position is None:
            return None, b""
        content = os.pread(position.segment.fd, position.content, position.offset + position.document)
        if _checksum(content) != position.content_checksum:
            raise ValueError(f"a record of edit {entry.id} is damaged")
        return self.read_document(entry), content

    def read_document(self, entry: Entry) -> Any:
        """Read only the document of an edit's first record; raises as `read`."""
        return _document(entry, entry.position)

    def read_begun(self, entry: Entry) -> Any:
        """Read the document of an edit's ``begun`` record; None if it has none. Raises as `read`."""
        return _document(entry, entry.begun)

    # Writing ---------------------------------------------------------------------------------------------------------

    def _append(self, segment: _Segment, data: bytes) -> None:
        try:
            disk.append(segment.fd, data)
        except BaseException:
            disk.truncate(segment.fd, segment.size)
            raise
        segment.size += len(data)

    def _begin_segment(self) -> None:
        if self._segments:
            disk.sync_data(self._segments[-1].fd)
        number = int(self._segments[-1].path.stem) + 1 if self._segments else 1
        self._segments.append(_Segment(self._directory / f"{number:08d}{_SUFFIX}"))
        fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            disk.sync(fd)
        finally:
            os.close(fd)

    def _prune(self) -> None:
        """Remove the oldest segments while they exceed size or age, but none that has an unfinished edit.

        Never a later one: it may have the end of an edit that is kept.
        """
        while len(self._segments) > 1:
            oldest = self._segments[0]
            edits = [self._entries[edit] for edit in oldest.edits if edit in self._entries]
            too_much = sum(segment.size for segment in self._segments) > self._max_bytes
            too_old = all(entry.at < self._clock() - self._max_age for entry in edits)
            if not (too_much or too_old) or not all(entry.has_ended for entry in edits):
                return
            oldest.path.unlink(missing_ok=True)
            for entry in edits:
                del self._entries[entry.id]
            del self._segments[0]

    # Reading ---------------------------------------------------------------------------------------------------------

    def _read(self, segment: _Segment) -> None:
        """Read a segment; a record that a crash left half-written at the end of the last one is cut off."""
        is_last = segment is self._segments[-1]
        end = 0
        for header, position in self._records(segment, check=is_last):
            self._note(header, position)
            end = position.end
        if is_last and end < segment.size:
            disk.truncate(segment.fd, end)
            segment.size = end

    def _records(self, segment: _Segment, *, check: bool) -> Iterator[tuple[dict[str, Any], _Position]]:
        with open(segment.fd, "rb", closefd=False) as file:
            file.seek(0)
            while line := file.readline():
                try:
                    header = json.loads(line)
                    sizes = int(header["document"]), int(header["content"])
                    position = _Position(segment, file.tell(), *sizes, *map(str, header["sha256"]))
                    _require_header(header)
                except (ValueError, KeyError, TypeError):
                    return
                if position.end > segment.size:
                    return
                if check:
                    if _checksum(file.read(position.document)) != position.checksum:
                        return
                    if _checksum(file.read(position.content)) != position.content_checksum:
                        return
                file.seek(position.end)
                yield header, position

    def _note(self, header: dict[str, Any], position: _Position) -> None:
        kind, edit = header["kind"], header["id"]
        if kind in ("staging", "edit"):
            position.segment.edits.add(edit)
            self._entries[edit] = Entry(edit, header["at"], kind, header["about"], position)
        elif kind == "discarded":
            self._entries.pop(edit, None)
        else:
            for known in map(self._entries.get, header["about"].get("edits", [edit])):
                if known is not None:
                    known.state = kind
                    known.begun = position if kind == "begun" else known.begun


def _require_header(header: dict[str, Any]) -> None:
    texts, at, about = [header.get("kind"), header.get("id")], header.get("at"), header.get("about")
    if not all(isinstance(text, str) for text in texts) or not isinstance(at, float) or not isinstance(about, dict):
        raise ValueError("the header of a record is incomplete")


def _document(entry: Entry, position: _Position | None) -> Any:
    if position is None:
        return None
    raw = os.pread(position.segment.fd, position.document, position.offset)
    if _checksum(raw) != position.checksum:
        raise ValueError(f"a record of edit {entry.id} is damaged")
    return json.loads(raw) if raw else None


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# What the records of an edit say --------------------------------------------------------------------------------------

OpenEntry = Callable[[WorkspacePath, int, str], DirectoryEntry]
"""Opens a directory entry: the directory's path and inode, and the name in it."""

_STEPS = {kind.__name__: kind for kind in (Replace, Overwrite, Chmod, Create, Remove, Move)}
_FIELDS: dict[type[Any], dict[str, Any]] = {
    kind: {name: hint for name, hint in get_type_hints(kind).items() if name != "entry"}
    for kind in (Change, *_STEPS.values())
}
"""The names and types of the recorded fields; the entry of a step is recorded beside its fields."""


class Contents:
    """The raw content of a record: pieces without duplicates, each known by its start and length."""

    def __init__(self, data: bytes = b"") -> None:
        self._data = bytearray(data)
        self._known: dict[bytes, list[int]] = {}

    @property
    def data(self) -> bytes:
        """All pieces."""
        return bytes(self._data)

    def add(self, content: bytes) -> list[int]:
        """Add a piece, and give its start and length."""
        if content not in self._known:
            self._known[content] = [len(self._data), len(content)]
            self._data += content
        return self._known[content]

    def get(self, where: list[int]) -> bytes:
        """Return a piece."""
        start, length = where
        return bytes(self._data[start : start + length])


def write_path(path: WorkspacePath) -> list[str]:
    """Return a path as JSON: the project, then the names."""
    return [path.project, *path.parts]


def read_path(raw: list[str]) -> WorkspacePath:
    """Read what `write_path` wrote."""
    return WorkspacePath(raw[0], tuple(raw[1:]))


def write_change(change: Change, contents: Contents) -> dict[str, Any]:
    """Return a change as JSON: what was before with its content, what came after with its hash."""
    after = None if change.after is None else change.after.without_content()
    return _write_fields(replace(change, after=after), contents)


def read_change(raw: dict[str, Any], contents: Contents | None) -> Change:
    """Read what `write_change` wrote; without contents, only the hashes."""
    return Change(**_read_fields(Change, raw, contents))


def write_step(step: Step, contents: Contents) -> dict[str, Any]:
    """Return a step as JSON, so that it can be created again after a crash."""
    return {"step": type(step).__name__, **_write_entry(step.entry), **_write_fields(step, contents)}


def read_step(raw: dict[str, Any], contents: Contents, open_entry: OpenEntry) -> Step:
    """Read what `write_step` wrote."""
    kind = _STEPS.get(raw["step"])
    if kind is None:
        raise ValueError(f"the journal has a step that this hub does not know: {raw['step']}")
    return kind(_read_entry(raw, open_entry), **_read_fields(kind, raw, contents, open_entry))


def _write_fields(value: Change | Step, contents: Contents) -> dict[str, Any]:
    return {name: _write_value(getattr(value, name), contents) for name in _FIELDS[type(value)]}


def _write_value(value: Any, contents: Contents) -> Any:
    match value:
        case bytes():
            return contents.add(value)
        case WorkspacePath():
            return write_path(value)
        case DirectoryEntry():
            return _write_entry(value)
        case Node():
            return _write_node(value, contents)
        case dict():  # by tuples of names, which cannot be keys in JSON
            return list(value.items())
    return value


def _read_fields(kind: type[Any], raw: dict[str, Any], contents: Any, open_entry: Any = None) -> dict[str, Any]:
    readers: dict[Any, Callable[[Any], Any]] = {
        WorkspacePath: read_path,
        Node: partial(_read_node, contents=contents),
        DirectoryEntry: partial(_read_entry, open_entry=open_entry),
        bytes: partial(Contents.get, contents),
        dict: lambda pairs: {tuple(names): _tupled(value) for names, value in pairs},
    }
    found = {}
    for name, hint in _FIELDS[kind].items():
        expected = get_args(hint)[0] if type(None) in get_args(hint) else get_origin(hint) or hint
        found[name] = None if raw[name] is None else readers.get(expected, _tupled)(raw[name])
    return found


def _tupled(raw: Any) -> Any:
    return tuple(raw) if isinstance(raw, list) else raw


def _write_node(node: Node, contents: Contents) -> dict[str, Any]:
    attributes = {name: base64.b64encode(value).decode() for name, value in node.attributes.items()}
    raw = {
        "kind": node.kind,
        "content": None if node.content is None else contents.add(node.content),
        "hash": node.hash,
        "mode": node.mode,
        "owner": node.owner,
        "attributes": attributes or None,
        "implied": node.implied or None,
    }
    return {name: value for name, value in raw.items() if value is not None}


def _read_node(raw: dict[str, Any], contents: Contents | None) -> Node:
    return Node(
        raw["kind"],
        contents.get(raw["content"]) if "content" in raw and contents is not None else None,
        raw.get("hash"),
        raw.get("mode"),
        (raw["owner"][0], raw["owner"][1]) if "owner" in raw else None,
        {name: base64.b64decode(value) for name, value in raw.get("attributes", {}).items()},
        raw.get("implied", False),
    )


def _write_entry(entry: DirectoryEntry) -> dict[str, Any]:
    """Return the directory by path and inode: within an edit, one directory can take the path of another."""
    return {"directory": write_path(entry.directory), "inode_of": os.fstat(entry.fd).st_ino, "name": entry.name}


def _read_entry(raw: dict[str, Any], open_entry: OpenEntry) -> DirectoryEntry:
    return open_entry(read_path(raw["directory"]), raw["inode_of"], raw["name"])
