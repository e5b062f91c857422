"""Reading, decoding, editing and comparing text: encodings, byte order marks, line endings, edits, diffs.

A client sees the real line endings and never the byte order mark, so writing back what was read gives the same bytes.
"""

from __future__ import annotations

import codecs
import difflib
import hashlib
import os
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, pairwise, takewhile
from typing import Literal, Protocol

from codebuddy.files.confinement import ProjectRoot, about
from codebuddy.files.encodings import declared_encoding
from codebuddy.files.paths import WorkspacePath
from codebuddy.schemas.encodings import codec_of
from codebuddy.tool import ToolError

Encoding = str
"""``utf-8``, ``utf-8-bom``, ``utf-16-le``, ``utf-16-be``, or what a project declares for the file."""

LineEnding = Literal["lf", "crlf", "cr", "mixed", "none"]

_CODECS: dict[Encoding, tuple[bytes, str]] = {
    "utf-8-bom": (codecs.BOM_UTF8, "utf-8"),
    "utf-16-le": (codecs.BOM_UTF16_LE, "utf-16-le"),
    "utf-16-be": (codecs.BOM_UTF16_BE, "utf-16-be"),
    "utf-8": (b"", "utf-8"),  # last: the empty mark is a prefix of everything
}
_UTF32_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
# The line breaks of the Language Server Protocol (3.17, "Text Documents"). Not str.splitlines(): that also splits on
# form feeds, U+2028 and others, which language servers count as ordinary characters.
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")
LINE_BREAK = re.compile(r"\r\n|\n|\r")
LINE_ENDINGS: dict[LineEnding, str] = {"lf": "\n", "crlf": "\r\n", "cr": "\r"}

_SHOWN = 10  # line numbers in a message

# Of diffs.
_EXACT_LINES = 1000  # difflib is quadratic: with more differing lines on a side, one block replaces the other
_CONTEXT = 3

# Of reading files, in bytes.
MAX_FILE_BYTES = 4 * 1024 * 1024
_CHUNK = 256 * 1024


@dataclass(frozen=True)
class Text:
    """A decoded file: its text with real line endings, without byte order mark, and the encoding to write it back.

    Args:
        data: its bytes, if its encoding is a declared one, where a character may be written in several ways.
    """

    content: str
    encoding: Encoding
    data: bytes | None = field(default=None, compare=False, repr=False)

    @property
    def line_ending(self) -> LineEnding:
        """How the lines end."""
        return line_ending_of(self.content)


