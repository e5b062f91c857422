"""Edits of declarations: a symbol replaced, or something put above or below it. Pure but for asking."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import partial
from itertools import accumulate
from operator import itemgetter
from pathlib import PurePath
from typing import Final

from codebuddy.agent.code.answers import COMPLETE, Answer, NoAnswer
from codebuddy.agent.code.asking import Question, file_symbols
from codebuddy.agent.code.code_text import has_spans, masked
from codebuddy.agent.code.places import Symbol, find_group
from codebuddy.agent.code.workspace_edits import edit_between, minimal_edits, read_source
from codebuddy.agent.lsp.documents import StaleText
from codebuddy.agent.lsp.readiness import Report
from codebuddy.agent.lsp.servers import LanguageServers
from codebuddy.schemas.code import PlannedChanges, SymbolEditArguments
from codebuddy.schemas.files import FileChange, RangeEdit
from codebuddy.tool import ToolError

_MAX_LINES: Final = 100  # of one decorator or comment
_PYTHON: Final = (".py", ".pyi")
_C_FAMILY: Final = (
    *(".c", ".cc", ".cpp", ".cxx", ".h", ".hh", ".hpp", ".hxx", ".ipp", ".inl", ".cu", ".cuh", ".cppm", ".ixx"),
    *(".m", ".mm"),
)
_HASH_COMMENTS: Final = (".py", ".pyi", ".rb", ".sh", ".toml", ".yml", ".yaml", ".pl", ".r", ".ex", ".exs")
_PAIRS: Final = {"(": ")", "[": "]", "{": "}"}
_COMMENT: Final = "comment"
_NAME: Final = re.compile(r"[\w.$:]+")
_STARTS: Final = ("@", "#[", "[[", "__attribute__", "__declspec", "alignas", "template", "requires")
_C_ATTRIBUTE: Final = re.compile(r"(?:__attribute__|__declspec|alignas)\s*\(")
_TEMPLATE: Final = re.compile(r"template\s*<")
_IN_TEMPLATE: Final = re.compile(r"[^;{}]*[,<>]\s*|\s*[\w:.= ]+")
_REQUIRES: Final = re.compile(r"requires\b")
_HAS_BODY: Final = re.compile(r"[;{]\s*$")
_PARAMETER: Final = re.compile(r"(\w+)\s*(?:=[^,<>]*)?[,>]")
_LEADER_NAME: Final = re.compile(
    r"@\s*[\w.$:]+|#\[\s*[\w:]+|\[\[\s*[\w:]+|(?:__attribute__|__declspec)\s*\(+\s*\w+|\w+"
)
_DIRECTIVE: Final = re.compile(
    r"(?://|/\*+|#|--)\s*(go:\w+|nolint|noqa|type: ignore|fmt:|isort:|pylint:|mypy:|ruff:|pragma: ?no|@ts-[\w-]+|"
    r"eslint-[\w-]+|prettier-ignore|biome-ignore|(?:istanbul|c8|v8) ignore|NOLINT\w*|clang-format|rubocop:|"
    r"noinspection)|(//export) "
)
_HEAD: Final = re.compile(r"\s*(\w+(\(\w+\))?\s+)*")
_TYPE: Final = re.compile(r"\s*\w[\w\s:*&<>,]*")  # a line with nothing but what a function gives
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
    code = _Code(lines, path)
    start = code.skip_leaders(full[0], name_line)
    column = full[1] if start == full[0] else 1
    end, end_column = _end(lines, start, full[2], full[3])
    if end == start and _REST_OF_VARIABLE.match(lines[end - 1], end_column - 1):
        end, end_column = _end_of_statement(lines, end, path)
    head, tail = lines[start - 1][: column - 1], lines[end - 1][end_column - 1 :]
    head = head[code.leaders_on(start)[1] :]
    separator = tail.lstrip()[:1] if tail.lstrip()[:1] in (";", ",") else ""
    if not _HEAD.fullmatch(head) or not _is_rest(tail.lstrip().removeprefix(separator), path):
        raise ToolError(
            "shares_line",
            f"The symbol shares a line with something else (line {start if not _HEAD.fullmatch(head) else end}); "
            "use edit_file.",
            path,
        )
    top, comments = code.above(start)
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


@dataclass(frozen=True)
class _Leader:
    """A decorator, attribute or comment above a declaration.

    Args:
        name: by which it replaces another one.
        is_row: whether it has its lines for itself; else it stands on the declaration's first line.
    """

    first: int
    last: int
    text: str
    name: str
    is_row: bool = True

    @property
    def is_comment(self) -> bool:
        return self.name == _COMMENT


class _Code:
    """The lines of a file or of new code. Brackets in comments and strings do not count."""

    def __init__(self, lines: Sequence[str], path: str) -> None:
        self.lines, self.path = lines, path
        self._text = "\n".join(lines)
        self._masked = masked(self._text, _kind(path))
        self._starts = [0, *accumulate(len(line) + 1 for line in lines)]
        self._is_python, self._is_c = path.endswith(_PYTHON), path.endswith(_C_FAMILY)

    def skip_leaders(self, line: int, name_line: int) -> int:
        """Return the first line that is no decorator, attribute, comment or blank; at the latest that of the name."""
        while line < name_line:
            if not self.lines[line - 1].strip():
                line += 1
                continue
            last = self._end_of_leader(line)
            if last is None or last >= name_line:
                break
            line = last + 1
        return line

    def above(self, start: int) -> tuple[int, tuple[int, ...]]:
        """Return the first line of what belongs to a declaration above it, and which of those lines are comments."""
        indent, top, comments = indent_of(self.lines[start - 1]), start, list[int]()
        while top > 1:
            last = next((at for at in range(top - 1, 0, -1) if self.lines[at - 1].strip()), 0)
            begin = self._begin_of_leader(last) if last else None
            if begin is None:
                break
            if indent_of(self.lines[begin - 1]) != indent and not _REQUIRES.match(self.lines[begin - 1].lstrip()):
                break
            is_comments = is_comment(self.lines[begin - 1], self.path)
            if is_comments and last < top - 1:
                break
            if is_comments:
                comments += range(begin, last + 1)
            top = begin
        return top, tuple(sorted(comments))

    def is_leader_on(self, line: int) -> bool:
        """Say whether a line begins with what belongs to a declaration below."""
        return self._end_of_leader(line) is not None

    def leaders(self, top: int, start: int) -> list[_Leader]:
        """Return what stands above a declaration, and before it on its first line."""
        found, line = list[_Leader](), top
        while line < start:
            last = self._end_of_leader(line)
            if last is not None:
                found += self._row(line, last)
            line = (last or line) + 1
        return found + [_Leader(start, start, text, _name(text), False) for text in self.leaders_on(start)[0]]

    def leaders_on(self, line: int) -> tuple[list[str], int]:
        """Return the decorators and attributes that stand before code on its line, and where the code begins."""
        begin = len(indent_of(self.lines[line - 1]))
        found, end = self._tokens(line, begin)
        if self._is_python or not found or end >= self._starts[line] - 1:
            return [], begin
        behind = end - self._starts[line - 1]
        return found, behind + len(indent_of(self.lines[line - 1][behind:]))

    def _row(self, first: int, last: int) -> list[_Leader]:
        text = "\n".join(self.lines[first - 1 : last])
        if is_comment(text, self.path):
            return [_Leader(first, last, text.strip(), _name_of_comment(text))]
        tokens, _ = self._tokens(first, len(indent_of(self.lines[first - 1])))
        return [_Leader(first, last, token, _name(token)) for token in tokens]

    def _end_of_leader(self, line: int) -> int | None:
        """Return the line on which decorators, attributes or a comment end that begin on a line; None: there are none.

        What is followed by code on its line is none.
        """
        text = self.lines[line - 1]
        if is_comment(text, self.path) and not self.path.endswith(_HASH_COMMENTS) and text.lstrip().startswith("/*"):
            return next((at for at in range(line, len(self.lines) + 1) if "*/" in self.lines[at - 1]), None)
        if is_comment(text, self.path):
            return line
        found, end = self._tokens(line, len(indent_of(text)))
        return bisect_right(self._starts, end) if found and not self._rest_of_line(end).strip() else None

    def _begin_of_leader(self, last: int) -> int | None:
        """Return the line on which decorators, attributes or a comment begin that end on a line; None: there are none.

        None too for a comment behind code.
        """
        text = self.lines[last - 1].strip()
        if text.endswith("*/") and not self.path.endswith(_HASH_COMMENTS):
            begin = next((at for at in range(last, 0, -1) if "/*" in self.lines[at - 1]), None)
            return begin if begin is not None and self.lines[begin - 1].lstrip().startswith("/*") else None
        if is_comment(text, self.path):
            return None if text.startswith("/*") else last
        depth = 0
        for begin in range(last, 0, -1):
            line = self._masked[self._starts[begin - 1] : self._starts[begin] - 1]
            depth += sum(line.count(one) - line.count(other) for other, one in _PAIRS.items())
            starts = line.lstrip().startswith(_STARTS)
            if starts and depth == 0 and self._end_of_leader(begin) == last:
                return begin
            if depth <= 0 and (starts or not _IN_TEMPLATE.fullmatch(line)):
                return None
        return None

    def _rest_of_line(self, at: int) -> str:
        end = self._masked.find("\n", at)
        return self._masked[at : end if end >= 0 else None]

    def _tokens(self, line: int, column: int) -> tuple[list[str], int]:
        """Return the decorators and attributes that follow each other from a place, and the offset behind them."""
        at = last = self._starts[line - 1] + column
        found = list[str]()
        while (end := self._end_of_token(at)) > at:
            found.append(self._text[at:end])
            last = at = end
            while self._masked.startswith((" ", "\t"), at):
                at += 1
        return found, last

    def _end_of_token(self, at: int) -> int:
        """Return where the decorator or attribute ends that begins at an offset; the offset itself if none does."""
        text = self._masked
        if text.startswith("@", at) and not text.startswith("@interface", at):
            return self._end_of_line(at) if self._is_python else _end_of_decorator(text, at)
        if text.startswith(("#[", "[["), at):
            return _end_of_bracket(text, text.index("[", at))
        if not self._is_c:
            return at
        if found := _C_ATTRIBUTE.match(text, at):
            return max(at, _end_of_bracket(text, found.end() - 1))
        if found := _TEMPLATE.match(text, at):
            return _end_of_angles(text, found.end() - 1) or at
        if _REQUIRES.match(text, at) and not _HAS_BODY.search(self._rest_of_line(at)):
            return self._end_of_line(at)
        return at

    def _end_of_line(self, at: int) -> int:
        """Return where a logical line ends: brackets that are open go on, and so does a backslash."""
        begin, depth = at, 0
        while at < len(self._masked):
            letter = self._masked[at]
            depth += (letter in _PAIRS) - (letter in _PAIRS.values())
            if letter == "\n" and depth <= 0 and self._masked[at - 1] != "\\":
                break
            at += 1
        return begin + len(self._masked[begin:at].rstrip())


def is_leader(text: str, path: str) -> bool:
    """Say whether a text is nothing but decorators and attributes."""
    lines = text.strip().split("\n")
    return not is_comment(lines[0], path) and _Code(lines, path)._end_of_leader(1) == len(lines)


def _kind(path: str) -> str:
    suffix = PurePath(path).suffix
    return suffix if has_spans(suffix) else ".py" if path.endswith(_HASH_COMMENTS) else ".cpp"


def _name(leader: str) -> str:
    """Return the name of a decorator or attribute: ``@app.route``, ``#[derive``, ``template``."""
    found = _LEADER_NAME.match(leader)
    return re.sub(r"\s", "", found[0]) if found else leader


