"""The journal: an append-only log of edits, in segments. It decides after a crash, and it is what undo reads.

A record is one line of JSON that says how long its two parts are (a document and raw content) and their checksums, then
the parts. The first of an edit has all of it, and is there before anything is staged: ``edit``, or ``staging`` for a
preview, which has only where leftovers are to be looked for. ``begun`` comes when all is staged, with the steps that
follow, but for an edit of a single rename; then how it ended: ``applied``, ``reverted`` or ``discarded``; and
``settled`` once the directories are on the disk too.
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codebuddy.files.paths import WorkspacePath
from codebuddy.hub.edits import disk
from codebuddy.hub.edits.draft import Change, Node, Spot
from codebuddy.hub.edits.steps import Chmod, Create, Move, Overwrite, Remove, Replace, Step

_SUFFIX = ".journal"
_ENDED = frozenset({"settled", "reverted"})
_MAX_SEGMENT_BYTES = 16 * 1024 * 1024
_MIN_SEGMENT_BYTES = 64 * 1024

_encode = json.JSONEncoder(separators=(",", ":")).encode  # one encoder: json.dumps would make one each time


@dataclass(frozen=True)
class Place:
    """Where a record's parts are, and their checksums."""

    segment: _Segment
    offset: int
    document: int
    content: int
    checksum: str
    content_checksum: str

    @property
    def end(self) -> int:
        """Where the record ends."""
        return self.offset + self.document + self.content + 1