def content_hash(data: bytes) -> str:
    """Return the hash by which contents are compared: SHA-256 of the raw bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def decode(data: bytes, path: WorkspacePath | None = None) -> Text:
    """Decode UTF-8, UTF-16 with a mark, or what is declared for a path; `encode_again` gives the same bytes again.

    Raises:
        ToolError: ``binary_file`` or ``unsupported_encoding``.
    """
    if data.startswith(_UTF32_MARKS):
        raise _unsupported("UTF-32")
    encoding = next(name for name, (mark, _) in _CODECS.items() if data.startswith(mark))
    mark, codec = _CODECS[encoding]
    declared = declared_encoding(path.project, path.relative_wire) if path is not None and not mark else None
    if declared is not None:
        return _decode_declared(data, declared)
    try:
        content = data[len(mark) :].decode(codec)
    except UnicodeDecodeError:
        raise _binary() if b"\0" in data and encoding == "utf-8" else _unsupported("neither UTF-8 nor UTF-16") from None
    if "\0" in content:
        raise _binary()
    return Text(content, encoding)


def _decode_declared(data: bytes, declared: str) -> Text:
    try:
        content = data.decode(codec_of(declared) or declared)
    except UnicodeDecodeError as error:
        line = 1 + data.count(b"\n", 0, error.start)
        raise (
            _binary()
            if b"\0" in data
            else ToolError(
                "unsupported_encoding",
                f"The file is declared as {declared} (the project's setting `encodings`), and line {line} is none; "
                "declare another encoding for it.",
            )
        ) from None
    if "\0" in content:
        raise _binary()
    return Text(content, declared, data)


def encode(content: str, encoding: Encoding = "utf-8") -> bytes:
    """Encode text for a file, with the encoding's mark.

    Raises:
        ToolError: ``invalid_text`` for NUL or lone surrogates, which no text file can hold, and for a character that
            a declared encoding does not have.
    """
    if "\0" in content:
        raise ToolError("invalid_text", "The text contains NUL, which would make it a binary file; leave it out.")
    mark, codec = _CODECS.get(encoding) or (b"", codec_of(encoding) or encoding)
    try:
        return mark + content.encode(codec)
    except UnicodeEncodeError as error:
        if encoding not in _CODECS:
            letter, line = content[error.start], 1 + content.count("\n", 0, error.start)
            raise ToolError(
                "invalid_text",
                f"The file is declared as {encoding}, which has no {letter!r} (U+{ord(letter):04X}, in line {line} of "
                "the new text); write it otherwise, or declare another encoding and convert the file.",
            ) from None
        raise ToolError("invalid_text", "The text contains a lone surrogate, which cannot be encoded.") from None


def encode_like(content: str, old: Text) -> bytes:
    """Encode new content for a file that holds old text, keeping its encoding, mark and uniform line ending.

    If the breaks of the new content are all LF, they become the CRLF (or CR) that the old text uses throughout; content
    with any CR is written as it is.

    Raises:
        ToolError: ``invalid_text``.
    """
    if old.encoding != "utf-8":
        content = content.removeprefix("\ufeff")  # `encode` writes the mark; there must not be two
    if line_ending_of(content) == "lf" and old.line_ending in ("crlf", "cr"):
        content = content.replace("\n", LINE_ENDINGS[old.line_ending])
    return encode_again(content, old)


def encode_again(content: str, old: Text) -> bytes:
    """Encode new content for a file that holds old text; the bytes of what stays of it stay as they are.

    Raises:
        ToolError: ``invalid_text``.
    """
    new = encode(content, old.encoding)
    if old.data is None or encode(old.content, old.encoding) == old.data:
        return new
    old_lines, new_lines = _units(old), split_keeping_breaks(content)
    texts = ["".join(letter for letter, _ in line) for line in old_lines]
    pieces = list[bytes]()
    for kind, first, last, begin, end in difflib.SequenceMatcher(None, texts, new_lines, autojunk=False).get_opcodes():
        units, text = list(chain.from_iterable(old_lines[first:last])), "".join(new_lines[begin:end])
        if kind == "equal":
            pieces.append(b"".join(raw for _, raw in units))
        else:
            pieces.append(_encode_between(units, text, old.encoding))
    return b"".join(pieces)


def _units(text: Text) -> list[list[tuple[str, bytes]]]:
    """Return the lines of a text, with the bytes of each character."""
    decoder = codecs.getincrementaldecoder(codec_of(text.encoding) or text.encoding)()
    units, raw = list[tuple[str, bytes]](), b""
    for number in text.data or b"":
        raw += bytes([number])
        if letters := decoder.decode(raw[-1:]):
            units.append((letters, raw))
            raw = b""
    ends = accumulate(map(len, split_keeping_breaks(text.content)))
    return [units[begin:end] for begin, end in pairwise([0, *ends])]


def _encode_between(units: list[tuple[str, bytes]], text: str, encoding: Encoding) -> bytes:
    """Encode what replaces some characters; those that it begins or ends with keep their bytes."""
    most = min(len(units), len(text))
    head = next((at for at in range(most) if units[at][0] != text[at]), most)
    tail = next((at for at in range(most - head) if units[-1 - at][0] != text[-1 - at]), most - head)
    kept = b"".join(raw for _, raw in units[:head]), b"".join(raw for _, raw in units[len(units) - tail :])
    return kept[0] + encode(text[head : len(text) - tail], encoding) + kept[1]


def line_ending_of(content: str) -> LineEnding:
    """Say how the lines of a text end; ``none`` when it has no line break."""
    crlf = content.count("\r\n")
    found: list[LineEnding] = []
    if crlf:
        found.append("crlf")
    if content.count("\n") > crlf:
        found.append("lf")
    if content.count("\r") > crlf:
        found.append("cr")
    if not found:
        return "none"
    return found[0] if len(found) == 1 else "mixed"


def fit_line_breaks(new: str, content: str, at: int) -> str:
    """Give new text the line break used at offset ``at``: the first one from there on, else the last one before.

    New text that has a carriage return stays as it is.
    """
    if "\r" in new or "\n" not in new or "\r" not in content:
        return new
    after = LINE_BREAK.search(content, at)
    if after is not None:
        return new.replace("\n", after[0])
    end = max(content.rfind("\n", 0, at), content.rfind("\r", 0, at)) + 1
    ending = "\r\n" if content.endswith("\r\n", 0, end) else content[end - 1 : end]
    return new.replace("\n", ending or "\n")


def split_keeping_breaks(content: str) -> list[str]:
    """Split into lines that keep their breaks; there is no last empty line, and joining them gives the text again."""
    if "\r" in content:
        return _LINE.findall(content)
    *lines, last = content.split("\n")  # several times faster than the expression
    return [f"{line}\n" for line in lines] + ([last] if last else [])


def _binary() -> ToolError:
    return ToolError(
        "binary_file", "This is a binary file; only text is read and edited. Use run_command to inspect it."
    )


def _unsupported(what: str) -> ToolError:
    return ToolError(
        "unsupported_encoding",
        f"The file is {what}; only UTF-8, UTF-16 with a byte order mark, and what the project's setting `encodings` "
        "declares are read. Convert it first, or declare its encoding.",
    )


@dataclass(frozen=True)
class TextEdit:
    """Replace a text that occurs exactly ``count`` times.

    Without a carriage return in it, old_text matches any line breaks of the file; with one, it is matched character by
    character. The line breaks of new_text become those of the place it goes to, unless it has a carriage return.
    """

    old_text: str
    new_text: str
    count: int = 1


def apply_edits(content: str, edits: Sequence[TextEdit]) -> str:
    """Apply replacements in order, each to the result of the one before; all or none.

    Raises:
        ToolError: ``no_match`` or ``ambiguous_match``, with the lines.
    """
    for number, edit in enumerate(edits, 1):
        content = _apply(content, edit, f"edits[{number - 1}]")
    return content


def _apply(content: str, edit: TextEdit, name: str) -> str:
    if not edit.old_text:
        raise ToolError("invalid_arguments", f"{name}.old_text is empty; use write_file to write a whole file.")
    spans = _find(content, edit.old_text, name)
    if not spans:
        raise ToolError("no_match", f"{name}.old_text does not occur in the file{_hint(content, edit.old_text)}.")
    if len(spans) != edit.count:
        lines = _listed([_line_at(content, start) for start, _ in spans])
        raise ToolError(
            "ambiguous_match",
            f"{name}.old_text occurs {len(spans)} times, not {edit.count} (lines {lines}); "
            f"add surrounding text to make it unique, or set count to {len(spans)} to replace all.",
        )
    pieces, done = [], 0
    for start, end in spans:
        pieces += [content[done:start], fit_line_breaks(edit.new_text, content, start)]
        done = end
    return "".join([*pieces, content[done:]])


def _find(content: str, old: str, name: str) -> list[tuple[int, int]]:
    """Return the (start, end) of every occurrence."""
    if "\r" in old or "\r" not in content or "\n" not in old:
        return _occurrences(content, old, name)
    plain, shifts = _without_carriage_returns(content)
    return [(_real(start, shifts), _real(end, shifts)) for start, end in _occurrences(plain, old, name)]


def _occurrences(content: str, old: str, name: str) -> list[tuple[int, int]]:
    spans = []
    start = content.find(old)
    while start >= 0:
        end = start + len(old)
        spans.append((start, end))
        overlapping = content.find(old, start + 1, end + len(old) - 1)
        if overlapping >= 0:
            lines = _listed([_line_at(content, start), _line_at(content, overlapping)])
            raise ToolError(
                "ambiguous_match",
                f"{name}.old_text occurs at places that overlap (lines {lines}); add surrounding text.",
            )
        start = content.find(old, end)
    return spans


def _without_carriage_returns(content: str) -> tuple[str, list[int]]:
    """Turn every break into LF; also return the new offsets, each of which has one more dropped character before it."""
    shifts = [found.start() + 1 - index for index, found in enumerate(re.finditer("\r\n", content))]
    return LINE_BREAK.sub("\n", content), shifts


def _real(offset: int, shifts: list[int]) -> int:
    return offset + bisect_right(shifts, offset)


def _line_at(content: str, offset: int) -> int:
    return 1 + sum(1 for _ in LINE_BREAK.finditer(content, 0, offset))


def _hint(content: str, old: str) -> str:
    if "\r" in old and "\r" not in content:
        return "; it has carriage returns and the file has none"
    first = next((line.strip() for line in old.splitlines() if line.strip()), "")
    near = [number for number, line in enumerate(split_keeping_breaks(content), 1) if first and line.strip() == first]
    if not near:
        return "; read the file again and copy the text exactly"
    return f"; its first line occurs with other white space or another continuation at lines {_listed(near)}"


def _listed(lines: list[int]) -> str:
    more = ", ..." if len(lines) > _SHOWN else ""
    return ", ".join(str(line) for line in lines[:_SHOWN]) + more


class Range(Protocol):
    """New text for a range: 1-based, columns in code points, the end exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int
    new_text: str