def _name_of_comment(text: str) -> str:
    """Return what a comment tells a tool, like ``go:noinline`` and ``eslint-disable-next-line``; else one name."""
    found = _DIRECTIVE.match(text.strip())
    return (found[1] or found[2]) if found else _COMMENT


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


def _end_of_decorator(text: str, at: int) -> int:
    """Return where a decorator ends: names and brackets one after the other."""
    begin, at = at, at + 1
    while at < len(text):
        if text[at] in "([" and (end := _end_of_bracket(text, at)) > at:
            at = end
        elif name := _NAME.match(text, at):
            at = name.end()
        else:
            break
    return at if at > begin + 1 else begin


def _end_of_bracket(text: str, at: int) -> int:
    """Return where the bracket closes that opens at a place; the place itself when it does not close."""
    depth = 0
    for index in range(at, len(text)):
        depth += (text[index] in _PAIRS) - (text[index] in _PAIRS.values())
        if depth == 0:
            return index + 1
    return at


def _end_of_angles(text: str, at: int) -> int | None:
    """Return where the angle bracket closes that opens at a place."""
    depth = 0
    for index in range(at, len(text)):
        depth += (text[index] == "<") - (text[index] == ">" and text[index - 1] != "-")
        if depth == 0:
            return index + 1
        if text[index] in ";{":
            break
    return None


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
        edits = _edits(source.lines, _chosen(symbols, answer, arguments), symbols, arguments, source.ending)
        if not edits:
            return [], COMPLETE
        return [FileChange(path=arguments.path, expected_hash=source.hash, edits=edits)], COMPLETE

    changes, answer = await question.found(plan)
    return PlannedChanges(**answer.completeness(), changes=changes)


