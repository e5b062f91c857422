"""Edits of declarations: a symbol replaced, or something put above or below it. Pure but for asking."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from codebuddy.agent.code.answers import COMPLETE, Answer, NoAnswer
from codebuddy.agent.code.asking import Question, file_symbols
from codebuddy.agent.code.places import Symbol, find_symbol
from codebuddy.agent.code.workspace_edits import edit_between, minimal_edits, read_source
from codebuddy.agent.lsp.documents import StaleText
from codebuddy.agent.lsp.readiness import Report
from codebuddy.agent.lsp.servers import LanguageServers
from codebuddy.schemas.code import PlannedChanges, SymbolEditArguments
from codebuddy.schemas.files import FileChange, RangeEdit
from codebuddy.tool import ToolError

_MAX_LINES: Final = 100  # of one decorator or comment
_HASH_COMMENTS: Final = (".py", ".pyi", ".rb", ".sh", ".toml", ".yml", ".yaml", ".pl", ".r", ".ex", ".exs")
_PAIRS: Final = {"(": ")", "[": "]", "{": "}"}
_NAME: Final = re.compile(r"[\w.$:]+")
_TEMPLATE: Final = re.compile(r"template\s*<.*>\s*(requires\b.*)?")
_HEAD: Final = re.compile(r"\s*(\w+(\(\w+\))?\s+)*")
_REST_OF_VARIABLE: Final = re.compile(r"\s*(:|=(?!=))")


@dataclass(frozen=True)
class Declaration:
    """The declaration of a symbol. Lines count from 1."""

    top: int  # the first line of its comments, decorators and attributes, or of itself
    start: int  # the line on which it begins itself
    end: int  # the line on which it ends
    separator: str  # ``;`` or ``,`` after it, if there is one; ``""`` else. Only a comment may follow
    comments: tuple[int, ...]  # the lines above it that are comments
    indent: str  # the white space before it


def find_declaration(lines: Sequence[str], full: tuple[int, int, int, int], name_line: int, path: str) -> Declaration:
    """Find the declaration of a symbol.

    Args:
        full: what the server counts to it: line, column, end line, end column, 1-based.
        name_line: the line of its name.
        path: the file, which tells what a comment is, and for messages.

    Raises:
        ToolError: ``shares_line``: something else begins or ends on its lines.
    """
    start = _skip_leaders(lines, full[0], name_line, path)
    column = full[1] if start == full[0] else 1
    end, end_column = _end(lines, start, full[2], full[3])
    if end == start and _REST_OF_VARIABLE.match(lines[end - 1], end_column - 1):
        end, end_column = _end_of_statement(lines, end, path)
    head, tail = lines[start - 1][: column - 1], lines[end - 1][end_column - 1 :]
    separator = tail.lstrip()[:1] if tail.lstrip()[:1] in (";", ",") else ""
    if not _HEAD.fullmatch(head) or not _is_rest(tail.lstrip().removeprefix(separator), path):
        raise ToolError(
            "shares_line",
            f"The symbol shares a line with something else (line {start if not _HEAD.fullmatch(head) else end}); "
            "use edit_file.",
            path,
        )
    top, comments = _above(lines, start, path)
    return Declaration(top, start, end, separator, comments, indent_of(lines[start - 1]))


def indent_of(line: str) -> str:
    """Return the white space that a line begins with."""
    return line[: len(line) - len(line.lstrip())]


def is_comment(line: str, path: str) -> bool:
    """Say whether a line begins with a comment."""
    text = line.lstrip()
    if path.endswith(_HASH_COMMENTS):
        return text.startswith("#") and not text.startswith("#!")
    return text.startswith(("//", "/*", "--"))


def is_leader(text: str, path: str) -> bool:
    """Say whether a text is nothing but one decorator or attribute."""
    text = text.strip()
    if text.startswith("@"):
        return _is_rest(text[_end_of_decorator(text) :], path)
    if text.startswith(("#[", "[[")):
        return _is_rest(text[_end_of_bracket(text, text.index("[")) :], path)
    return bool(_TEMPLATE.fullmatch(text))


def _skip_leaders(lines: Sequence[str], line: int, name_line: int, path: str) -> int:
    """Return the first line that is no decorator, attribute, comment or blank; at the latest that of the name."""
    while line < name_line:
        if not lines[line - 1].strip():
            line += 1
            continue
        last = _end_of_leader(lines, line, path)
        if last is None or last >= name_line:
            break
        line = last + 1
    return line


def _end_of_leader(lines: Sequence[str], line: int, path: str) -> int | None:
    """Return the line on which a decorator, attribute or comment ends that begins on a line; None when none does."""
    text = lines[line - 1]
    if text.lstrip().startswith("/*"):
        return next((at for at in range(line, min(len(lines), line + _MAX_LINES) + 1) if "*/" in lines[at - 1]), None)
    if is_comment(text, path):
        return line
    if not text.lstrip().startswith(("@", "#[", "[[", "template")):
        return None
    for last in range(line, min(len(lines), line + _MAX_LINES) + 1):
        if is_leader("\n".join(lines[line - 1 : last]), path):
            return last
    return None


def _above(lines: Sequence[str], start: int, path: str) -> tuple[int, tuple[int, ...]]:
    """Return the first line of what belongs to a declaration above it, and which of those lines are comments."""
    indent, top, comments = indent_of(lines[start - 1]), start, list[int]()
    while top > 1 and lines[top - 2].strip():
        begin = _begin_of_leader(lines, top - 1, path)
        if begin is None or indent_of(lines[begin - 1]) != indent:
            break
        if is_comment(lines[begin - 1], path):
            comments += range(begin, top)
        top = begin
    return top, tuple(sorted(comments))


def _begin_of_leader(lines: Sequence[str], last: int, path: str) -> int | None:
    """Return the line on which a decorator, attribute or comment begins that ends on a line; None when none does."""
    text = lines[last - 1].strip()
    lowest = max(1, last - _MAX_LINES)
    if text.endswith("*/"):
        begin = next((at for at in range(last, lowest - 1, -1) if "/*" in lines[at - 1]), None)
        return begin if begin is not None and lines[begin - 1].lstrip().startswith("/*") else None
    if is_comment(text, path):
        return None if text.startswith("/*") else last
    for begin in range(last, lowest - 1, -1):
        if not lines[begin - 1].strip():
            return None
        if lines[begin - 1].lstrip().startswith(("@", "#[", "[[", "template")):
            return begin if is_leader("\n".join(lines[begin - 1 : last]), path) else None
        if not text.endswith((")", "]", ">")):
            return None
    return None


def _end(lines: Sequence[str], start: int, end: int, column: int) -> tuple[int, int]:
    """Return the end without the white space that some servers count to it."""
    if end > len(lines):
        end, column = len(lines), len(lines[-1]) + 1
    while end > start and not lines[end - 1][: column - 1].strip():
        end -= 1
        column = len(lines[end - 1]) + 1
    return end, len(lines[end - 1][: column - 1].rstrip()) + 1


def _end_of_statement(lines: Sequence[str], line: int, path: str) -> tuple[int, int]:
    """Return the end of an assignment of which the server counts only the name to the variable."""
    depth = 0
    for at in range(line, min(len(lines), line + _MAX_LINES) + 1):
        text = lines[at - 1]
        depth += sum(text.count(one) - text.count(other) for one, other in _PAIRS.items())
        if depth <= 0:
            return at, len(text.rstrip().rstrip(";,")) + 1
    raise ToolError("shares_line", f"What begins on line {line} does not end; use edit_file.", path)


def _is_rest(text: str, path: str) -> bool:
    return not text.strip() or is_comment(text, path) or text.lstrip().startswith(("//", "/*"))


def _end_of_decorator(text: str) -> int:
    """Return where the decorator ends that a text begins with: names and brackets one after the other."""
    at = 1
    while at < len(text):
        if text[at] in "([" and (end := _end_of_bracket(text, at)) > at:
            at = end
        elif name := _NAME.match(text, at):
            at = name.end()
        else:
            break
    return at


def _end_of_bracket(text: str, at: int) -> int:
    """Return where the bracket closes that opens at a place; the place itself when it does not close."""
    open_brackets, quote = list[str](), ""
    for index in range(at, len(text)):
        letter = text[index]
        if quote:
            quote = "" if letter == quote and text[index - 1] != "\\" else quote
        elif letter in "\"'":
            quote = letter
        elif letter in _PAIRS:
            open_brackets.append(_PAIRS[letter])
        elif open_brackets and letter == open_brackets[-1]:
            open_brackets.pop()
            if not open_brackets:
                return index + 1
    return at


_PYTHON: Final = (".py", ".pyi")
_CLOSER: Final = re.compile(r"\s*([)\]}]|end\b)")


async def plan_symbol_edit(servers: LanguageServers, arguments: SymbolEditArguments, report: Report) -> PlannedChanges:
    """Return the change that replaces a symbol, or puts something beside it, for the bytes that the server saw.

    Raises:
        ToolError: ``no_such_symbol``, ``ambiguous_symbol``, ``shares_line``; the file cannot be read.
    """
    path = servers.tree.locate(arguments.path)
    read_source(servers.tree.read(path)[0], arguments.path)
    question = Question.begin(servers, arguments.timeout_seconds, report)

    async def plan() -> tuple[list[FileChange], Answer]:
        symbols, answer = await file_symbols(question, path)
        source = read_source(servers.tree.read(path)[0], arguments.path)
        if answer.lines.get(path) != source.lines:
            raise StaleText(arguments.path)
        edits = _edits(source.lines, _chosen(symbols, answer, arguments), arguments, source.ending)
        if not edits:
            return [], COMPLETE
        return [FileChange(path=arguments.path, expected_hash=source.hash, edits=edits)], COMPLETE

    changes, answer = await question.found(plan)
    return PlannedChanges(**answer.completeness(), changes=changes)


def _chosen(symbols: list[Symbol], answer: Answer, arguments: SymbolEditArguments) -> Symbol:
    """Return the symbol that is meant."""
    if arguments.line is not None:
        symbols = [one for one in symbols if one.line == arguments.line] or symbols
    try:
        return find_symbol(symbols, arguments.symbol, arguments.path)
    except ToolError as error:
        if answer.reason is not None:
            raise NoAnswer(answer) from None
        if error.code == "ambiguous_symbol":
            error.message = error.message.replace("give line and column, or one of", "give its line, or one of")
        raise


def _edits(lines: list[str], symbol: Symbol, arguments: SymbolEditArguments, ending: str | None) -> list[RangeEdit]:
    declaration = find_declaration(lines, symbol.full, symbol.line, arguments.path)
    if arguments.action == "replace":
        edit = replaced(lines, declaration, arguments.content, arguments.path)
        return minimal_edits(lines, edit, ending)
    return [inserted(lines, declaration, arguments.content, arguments.path, below=arguments.action == "after")]


def replaced(lines: Sequence[str], found: Declaration, content: str, path: str) -> RangeEdit:
    """Return the edit that puts new code in the place of a declaration, its decorators and attributes.

    The comments above it stay, unless the new code begins with one. So does a comma or semicolon behind it.
    """
    new = fitted(_trimmed(content), found.indent, path)
    kept = [] if is_comment(new[0], path) else [lines[at - 1] for at in found.comments]
    new[-1] = _separated(new[-1], found.separator)
    return edit_between((found.top, 1), (found.end, len(lines[found.end - 1]) + 1), "\n".join([*kept, *new]))


def inserted(lines: Sequence[str], found: Declaration, content: str, path: str, *, below: bool) -> RangeEdit:
    """Return the edit that puts code above or below a declaration, with the blank lines that its language wants."""
    new = fitted(_trimmed(content), found.indent, path)
    gap = _gap(found, new, path)
    own = content.replace("\r\n", "\n").replace("\r", "\n")
    if below:
        asked = len(own) - len(own.lstrip("\n"))
        after = _missing(lines[found.end :], found.indent, gap)
        place = (found.end, len(lines[found.end - 1]) + 1)
        return edit_between(place, place, "\n".join([""] + [""] * max(gap, asked) + new + [""] * after))
    asked = max(0, len(own) - len(own.rstrip("\n")) - 1)
    before = _missing(lines[: found.top - 1][::-1], found.indent, gap)
    if _is_above(new, path):
        gap = before = 0  # a decorator or comment for the symbol itself
    return edit_between((found.top, 1), (found.top, 1), "\n".join([""] * before + new + [""] * max(gap, asked) + [""]))


def fitted(content: str, indent: str, path: str) -> list[str]:
    """Return code with the indentation of the place it goes to.

    Code that is indented like its place already stays as it is, even if only its first line is not indented,
    because copying often leaves that indentation out. Other code is moved as a whole.
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
    """Return a line with the separator at its end, before a comment; once."""
    code = re.split(r"\s+(?:#|//|/\*)", line, maxsplit=1)[0].rstrip()
    return line if not separator or code.endswith(separator) else code + separator + line[len(code) :]


def _gap(found: Declaration, new: list[str], path: str) -> int:
    """Return how many blank lines stand between a declaration and its neighbour: none between single lines."""
    if found.top == found.end and len(new) == 1:
        return 0
    return 2 if path.endswith(_PYTHON) and not found.indent else 1


def _missing(neighbours: Sequence[str], indent: str, gap: int) -> int:
    """Return how many blank lines to add before the next neighbour on the same level; none at the end of a block."""
    blank = next((at for at, line in enumerate(neighbours) if line.strip()), None)
    if blank is None or indent_of(neighbours[blank]) != indent or _CLOSER.match(neighbours[blank]):
        return 0
    return max(0, gap - blank)


def _is_above(new: list[str], path: str) -> bool:
    return is_leader("\n".join(new), path) or all(is_comment(line, path) for line in new)


def _trimmed(content: str) -> str:
    """Return code without blank lines around it, and with plain line breaks: it gets those of its place."""
    text = re.sub(r"\A(?:[^\S\n]*\n)+", "", content.replace("\r\n", "\n").replace("\r", "\n")).rstrip()
    if not text:
        raise ToolError("invalid_arguments", "The content is blank; to remove a symbol, use edit_file.")
    return text