@dataclass(frozen=True)
class _Span:
    """An edit by offsets into the text; ``number`` is its index in the list of edits."""

    start: int
    end: int
    number: int
    new_text: str


def apply_range_edits(content: str, edits: Sequence[Range]) -> str:
    """Apply edits whose positions all refer to the text before any of them; all or none.

    Lines end at CR LF, LF or CR, as in the Language Server Protocol (3.17, "Text Documents"). Insertions at one place
    keep their order, and come before an edit that replaces what begins there ("TextEdit[]"). New text without a
    carriage return gets the line break of its place.

    Raises:
        ToolError: ``invalid_range``, saying what the text has there; ``overlapping_edits``.
    """
    lines = _Lines(content)
    spans = [_Span(*lines.span(edit, f"edits[{number}]"), number, edit.new_text) for number, edit in enumerate(edits)]
    spans.sort(key=lambda span: (span.start, span.end))  # a stable sort: insertions at one place keep their order
    for one, other in pairwise(spans):
        if other.start < one.end:
            first, second = sorted((one.number, other.number))
            raise ToolError(
                "overlapping_edits",
                f"edits[{first}] and edits[{second}] overlap, and all positions refer to the text before any of them; "
                "make one edit of them.",
            )
    pieces, done = [], 0
    for span in spans:
        pieces += [content[done : span.start], fit_line_breaks(span.new_text, content, span.start)]
        done = span.end
    return "".join([*pieces, content[done:]])