def _chosen(symbols: list[Symbol], answer: Answer, arguments: SymbolEditArguments) -> list[Symbol]:
    """Return the symbol that is meant, or the group of them."""
    if arguments.line is not None:
        symbols = [one for one in symbols if one.line == arguments.line] or symbols
    try:
        return find_group(symbols, arguments.symbol, arguments.path)
    except ToolError as error:
        if answer.reason is not None:
            raise NoAnswer(answer) from None
        if error.code == "ambiguous_symbol":
            error.message = error.message.replace("give line and column, or one of", "give its line, or one of")
            if not arguments.symbol.endswith((")", "]")):
                error.message += f" {arguments.symbol}[*] is all of them."
        raise


def _edits(
    lines: list[str],
    chosen: list[Symbol],
    symbols: list[Symbol],
    arguments: SymbolEditArguments,
    ending: str | None,
) -> list[RangeEdit]:
    first, *others = [find_declaration(lines, one.full, one.line, arguments.path) for one in chosen]
    declaration = first
    if others:
        last = others[-1]
        declaration = Declaration(first.top, first.start, last.end, last.separator, first.comments, first.indent)
        _require_together(chosen, symbols, declaration, arguments.path)
    if arguments.action == "replace":
        make = replaced_group if others else partial(replaced, name=chosen[0].names[-1])
        return minimal_edits(lines, make(lines, declaration, arguments.content, arguments.path), ending)
    return [inserted(lines, declaration, arguments.content, arguments.path, below=arguments.action == "after")]


