"""Text as bytes and back, exactly: encodings, byte order marks, line endings, lines. Pure; opens nothing.

A client sees the real line endings and never the byte order mark, so that writing back what was read gives the same
bytes.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from dataclasses import dataclass
from typing import Literal

from codebuddy.errors import ToolError

__all__ = [
    "Encoding",
    "LineEnding",
    "Text",
    "content_hash",
    "decode",
    "encode",
    "encode_like",
    "fit_line_breaks",
    "line_ending_of",
    "split_lines",
]

Encoding = Literal["utf-8", "utf-8-bom", "utf-16-le", "utf-16-be"]
LineEnding = Literal["lf", "crlf", "cr", "mixed", "none"]

_CODECS: dict[Encoding, tuple[bytes, str]] = {
    "utf-8-bom": (codecs.BOM_UTF8, "utf-8"),
    "utf-16-le": (codecs.BOM_UTF16_LE, "utf-16-le"),
    "utf-16-be": (codecs.BOM_UTF16_BE, "utf-16-be"),
    "utf-8": (b"", "utf-8"),  # last: the empty mark is a prefix of everything
}
_UTF32_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
# The line breaks of the Language Server Protocol (3.17, "Text Documents"); str.splitlines() knows many more.
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")
_BREAK = re.compile(r"\r\n|\n|\r")
_ENDINGS: dict[LineEnding, str] = {"lf": "\n", "crlf": "\r\n", "cr": "\r"}


@dataclass(frozen=True)
class Text:
    """A decoded file: its text without byte order mark, with its real line endings, and the encoding to write it
    back.
    """

    content: str
    encoding: Encoding

    @property
    def line_ending(self) -> LineEnding:
        """How the lines end."""
        return line_ending_of(self.content)


def content_hash(data: bytes) -> str:
    """Give the hash by which contents are compared: SHA-256 of the raw bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def decode(data: bytes) -> Text:
    """Decode UTF-8, or UTF-16 with its mark; ``encode(text.content, text.encoding)`` gives the same bytes again.

    Raises:
        ToolError: ``binary_file`` or ``unsupported_encoding``.
    """
    if data.startswith(_UTF32_MARKS):
        raise _unsupported("UTF-32")
    encoding = next(name for name, (mark, _) in _CODECS.items() if data.startswith(mark))
    mark, codec = _CODECS[encoding]
    try:
        content = data[len(mark) :].decode(codec)
    except UnicodeDecodeError:
        raise _binary() if b"\0" in data and encoding == "utf-8" else _unsupported("neither UTF-8 nor UTF-16") from None
    if "\0" in content:
        raise _binary()
    return Text(content, encoding)


def encode(content: str, encoding: Encoding = "utf-8") -> bytes:
    """Encode text for a file, with the encoding's mark.

    Raises:
        ToolError: ``invalid_text`` for NUL or lone surrogates, which no text file can hold.
    """
    if "\0" in content:
        raise ToolError("invalid_text", "The text contains NUL, which would make it a binary file; leave it out.")
    mark, codec = _CODECS[encoding]
    try:
        return mark + content.encode(codec)
    except UnicodeEncodeError:
        raise ToolError("invalid_text", "The text contains a lone surrogate, which cannot be encoded.") from None


def encode_like(content: str, old: Text) -> bytes:
    """Encode new content for a file that holds old text: its encoding and mark stay, and so does a uniform line ending.

    Content whose breaks are all LF takes a uniform CRLF (or CR) of the old text; content with any CR is written as it
    is.

    Raises:
        ToolError: ``invalid_text``.
    """
    if old.encoding != "utf-8":
        content = content.removeprefix("\ufeff")  # the mark is written by the encoding; never two of them
    if line_ending_of(content) == "lf" and old.line_ending in ("crlf", "cr"):
        content = content.replace("\n", _ENDINGS[old.line_ending])
    return encode(content, old.encoding)


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
    """Give new text the line break of the place it goes to: the first one in or after it, else the last one before.

    Args:
        new: the new text; with a carriage return in it, it stays as it is.
        content: the text that it goes into.
        at: where in that.
    """
    if "\r" in new or "\n" not in new or "\r" not in content:
        return new
    after = _BREAK.search(content, at)
    if after is not None:
        return new.replace("\n", after[0])
    end = max(content.rfind("\n", 0, at), content.rfind("\r", 0, at)) + 1
    ending = "\r\n" if content.endswith("\r\n", 0, end) else content[end - 1 : end]
    return new.replace("\n", ending or "\n")


def split_lines(content: str) -> list[str]:
    """Split into lines that keep their breaks, so that joining them gives the text again; no last empty line."""
    return _LINE.findall(content)


def _binary() -> ToolError:
    return ToolError(
        "binary_file", "This is a binary file; only text is read and edited. Use run_command to inspect it."
    )


def _unsupported(what: str) -> ToolError:
    return ToolError(
        "unsupported_encoding",
        f"The file is {what}; only UTF-8, and UTF-16 with a byte order mark, are read. Convert it first.",
    )