class _Lines:
    """The offsets of the lines of a text."""

    def __init__(self, content: str) -> None:
        lines = split_keeping_breaks(content)
        if not lines or lines[-1].endswith(("\r", "\n")):
            lines.append("")  # a position may be after the last line break
        self._starts = [0, *accumulate(map(len, lines))]
        self._widths = [len(line.rstrip("\r\n")) for line in lines]

    def span(self, edit: Range, name: str) -> tuple[int, int]:
        """Return the offsets of an edit's beginning and end; raise ToolError ``invalid_range``."""
        start = self._offset(edit.line, edit.column, name)
        end = self._offset(edit.end_line, edit.end_column, name)
        if end < start:
            raise ToolError(
                "invalid_range",
                f"{name} ends at {edit.end_line}:{edit.end_column}, before it begins at {edit.line}:{edit.column}.",
            )
        return start, end

    def _offset(self, line: int, column: int, name: str) -> int:
        count = len(self._widths)
        if not 1 <= line <= count:
            raise ToolError(
                "invalid_range",
                f"{name} names line {line}; the file has lines 1 to {count}. Read it again.",
            )
        last = self._widths[line - 1] + 1
        if not 1 <= column <= last:
            raise ToolError(
                "invalid_range",
                f"{name} names column {column} of line {line}, which has columns 1 to {last}; they count Unicode code "
                "points. Read the file again.",
            )
        return self._starts[line - 1] + column - 1