def replaced(lines: Sequence[str], found: Declaration, content: str, path: str, name: str = "") -> RangeEdit:
    """Return the edit that puts new code in the place of a declaration.

    The decorators, attributes and comments above it that the new code does not have stay, and so does a comma or
    semicolon behind it.

    Args:
        name: the symbol's name, by which its declaration is found in new code that has several.
    """
    new = fitted(_trimmed(content), found.indent, path)
    code = _Code(new, path)
    start = _declared_on(code, name, path)
    top, _ = code.above(start)
    old = _Code(lines, path).leaders(found.top, found.start)
    kept = _kept(old, code.leaders(top, start), new[start - 1 :])
    if before := [leader.text for leader, _ in kept if not leader.is_row]:
        new[start - 1] = f"{indent_of(new[start - 1])}{' '.join(before)} {new[start - 1].lstrip()}"
    new[-1] = _separated(new[-1], found.separator)
    first = next((at for at in range(top, start) if not is_comment(new[at - 1], path)), start)
    rows = {(one.first, one.last): (at or (top if one.is_comment else first)) - 1 for one, at in kept if one.is_row}
    for (row, last), place in sorted(rows.items(), key=itemgetter(1))[::-1]:  # of equal places the last first
        texts = [leader.text for leader, _ in kept if leader.first == row]
        is_whole = len(texts) == len([leader for leader in old if leader.first == row])
        new[place:place] = lines[row - 1 : last] if is_whole else (found.indent + " ".join(texts)).split("\n")
    return edit_between((found.top, 1), (found.end, len(lines[found.end - 1]) + 1), "\n".join(new))