@dataclass
class Entry:
    """An edit in the journal.

    Args:
        id: its id.
        at: when it was made, in seconds since the epoch.
        state: how far it got, as of its last record.
        about: what its first record says of it.
        place: where its first record is.
        begun: where the record is with which it began, if there is one.
    """

    id: str
    at: float
    state: str
    about: dict[str, Any] = field(default_factory=dict)
    place: Place | None = None
    begun: Place | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing is left to be done for it."""
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
    """The journal in a directory. Safe to be used from several threads.

    Args:
        directory: of its own; created if it is missing.
        max_bytes: so much is kept; what is older goes first, in segments.
        max_age_seconds: so long it is kept.
        clock: gives the time.
        alone: keep every other process that asks for the same off this journal, while this one lives.

    Raises:
        BlockingIOError: another process keeps us off it.
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
        if alone:  # before anything is read: what looks like a torn record may be one that another is just writing
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
        """What tells one run of the machine from the next: after a power cut the disk may lack what was not synced."""
        return self._boot

    def new_id(self) -> str:
        """Give an id that no other edit has."""
        return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(self._clock()))}-{os.urandom(4).hex()}"

    def entries(self) -> list[Entry]:
        """Give what is kept, the oldest first."""
        with self._lock:
            return [entry for entry in self._entries.values() if self._is_kept(entry)]

    def get(self, edit: str) -> Entry | None:
        """Give an edit; None if there is none of that id, or no more."""
        with self._lock:
            entry = self._entries.get(edit)
            return entry if entry is not None and self._is_kept(entry) else None

    def _is_kept(self, entry: Entry) -> bool:
        return not entry.has_ended or entry.at >= self._clock() - self._max_age

    def write(
        self, kind: str, edit: str, document: Any = None, content: bytes = b"", about: dict[str, Any] | None = None
    ) -> Callable[[], None]:
        """Append a record; give what waits until it is on the disk.

        Raises:
            OSError: it cannot be written, and nothing of it was.
        """
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
            self._note(header, Place(segment, offset, len(raw), len(content), *checksums))
        return lambda: disk.sync_data(segment.fd)

    def note(self, edit: str, state: str) -> None:
        """Note how far an edit got, for whoever asks now; a record of it comes later."""
        with self._lock:
            if edit in self._entries:
                self._entries[edit].state = state

    def sync(self) -> None:
        """Wait until all that was written is on the disk; a segment before the last was synced when it ended."""
        disk.sync_data(self._segments[-1].fd)

    def read(self, entry: Entry) -> tuple[Any, bytes]:
        """Give the document and the content of an edit's first record.

        Raises:
            ValueError: what is there is damaged.
        """
        place = entry.place
        if place is None:
            return None, b""
        content = os.pread(place.segment.fd, place.content, place.offset + place.document)
        if _checksum(content) != place.content_checksum:
            raise ValueError(f"a record of edit {entry.id} is damaged")
        return self.read_document(entry), content

    def read_document(self, entry: Entry) -> Any:
        """Give the document of an edit's first record, without reading the content.

        Raises:
            ValueError: what is there is damaged.
        """
        return _document(entry, entry.place)

    def read_begun(self, entry: Entry) -> Any:
        """Give the document of the record with which an edit began; None if there is none.

        Raises:
            ValueError: what is there is damaged.
        """
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
        """Drop segments that are too much or too old, up to the first that holds what is unfinished.

        Never one out of the middle: it may tell how an edit ended that stays.
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
        """Note what a segment holds; what a crash left half-written at its end is cut off."""
        is_last = segment is self._segments[-1]
        end = 0
        for header, place in self._records(segment, check=is_last):
            self._note(header, place)
            end = place.end
        if is_last and end < segment.size:
            disk.truncate(segment.fd, end)
            segment.size = end

    def _records(self, segment: _Segment, *, check: bool) -> Iterator[tuple[dict[str, Any], Place]]:
        with open(segment.fd, "rb", closefd=False) as file:
            file.seek(0)
            while line := file.readline():
                try:
                    header = json.loads(line)
                    sizes = int(header["document"]), int(header["content"])
                    place = Place(segment, file.tell(), *sizes, *map(str, header["sha256"]))
                    _require_header(header)
                except (ValueError, KeyError, TypeError):
                    return
                if place.end > segment.size:
                    return
                if check:
                    if _checksum(file.read(place.document)) != place.checksum:
                        return
                    if _checksum(file.read(place.content)) != place.content_checksum:
                        return
                file.seek(place.end)
                yield header, place

    def _note(self, header: dict[str, Any], place: Place) -> None:
        kind, edit = header["kind"], header["id"]
        if kind in ("staging", "edit"):
            place.segment.edits.add(edit)
            self._entries[edit] = Entry(edit, header["at"], kind, header["about"], place)
        elif kind == "discarded":
            self._entries.pop(edit, None)
        else:
            for known in map(self._entries.get, header["about"].get("edits", [edit])):
                if known is not None:
                    known.state = kind
                    known.begun = place if kind == "begun" else known.begun


def _require_header(header: dict[str, Any]) -> None:
    """See that a record says what it is.

    Raises:
        ValueError: it does not.
    """
    texts, at, about = [header.get("kind"), header.get("id")], header.get("at"), header.get("about")
    if not all(isinstance(text, str) for text in texts) or not isinstance(at, float) or not isinstance(about, dict):
        raise ValueError("a record that does not say what it is")


def _document(entry: Entry, place: Place | None) -> Any:
    if place is None:
        return None
    raw = os.pread(place.segment.fd, place.document, place.offset)
    if _checksum(raw) != place.checksum:
        raise ValueError(f"a record of edit {entry.id} is damaged")
    return json.loads(raw) if raw else None


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


OpenSpot = Callable[[WorkspacePath, int, str], Spot]
"""Opens (directory, its inode, name in it)."""


class Contents:
    """Raw content, each piece once, told by where it begins and how long it is."""

    def __init__(self, data: bytes = b"") -> None:
        self._data = bytearray(data)
        self._known: dict[bytes, list[int]] = {}

    @property
    def data(self) -> bytes:
        """All of it."""
        return bytes(self._data)

    def add(self, content: bytes) -> list[int]:
        """Put a piece in; give where."""
        if content not in self._known:
            self._known[content] = [len(self._data), len(content)]
            self._data += content
        return self._known[content]

    def get(self, where: list[int]) -> bytes:
        """Give a piece."""
        start, length = where
        return bytes(self._data[start : start + length])


def write_path(path: WorkspacePath) -> list[str]:
    """Give a path as a list: the project, then the names."""
    return [path.project, *path.parts]


def read_path(raw: list[str]) -> WorkspacePath:
    """Undo `write_path`."""
    return WorkspacePath(raw[0], tuple(raw[1:]))


def write_change(change: Change, contents: Contents) -> dict[str, Any]:
    """Give a change: of what was before with its content, of what came after with its hash."""
    after = change.after
    return {
        "source": None if change.source is None else write_path(change.source),
        "target": None if change.target is None else write_path(change.target),
        "before": None if change.before is None else _write_node(change.before, contents),
        "after": None if after is None else _write_node(after.without_content(), contents),
    }


def read_change(raw: dict[str, Any], contents: Contents | None) -> Change:
    """Undo `write_change`; without contents, give hashes alone."""
    return Change(
        None if raw["source"] is None else read_path(raw["source"]),
        None if raw["target"] is None else read_path(raw["target"]),
        None if raw["before"] is None else _read_node(raw["before"], contents),
        None if raw["after"] is None else _read_node(raw["after"], contents),
    )


def _write_node(node: Node, contents: Contents) -> dict[str, Any]:
    raw: dict[str, Any] = {"kind": node.kind}
    if node.content is not None:
        raw["content"] = contents.add(node.content)
    if node.hash is not None:
        raw["hash"] = node.hash
    if node.mode is not None:
        raw["mode"] = node.mode
    if node.owner is not None:
        raw["owner"] = list(node.owner)
    if node.attributes:
        raw["attributes"] = {name: base64.b64encode(value).decode() for name, value in node.attributes.items()}
    if node.implied:
        raw["implied"] = True
    return raw


def _read_node(raw: dict[str, Any], contents: Contents | None) -> Node:
    owner = raw.get("owner")
    return Node(
        raw["kind"],
        contents.get(raw["content"]) if "content" in raw and contents is not None else None,
        raw.get("hash"),
        raw.get("mode"),
        None if owner is None else (owner[0], owner[1]),
        {name: base64.b64decode(value) for name, value in raw.get("attributes", {}).items()},
        raw.get("implied", False),
    )


def write_step(step: Step, contents: Contents) -> dict[str, Any]:
    """Give a step as it can be made again after a crash."""
    raw: dict[str, Any] = {"step": type(step).__name__, **write_spot(step.spot)}
    match step:
        case Replace():
            raw |= {"temporary": step.temporary, "before": step.before, "after": step.after}
            raw["identity"] = list(step.identity)
        case Overwrite():
            raw |= {"temporary": step.temporary, "before": step.before, "after": step.after}
            raw["old"] = contents.add(step.old)
        case Chmod():
            raw |= {"before": step.before, "after": step.after}
        case Create():
            raw |= {"temporary": step.temporary, "after": step.after}
            raw["inside"] = [[list(names), known] for names, known in step.inside.items()]
        case Remove():
            raw |= {"temporary": step.temporary, "before": step.before, "inode": step.inode}
            raw["marks"] = [[list(names), list(mark)] for names, mark in step.marks.items()]
        case Move():
            raw |= {"target": write_spot(step.target), "inode": step.inode}
    return raw


def read_step(raw: dict[str, Any], contents: Contents, open_spot: OpenSpot) -> Step:
    """Undo `write_step`."""
    spot = _read_spot(raw, open_spot)
    match raw["step"]:
        case "Replace":
            return Replace(spot, raw["temporary"], raw["before"], raw["after"], tuple(raw["identity"]))
        case "Overwrite":
            return Overwrite(spot, raw["temporary"], raw["before"], raw["after"], contents.get(raw["old"]))
        case "Chmod":
            return Chmod(spot, raw["before"], raw["after"])
        case "Create":
            inside = {tuple(names): known for names, known in raw["inside"]}
            return Create(spot, raw["temporary"], raw["after"], inside)
        case "Remove":
            marks = {tuple(names): tuple(mark) for names, mark in raw["marks"]}
            return Remove(spot, raw["temporary"], raw["before"], raw["inode"], marks)
        case "Move":
            return Move(spot, _read_spot(raw["target"], open_spot), raw["inode"])
    raise ValueError(f"the journal has a step that this hub does not know: {raw['step']}")


def write_spot(spot: Spot) -> dict[str, Any]:
    """Give a spot as a directory, by path and inode, and the name there.

    The path alone does not name a directory: within an edit, one can take the path of another.
    """
    return {"directory": write_path(spot.directory), "inode_of": os.fstat(spot.fd).st_ino, "name": spot.name}


def _read_spot(raw: dict[str, Any], open_spot: OpenSpot) -> Spot:
    return open_spot(read_path(raw["directory"]), raw["inode_of"], raw["name"])


def read_renames(steps: list[dict[str, Any]]) -> list[tuple[WorkspacePath, WorkspacePath]]:
    """Give each rename that steps make, as (from, to)."""
    renames = []
    for raw in steps:
        directory = read_path(raw["directory"])
        here = directory.child(raw["name"])
        match raw["step"]:
            case "Move":
                renames.append((here, read_path(raw["target"]["directory"]).child(raw["target"]["name"])))
            case "Remove":
                renames.append((here, directory.child(raw["temporary"])))
            case "Create":
                renames.append((directory.child(raw["temporary"]), here))
    return renames
