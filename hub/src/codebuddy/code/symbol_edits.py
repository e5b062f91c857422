"""Edits of declarations: a symbol replaced, or something put above or below it. Pure but for asking."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from codebuddy.code.asking import Answer, Unsettled
from codebuddy.code.declarations import Declaration, find_declaration, indent_of, is_comment, is_leader
from codebuddy.code.places import Symbol, find_symbol
from codebuddy.code.questions import Question, file_symbols
from codebuddy.code.reducing import reduced
from codebuddy.code.wanted import read_source
from codebuddy.language.documents import StaleText
from codebuddy.language.readiness import Report
from codebuddy.language.servers import LanguageServers
from codebuddy.schemas.code import PlannedChanges, SymbolEditArguments
from codebuddy.schemas.files import FileChange, RangeEdit
from codebuddy.tool import ToolError

__all__ = ["fitted", "inserted", "plan_symbol_edit", "replaced"]

_PYTHON: Final = (".py", ".pyi")
_CLOSER: Final = re.compile(r"\s*([)\]}]|end\b)")


async def plan_symbol_edit(servers: LanguageServers, arguments: SymbolEditArguments, report: Report) -> PlannedChanges:
    """Give the change that replaces a symbol, or puts something beside it, for the bytes that the server saw.

    Raises:
        ToolError: ``no_such_symbol``, ``ambiguous_symbol``, ``shares_line``; the file cannot be read.
    """
    path = servers.tree.locate(arguments.path)
    read_source(servers.tree.read(path)[0], arguments.path)
    question = Question.begin(servers, arguments.timeout_seconds, report)

    async def plan() -> list[FileChange]:
        symbols, answer = await file_symbols(question, path)
        source = read_source(servers.tree.read(path)[0], arguments.path)
        if answer.lines.get(path) != source.lines:
            raise StaleText(arguments.path)
        edits = _edits(source.lines, _chosen(symbols, answer, arguments), arguments, source.ending)
        return [FileChange(path=arguments.path, expected_hash=source.hash, edits=edits)] if edits else []

    try:
        return PlannedChanges(complete=True, changes=await question.persist(plan))
    except Unsettled as unsettled:
        answer = unsettled.answer
        return PlannedChanges(complete=False, reason=answer.reason, message=answer.message, changes=[])


def _chosen(symbols: list[Symbol], answer: Answer, arguments: SymbolEditArguments) -> Symbol:
    """Give the symbol that is meant.

    Raises:
        Unsettled: it may come to light once the server has loaded.
        ToolError: ``no_such_symbol``, ``ambiguous_symbol``.
    """
    if arguments.line is not None:
        symbols = [one for one in symbols if one.line == arguments.line] or symbols
    try:
        return find_symbol(symbols, arguments.symbol, arguments.path)
    except ToolError as error:
        if answer.reason is not None:
            raise Unsettled(answer) from None
        if error.code == "ambiguous_symbol":
            error.message = error.message.replace("give line and column, or one of", "give its line, or one of")
        raise


def _edits(lines: list[str], symbol: Symbol, arguments: SymbolEditArguments, ending: str | None) -> list[RangeEdit]:
    declaration = find_declaration(lines, symbol.full, symbol.line, arguments.path)
    if arguments.action == "replace":
        edit = replaced(lines, declaration, arguments.content, arguments.path)
        return reduced(lines, edit, ending)
    return [inserted(lines, declaration, arguments.content, arguments.path, below=arguments.action == "after")]


def replaced(lines: Sequence[str], found: Declaration, content: str, path: str) -> RangeEdit:
    """Give the edit that puts new code in the place of a declaration, its decorators and attributes.

    The comments above it stay, unless the new code begins with one. So does a comma or semicolon behind it.
    """
    new = fitted(_trimmed(content), found.indent, path)
    kept = [] if is_comment(new[0], path) else [lines[at - 1] for at in found.comments]
    new[-1] = _separated(new[-1], found.separator)
    return _edit((found.top, 1), (found.end, len(lines[found.end - 1]) + 1), [*kept, *new])


def inserted(lines: Sequence[str], found: Declaration, content: str, path: str, *, below: bool) -> RangeEdit:
    """Give the edit that puts code above or below a declaration, with blank lines between as the language has them."""
    new = fitted(_trimmed(content), found.indent, path)
    gap = _gap(found, new, path)
    own = content.replace("\r\n", "\n").replace("\r", "\n")
    if below:
        asked = len(own) - len(own.lstrip("\n"))
        after = _missing(lines[found.end :], found.indent, gap)
        place = (found.end, len(lines[found.end - 1]) + 1)
        return _edit(place, place, [""] + [""] * max(gap, asked) + new + [""] * after)
    asked = max(0, len(own) - len(own.rstrip("\n")) - 1)
    before = _missing(lines[: found.top - 1][::-1], found.indent, gap)
    if _is_above(new, path):
        gap = before = 0  # a decorator or comment for the symbol itself
    return _edit((found.top, 1), (found.top, 1), [""] * before + new + [""] * max(gap, asked) + [""])


def fitted(content: str, indent: str, path: str) -> list[str]:
    """Give code with the indentation of the place it goes to.

    Code that is indented like its place already stays as it is, also when only its first line lacks that: where it
    is left off at the beginning of what was copied. Other code is moved as a whole.
    """
    lines = content.split("\n")
    rest = [line for line in lines[1:] if line.strip()]
    first = indent_of(lines[0])
    if first == indent:
        return lines
    if not first and rest and _goes_on(lines[0], rest, indent, path):
        return [indent + lines[0], *lines[1:]]
    common = _common_indent([lines[0], *rest])
    return [indent + line[len(common) :] if line.strip() else "" for line in lines]


def _goes_on(first: str, rest: list[str], indent: str, path: str) -> bool:
    """Say whether lines after the first are indented as in the file already, which the first one is not."""
    least = min((indent_of(line) for line in rest), key=len)
    if not indent or not least.startswith(indent):
        return False
    if least != indent:
        return True
    lowest = [line for line in rest if indent_of(line) == least]
    begins = is_leader(first, path) or is_comment(first, path)
    return begins or all(_CLOSER.match(line) for line in lowest)


def _common_indent(lines: Sequence[str]) -> str:
    shortest = min((indent_of(line) for line in lines), key=len)
    return shortest if all(line.startswith(shortest) for line in lines) else ""


def _separated(line: str, separator: str) -> str:
    """Give a line with the separator at its end, before a comment; once."""
    code = re.split(r"\s+(?:#|//|/\*)", line, maxsplit=1)[0].rstrip()
    return line if not separator or code.endswith(separator) else code + separator + line[len(code) :]


def _gap(found: Declaration, new: list[str], path: str) -> int:
    """Give how many blank lines stand between a declaration and its neighbour: none between single lines."""
    if found.top == found.end and len(new) == 1:
        return 0
    return 2 if path.endswith(_PYTHON) and not found.indent else 1


def _missing(neighbours: Sequence[str], indent: str, gap: int) -> int:
    """Give how many blank lines lack before the next neighbour on the same level; the end of a block wants none."""
    blank = next((at for at, line in enumerate(neighbours) if line.strip()), None)
    if blank is None or indent_of(neighbours[blank]) != indent or _CLOSER.match(neighbours[blank]):
        return 0
    return max(0, gap - blank)


def _is_above(new: list[str], path: str) -> bool:
    return is_leader("\n".join(new), path) or all(is_comment(line, path) for line in new)


def _trimmed(content: str) -> str:
    """Give code without blank lines around it, and with plain line breaks: it gets those of its place.

    Raises:
        ToolError: ``invalid_arguments``: there is nothing else.
    """
    text = re.sub(r"\A(?:[^\S\n]*\n)+", "", content.replace("\r\n", "\n").replace("\r", "\n")).rstrip()
    if not text:
        raise ToolError("invalid_arguments", "The content is blank; to remove a symbol, use edit_file.")
    return text


def _edit(start: tuple[int, int], end: tuple[int, int], lines: list[str]) -> RangeEdit:
    return RangeEdit(line=start[0], column=start[1], end_line=end[0], end_column=end[1], new_text="\n".join(lines))