def replaced_group(lines: Sequence[str], found: Declaration, content: str, path: str) -> RangeEdit:
    """Return the edit that puts new code in the place of several declarations; the comments above the first stay."""
    new = fitted(_trimmed(content), found.indent, path)
    code = _Code(lines, path)
    comments = [one for one in code.leaders(found.top, found.start) if one.is_comment]
    begin = next((at for at in range(found.top, found.start) if at not in found.comments), found.start)
    if comments and not is_comment(new[0], path):
        new = [*lines[found.top - 1 : begin - 1], *new]
    new[-1] = _separated(new[-1], found.separator)
    return edit_between((found.top, 1), (found.end, len(lines[found.end - 1]) + 1), "\n".join(new))


def _require_together(chosen: list[Symbol], symbols: list[Symbol], group: Declaration, path: str) -> None:
    """Refuse a group with something else between its members.

    Raises:
        ToolError: ``shares_line``.
    """
    for symbol in symbols:
        is_between = group.start <= symbol.line <= group.end and symbol not in chosen
        if is_between and not any(one.encloses(symbol.line, symbol.column) for one in chosen):
            name = "/".join(symbol.path)
            raise ToolError("shares_line", f"{name} (line {symbol.line}) stands between them; use edit_file.", path)


def _kept(old: list[_Leader], new: list[_Leader], code: list[str]) -> list[tuple[_Leader, int]]:
    """Return what of the old the new code lacks, each with the line of the new code above which it goes; 0: the top."""
    partners = _partners(old, new)
    has_comment, words = any(one.is_comment for one in new), set(re.findall(r"\w+", "\n".join(code)))
    kept, place = list[tuple[_Leader, int]](), 0
    parameters = [name for leader in old if leader.name == "template" for name in _PARAMETER.findall(leader.text)]
    is_plain = bool(parameters) and words.isdisjoint(parameters)  # the new code is no template any more
    for leader in old:
        if partner := partners.get(id(leader)):
            place = partner.last + 1 if partner.is_row else partner.first
        elif not (leader.is_comment and has_comment) and not (is_plain and leader.name in ("template", "requires")):
            kept.append((leader, place))
    return kept


def _partners(old: list[_Leader], new: list[_Leader]) -> dict[int, _Leader]:
    """Return the new one that replaces each old one: the same, or else the most similar one with its name."""
    pairs, free = dict[int, _Leader](), list(new)
    for leader in old:
        if same := next((one for one in free if one.text.split() == leader.text.split()), None):
            pairs[id(leader)] = same
            free.remove(same)
    for leader in free:
        alike = [one for one in old if one.name == leader.name and id(one) not in pairs]
        if alike:
            best = max(alike, key=lambda one: SequenceMatcher(None, one.text, leader.text).ratio())
            pairs[id(best)] = leader
    return pairs


def _declared_on(code: _Code, name: str, path: str) -> int:
    """Return the line of new code on which the declaration of a symbol begins: helpers may stand before it."""
    lines, indent = code.lines, indent_of(code.lines[0])
    first = code.skip_leaders(1, len(lines))
    word = re.compile(rf"(?<![\w.]){re.escape(name)}(?!\w)")
    for at in range(first, len(lines) + 1):
        if name and indent_of(lines[at - 1]) == indent and word.search(lines[at - 1]) and not code.is_leader_on(at):
            begin = at
            while begin > first and not path.endswith(_PYTHON) and _TYPE.fullmatch(lines[begin - 2]):
                begin -= 1
            return begin
    return first


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