def unified_diff(
    path: str, before: str | None, after: str | None, max_bytes: int = 32 * 1024, old_path: str | None = None
) -> str:
    """Compare two texts; before is None when the file is new, after is None when it was deleted.

    Lines end at LF only, as in git, so that a patch program can apply the diff and a changed carriage return is
    visible. A diff longer than ``max_bytes`` is cut, and its last line says so. If the file was moved, ``old_path`` is
    its name before.
    """
    old, new = (before or "").split("\n"), (after or "").split("\n")
    old, new = [line + "\n" for line in old], [line + "\n" for line in new]
    old, new = _mark_end(old), _mark_end(new)
    head = [
        f"--- {'/dev/null' if before is None else 'a/' + (old_path or path)}\n",
        f"+++ {'/dev/null' if after is None else 'b/' + path}\n",
    ]
    if old == new:
        return ""
    return _cut("".join(head + _hunks(old, new)), max_bytes)


def _mark_end(lines: list[str]) -> list[str]:
    """Drop the empty rest after a final newline; mark a last line that has none."""
    if lines[-1] == "\n":
        return lines[:-1]
    return [*lines[:-1], lines[-1] + "\\ No newline at end of file\n"]


def _hunks(old: list[str], new: list[str]) -> list[str]:
    """Diff only what lies between the common beginning and end."""
    head = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))
    rest = zip(reversed(old[head:]), reversed(new[head:]), strict=False)
    tail = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], rest))
    first = max(0, head - _CONTEXT)
    old_part = old[first : len(old) - max(0, tail - _CONTEXT)]
    new_part = new[first : len(new) - max(0, tail - _CONTEXT)]
    if max(len(old_part), len(new_part)) > _EXACT_LINES:
        return _one_hunk(old_part, new_part, first, head - first, min(tail, _CONTEXT))
    lines = list(difflib.unified_diff(old_part, new_part, n=_CONTEXT))[2:]
    return [_shift(line, first) if line.startswith("@@") else line for line in lines]


def _one_hunk(old: list[str], new: list[str], first: int, lead: int, trail: int) -> list[str]:
    header = f"@@ -{first + bool(old)},{len(old)} +{first + bool(new)},{len(new)} @@\n"
    gone, come = old[lead : len(old) - trail], new[lead : len(new) - trail]
    kept = [" " + line for line in old[:lead]], [" " + line for line in old[len(old) - trail :]]
    return [header, *kept[0], *("-" + line for line in gone), *("+" + line for line in come), *kept[1]]


def _shift(header: str, lines: int) -> str:
    """Move a hunk header down by the lines that were cut off before it."""
    _, old, new, _ = header.split(" ", 3)
    return f"@@ {_moved(old, lines)} {_moved(new, lines)} @@\n"


def _moved(part: str, lines: int) -> str:
    start, comma, count = part[1:].partition(",")
    return f"{part[0]}{int(start) + lines}{comma}{count}"


def _cut(diff: str, max_bytes: int) -> str:
    if len(diff.encode()) <= max_bytes:
        return diff
    kept = diff.encode()[:max_bytes].decode("utf-8", "ignore")
    kept = kept[: kept.rfind("\n") + 1]
    return f"{kept}... diff cut after {kept.count(chr(10))} of {diff.count(chr(10))} lines\n"


@dataclass(frozen=True)
class Excerpt:
    """A whole file or a range of its lines.

    Args:
        content: the text with its real line endings, without byte order mark.
        hash: of the whole file's raw bytes.
        start_line: first line given, 1-based.
        end_line: last line given, inclusive; start_line - 1 when there is none.
        total_lines: of the whole file; a final line break does not begin another line.
        truncated: the answer ends before what was asked for; continue at end_line + 1, or as ``next_column`` says.
        next_column: where to continue in end_line, which is not given to its end; None if it is.
    """

    content: str
    hash: str
    start_line: int
    end_line: int
    total_lines: int
    truncated: bool
    encoding: Encoding
    line_ending: LineEnding
    next_column: int | None = None


