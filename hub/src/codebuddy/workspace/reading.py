"""Reading files of a project, whole or by lines."""

from __future__ import annotations

import os
from dataclasses import dataclass

from codebuddy.errors import ToolError
from codebuddy.workspace.confinement import ProjectRoot
from codebuddy.workspace.failures import about
from codebuddy.workspace.paths import WorkspacePath
from codebuddy.workspace.text import Encoding, LineEnding, content_hash, decode, split_lines

__all__ = ["MAX_FILE_BYTES", "Excerpt", "read_bytes", "read_excerpt", "read_limited"]

MAX_FILE_BYTES = 4 * 1024 * 1024
_CHUNK = 256 * 1024


@dataclass(frozen=True)
class Excerpt:
    """A whole file or a range of its lines.

    Args:
        content: the text with its real line endings, without byte order mark.
        hash: of the whole file's raw bytes.
        start_line: first line given, 1-based.
        end_line: last line given, inclusive; start_line - 1 when there is none.
        total_lines: of the whole file; a final line break does not begin another line.
        truncated: the answer ends before what was asked for; go on at end_line + 1.
    """

    content: str
    hash: str
    start_line: int
    end_line: int
    total_lines: int
    truncated: bool
    encoding: Encoding
    line_ending: LineEnding


def read_limited(fd: int, limit: int) -> bytes:
    """Read all of an open file, at most ``limit`` bytes of it, whatever its size claims to be.

    Raises:
        ToolError: ``too_large``.
    """
    size = os.fstat(fd).st_size
    chunks: list[bytes] = []
    got = 0
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
    limit: int = MAX_FILE_BYTES,
    answer_bytes: int = 256 * 1024,
) -> Excerpt:
    """Read a text file, or lines start_line to end_line of it (1-based, inclusive; an end beyond the last line is
    fine).

    Raises:
        ToolError: ``invalid_range``, ``too_large``, ``binary_file``, ``unsupported_encoding``, and as
            `ProjectRoot.file`.
    """
    data = read_bytes(root, path, limit)
    with about(path):
        text = decode(data)
        lines = split_lines(text.content)
        first, last = _range(start_line, end_line, len(lines))
    chosen = lines[first - 1 : last]
    kept = _fitting(chosen, answer_bytes)
    return Excerpt(
        content="".join(kept),
        hash=content_hash(data),
        start_line=first,
        end_line=first + len(kept) - 1,
        total_lines=len(lines),
        truncated=len(kept) < len(chosen) or kept != chosen,
        encoding=text.encoding,
        line_ending=text.line_ending,
    )


def _range(start: int | None, end: int | None, total: int) -> tuple[int, int]:
    first, last = start or 1, total if end is None else min(end, total)
    if first > max(total, 1):
        raise ToolError("invalid_range", f"The file has {total} lines; start_line {first} is behind its end.")
    if end is not None and end < first:
        raise ToolError("invalid_range", f"end_line {end} is before start_line {first}.")
    return first, last


def _fitting(lines: list[str], room: int) -> list[str]:
    """Keep whole lines up to so many bytes; of a first line that alone is too long, its beginning."""
    kept: list[str] = []
    for line in lines:
        size = len(line) if line.isascii() else len(line.encode())
        if size > room:
            return kept or [line.encode()[:room].decode("utf-8", "ignore")]
        kept.append(line)
        room -= size
    return kept
