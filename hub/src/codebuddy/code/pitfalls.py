"""Renames that language servers make and that break the code: to reserved words, of shorthand properties. Pure."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable
from typing import Final

from codebuddy.schemas.files import RangeEdit
from codebuddy.tool import ToolError

__all__ = ["require_no_shorthand", "require_not_reserved"]

_SCRIPTS: Final = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs")
_MARKUP: Final = (".tsx", ".jsx")

# ECMAScript 2025, "Keywords and Reserved Words", in strict mode, as modules are.
_RESERVED: Final = frozenset(
    [
        "await",
        "break",
        "case",
        "catch",
        "class",
        "const",
        "continue",
        "debugger",
        "default",
        "delete",
        "do",
        "else",
        "enum",
        "export",
        "extends",
        "false",
        "finally",
        "for",
        "function",
        "if",
        "implements",
        "import",
        "in",
        "instanceof",
        "interface",
        "let",
        "new",
        "null",
        "package",
        "private",
        "protected",
        "public",
        "return",
        "static",
        "super",
        "switch",
        "this",
        "throw",
        "true",
        "try",
        "typeof",
        "var",
        "void",
        "while",
        "with",
        "yield",
        "arguments",
        "eval",
    ]
)

# Before the brace of a list of names, or of members, none of which is a property with a value of the same name.
_NO_OBJECT: Final = re.compile(
    r"(\b(import|export)\b[^;{}]*|\benum\s+[\w$]+\s*|\b(class|interface|namespace|module)\b[^;{}]*|\$)$"
)
_LOOK_BACK: Final = 500
_COMMENT: Final = re.compile(r"(?<!:)//.*")


def require_not_reserved(path: str, new_name: str) -> None:
    """Refuse a new name that is a word of the language; rust-analyzer writes such a name so that it is one.

    Raises:
        ToolError: ``cannot_rename``.
    """
    is_python = path.endswith((".py", ".pyi")) and keyword.iskeyword(new_name)
    if is_python or (path.endswith(_SCRIPTS) and new_name in _RESERVED):
        raise ToolError("cannot_rename", f"{new_name!r} is a reserved word of the language; take another name.", path)


def require_no_shorthand(path: str, lines: list[str], edits: Iterable[RangeEdit], new_name: str) -> None:
    """Refuse to rename a shorthand property (``{ name }``): it names a property and a value, and only one is meant.

    TypeScript's server can write ``{ new: old }`` there, but then it no longer renames imports either.

    Args:
        path: the file.
        lines: its text.
        edits: of the rename.
        new_name: what is written.

    Raises:
        ToolError: ``cannot_rename``, saying what to write first.
    """
    if not path.endswith(_SCRIPTS):
        return
    for edit in edits:
        if edit.new_text == new_name and edit.line == edit.end_line and _is_shorthand(path, lines, edit):
            old = lines[edit.line - 1][edit.column - 1 : edit.end_column - 1]
            raise ToolError(
                "cannot_rename",
                f"{path}:{edit.line}:{edit.column} has the shorthand property {old!r}, of which only one half is to be "
                f"renamed; write it as '{old}: {old}' first.",
                path,
            )


def _is_shorthand(path: str, lines: list[str], edit: RangeEdit) -> bool:
    line = lines[edit.line - 1]
    above = [_COMMENT.sub("", one) for one in lines[max(0, edit.line - 100) : edit.line - 1]]
    before = "\n".join([*above, line[: edit.column - 1]])
    after = "\n".join([line[edit.end_column - 1 :], *lines[edit.line : edit.line + 20]]).lstrip()
    if not before.rstrip().endswith(("{", ",")) or not re.match(r"[,}]|=(?![=>])", after):
        return False
    opening = _opening(before)
    if opening is None:
        return False
    if path.endswith(_MARKUP) and before.endswith("{") and after.startswith("}"):
        return False  # an expression in markup: <b>{name}</b>
    return not _NO_OBJECT.search(before[max(0, opening - _LOOK_BACK) : opening].rstrip(" \t\n"))


def _opening(before: str) -> int | None:
    """Give where the brace is that is open at the end of a text; None when it is another bracket, or none."""
    depth = 0
    for at in range(len(before) - 1, -1, -1):
        if before[at] in ")]}":
            depth += 1
        elif before[at] in "([{":
            if depth == 0:
                return at if before[at] == "{" else None
            depth -= 1
    return None