def read_limited(fd: int, limit: int) -> bytes:
    """Read an open file whole, whatever its size claims to be.

    Raises:
        ToolError: ``too_large``: it has more than ``limit`` bytes.
    """
    size = os.fstat(fd).st_size
    chunks = [os.read(fd, size + 1)] if size <= limit else []
    got = sum(map(len, chunks))
    if chunks and got == size:
        return chunks[0]  # nearly always: one read is enough
    while size <= limit and got <= limit:
        chunk = os.read(fd, min(_CHUNK, limit + 1 - got))
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
        got += len(chunk)
    raise ToolError(
        "too_large",
        f"The file has {max(size, got)} bytes and the limit is {limit}; look into it with run_command (head, sed).",
    )


def read_bytes(root: ProjectRoot, path: WorkspacePath, limit: int = MAX_FILE_BYTES) -> bytes:
    """Read a regular file whole.

    Raises:
        ToolError: ``too_large``, and as `ProjectRoot.file`.
    """
    with root.file(path) as fd, about(path):
        return read_limited(fd, limit)


def read_excerpt(
    root: ProjectRoot,
    path: WorkspacePath,
    start_line: int | None = None,
    end_line: int | None = None,
    *,
    start_column: int | None = None,
    limit: int = MAX_FILE_BYTES,
    answer_bytes: int = 256 * 1024,
) -> Excerpt:
    """Read a text file, or a range of its lines (1-based, inclusive; the end may lie beyond the last line).

    Args:
        start_column: where in the first line to begin, in code points from 1.

    Raises:
        ToolError: ``invalid_range``, ``too_large``, ``binary_file``, ``unsupported_encoding``, and as
            `ProjectRoot.file`.
    """
    return excerpt_of(
        path, read_bytes(root, path, limit), start_line, end_line, start_column, answer_bytes=answer_bytes
    )


def excerpt_of(
    path: WorkspacePath,
    data: bytes,
    start_line: int | None = None,
    end_line: int | None = None,
    start_column: int | None = None,
    *,
    answer_bytes: int = 256 * 1024,
) -> Excerpt:
    """Make the excerpt of a file's content.

    Raises:
        ToolError: as `read_excerpt`, for the content and the range.
    """
    with about(path):
        text = decode(data, path)
        lines = split_keeping_breaks(text.content)
        first, last = _range(start_line, end_line, len(lines))
        chosen = _from_column(lines[first - 1 : last], first, start_column or 1)
    # In UTF-8 a text takes at most twice the bytes of the file, whatever its encoding.
    kept = chosen if 2 * len(data) <= answer_bytes else _fitting(chosen, answer_bytes)
    return Excerpt(
        content="".join(kept),
        hash=content_hash(data),
        start_line=first,
        end_line=first + len(kept) - 1,
        total_lines=len(lines),
        truncated=len(kept) < len(chosen) or kept != chosen,
        encoding=text.encoding,
        line_ending=text.line_ending,
        next_column=(start_column or 1) + len(kept[0]) if kept and kept[0] != chosen[0] else None,
    )


def _from_column(lines: list[str], first: int, column: int) -> list[str]:
    if column == 1:
        return lines
    width = len(lines[0]) if lines else 0
    if column > width:
        raise ToolError(
            "invalid_range", f"Line {first} has {width} characters; start_column {column} is after its end."
        )
    return [lines[0][column - 1 :], *lines[1:]]


def _range(start: int | None, end: int | None, total: int) -> tuple[int, int]:
    first, last = start or 1, total if end is None else min(end, total)
    if first > max(total, 1):
        raise ToolError("invalid_range", f"The file has {total} lines; start_line {first} is after its end.")
    if end is not None and end < first:
        raise ToolError("invalid_range", f"end_line {end} is before start_line {first}.")
    return first, last


def _fitting(lines: list[str], room: int) -> list[str]:
    """Keep whole lines up to ``room`` bytes, or the beginning of a first line that alone is longer."""
    kept: list[str] = []
    for line in lines:
        size = len(line) if line.isascii() else len(line.encode())
        if size > room:
            return kept or [line.encode()[:room].decode("utf-8", "ignore")]
        kept.append(line)
        room -= size
    return kept
