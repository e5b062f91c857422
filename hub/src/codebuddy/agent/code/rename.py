"""Renames: asks the servers for them, and refuses those that would break the code."""

from __future__ import annotations

import contextlib
import keyword
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from pathlib import Path, PurePath
from typing import Any, Final

from codebuddy.agent.code import answers
from codebuddy.agent.code.answers import Answer, NoAnswer, validated
from codebuddy.agent.code.asking import (
    Pointer,
    Question,
    ServerQuestion,
    ask_at,
    file_symbols,
    point_at,
    request,
    run_exchange,
    search_limit_exceeded,
)
from codebuddy.agent.code.coverage import REFERENCES, Uses, all_uses
from codebuddy.agent.code.decoding import location, sorted_unique
from codebuddy.agent.code.places import Symbol, word_at
from codebuddy.agent.code.shorthand import shorthands
from codebuddy.agent.code.workspace_edits import (
    EditBasis,
    EditContext,
    changes_of,
    covers,
    merged,
    read_source,
    read_steps,
    show_files,
    sources_of,
    with_known_texts,
)
from codebuddy.agent.lsp.connection import Connection
from codebuddy.agent.lsp.documents import Document, StaleText
from codebuddy.agent.lsp.positions import CHANGE_TEXT_ONLY, GIVE_WHOLE_TEXTS, Encoding, from_lsp
from codebuddy.agent.lsp.readiness import Report
from codebuddy.agent.lsp.servers import LanguageServers
from codebuddy.agent.lsp.transport import METHOD_NOT_FOUND, ServerError
from codebuddy.schemas.code import Location, Place, PlannedRename, RenameArguments
from codebuddy.schemas.files import FileChange, RangeEdit
from codebuddy.tool import ToolError

_DEFINITION: Final = "textDocument/definition"
_IMPLEMENTATION: Final = "textDocument/implementation"
_RENAME: Final = "textDocument/rename"

_SCRIPTS: Final = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs")
_MARKUP: Final = (".tsx", ".jsx", ".js")

# ECMAScript 2025, "Keywords and Reserved Words", in strict mode, as modules are.
_RESERVED: Final = frozenset([
    "await", "break", "case", "catch", "class", "const", "continue", "debugger", "default", "delete", "do", "else",
    "enum", "export", "extends", "false", "finally", "for", "function", "if", "implements", "import", "in",
    "instanceof", "interface", "let", "new", "null", "package", "private", "protected", "public", "return", "static",
    "super", "switch", "this", "throw", "true", "try", "typeof", "var", "void", "while", "with", "yield", "arguments",
    "eval",
])  # fmt: skip

_MAX_LEFT_OUT: Final = 200
_QUOTES: Final = "'\"`"

# Reasons why uses are not known which may be over soon.
_NOT_NOW: Final = ("indexing", "timed_out", "server_crashed")


def require_not_reserved(path: str, new_name: str) -> None:
    """Refuse a new name that is a word of the language; rust-analyzer writes such a name so that it is one.

    Raises:
        ToolError: ``cannot_rename``.
    """
    is_python = path.endswith((".py", ".pyi")) and keyword.iskeyword(new_name)
    if is_python or (path.endswith(_SCRIPTS) and new_name in _RESERVED):
        raise ToolError("cannot_rename", f"{new_name!r} is a reserved word of the language; take another name.", path)


def without_aliases(path: str, lines: list[str], edits: Iterable[RangeEdit], context: EditContext) -> list[RangeEdit]:
    """Leave out the edits of a rename that would replace another name, as behind ``export { old as other }``.

    TypeScript's servers give these too where they are told to write no aliases, as they are, so that a rename reaches
    through plain imports and exports.
    """
    if not path.endswith(_SCRIPTS) or context.old_name is None:
        return list(edits)

    old_name = context.old_name.strip(_QUOTES)  # a quoted property is one of that name

    def is_another(edit: RangeEdit) -> bool:
        old_text = lines[edit.line - 1][edit.column - 1 : edit.end_column - 1] if edit.line == edit.end_line else ""
        return (
            edit.new_text == context.new_name
            and old_text.strip(_QUOTES) != old_name
            and _PLAIN_NAME.fullmatch(old_text) is not None
        )

    return [edit for edit in edits if not is_another(edit)]


def require_no_shorthand(path: str, lines: list[str], edits: Iterable[RangeEdit], new_name: str) -> None:
    """Refuse to rename a shorthand property (``{ name }``): it names a property and a value, and only one is meant.

    TypeScript's server can write ``{ new: old }`` there, but then it no longer renames imports either.

    Args:
        edits: of the rename.
        new_name: what is written.

    Raises:
        ToolError: ``cannot_rename``, saying what to write first.
    """
    if not path.endswith(_SCRIPTS):
        return
    text, starts = "\n".join(lines), [0, *accumulate(len(line) + 1 for line in lines)]
    plain = [edit for edit in edits if edit.new_text == new_name and edit.line == edit.end_line]
    offsets = {starts[edit.line - 1] + edit.column - 1: edit for edit in plain}
    for offset in sorted(shorthands(text, offsets, jsx=path.endswith(_MARKUP))):
        edit = offsets[offset]
        old = lines[edit.line - 1][edit.column - 1 : edit.end_column - 1]
        raise ToolError(
            "cannot_rename",
            f"{path}:{edit.line}:{edit.column} has the shorthand property {old!r}, of which only one half is to be "
            f"renamed; write it as '{old}: {old}' first.",
            path,
        )


# Errors that are no judgement on the rename: ParseError, InvalidRequest, InternalError, ServerNotInitialized,
# RequestCancelled, ContentModified, ServerCancelled (JSON-RPC 2.0; LSP 3.17, "ErrorCodes").
_FAILURES: Final = (-32700, -32600, -32603, -32002, -32800, -32801, -32802)

_PLAIN_NAME: Final = re.compile(r"[^\W\d][\w$]*|[$][\w$]*")


@dataclass(frozen=True)
class _Renamed:
    """What a rename changes: something, unless the new name is the old one."""

    changes: list[FileChange]
    old_name: str | None  # the name at the place, if there is one
    server_name: str | None  # what the server calls itself
    left_out: Sequence[Location] = ()  # where it is used, or may be, and is not changed
    why: str | None = None  # why there may be such places, in a sentence


@dataclass(frozen=True)
class _Response:
    """What a server said, and what it knew then."""

    context: EditContext  # what its edit must fit
    edit: Any  # as the protocol writes it
    refusal: str | None  # its words when it does not rename
    basis: EditBasis  # the texts that it knew
    server_name: str | None  # what the server calls itself


@dataclass(frozen=True)
class _RenameQuestion:
    """A rename that a server is asked for, from a place."""

    asked: ServerQuestion
    path: Path
    pointer: Pointer
    new_name: str

    async def ask(self) -> _Renamed:
        """Ask."""

        async def attempt(files: Sequence[Path]) -> _Renamed:
            answer = await run_exchange(self.asked, self.path, partial(self._exchange, files))
            if answer.reason is not None:
                raise NoAnswer(answer)
            response: _Response = answer.result
            if response.refusal is not None:
                raise self._refused(f"does not rename this: {response.refusal}")
            return self._read(response)

        return await with_known_texts(attempt, self.pointer.path)

    async def _exchange(self, files: Sequence[Path], connection: Connection, document: Document) -> _Response:
        if not connection.renames:
            raise self._unsupported()
        show_files(self.asked, connection, files)
        basis, encoding = EditBasis.now(connection, files), connection.encoding
        lines, position = document.lines, self.pointer.position(document, encoding)
        params = {"textDocument": {"uri": document.uri}, "position": position}
        prepared, edit, refusal = await self._prepare_and_rename(connection, params)
        name = _prepared_name(prepared, lines, encoding) or word_at(lines, *from_lsp(lines, position, encoding))
        basis.answered(connection)
        whole_texts = connection.server_name in GIVE_WHOLE_TEXTS
        context = EditContext(self.asked.server.tree, encoding, name, self.new_name, whole_texts)
        return _Response(context, edit, refusal, basis, connection.server_name)

    async def _prepare_and_rename(self, connection: Connection, params: dict[str, Any]) -> tuple[Any, Any, str | None]:
        """Return the results of ``prepareRename``, if the server offers it, and ``rename``; or why there are none."""
        prepared, deadline = None, self.asked.deadline
        try:
            if connection.prepares_renames:
                prepared = await request(connection, "textDocument/prepareRename", params, deadline)
                if prepared is None:
                    return None, None, "there is nothing here that can be renamed."
            renaming = {**params, "newName": self.new_name}
            return prepared, await request(connection, _RENAME, renaming, deadline), None
        except ServerError as error:
            if error.code == METHOD_NOT_FOUND:
                raise self._unsupported() from None
            if error.code in _FAILURES:
                raise
            return prepared, None, error.message

    def _unsupported(self) -> NoAnswer:
        name = self.asked.server.config.name
        return NoAnswer.because("unsupported", f"The language server {name} cannot rename.")

    def _refused(self, why: str) -> ToolError:
        name = self.asked.server.config.name
        return ToolError("cannot_rename", f"The language server {name} {why}", self.pointer.path)

    def _read(self, response: _Response) -> _Renamed:
        """Turn what the server said into changes, if it is for texts that are known."""
        context = response.context
        steps = read_steps(response.edit, context.tree)
        sources = sources_of(steps, context.tree, response.basis)
        _require_name(context, self.pointer)
        changes = list[FileChange]()
        for change in changes_of(steps, sources, context):
            source = sources.get(context.tree.locate(change.path))
            if source is None or change.edits is None:
                changes.append(change)
            elif edits := without_aliases(change.path, source.lines, change.edits, context):
                require_no_shorthand(change.path, source.lines, edits, context.new_name)
                changes.append(change.model_copy(update={"edits": edits}))
        if not changes and context.new_name != context.old_name:
            raise self._refused("finds nothing to rename here.")
        return _Renamed(changes, context.old_name, response.server_name)


def _prepared_name(prepared: Any, lines: list[str], encoding: Encoding) -> str | None:
    """Return the text that the server would replace; None when it leaves that to us (``defaultBehavior``)."""
    given = prepared if isinstance(prepared, dict) else {}
    if prepared is None or "defaultBehavior" in given:
        return None
    # First what it says: TypeScript 7's range is one character off in the path of an import.
    if isinstance(placeholder := given.get("placeholder"), str):
        return placeholder
    span = validated(answers.RANGE, given.get("range", given), "a range to rename")
    (line, column), (end_line, end_column) = (from_lsp(lines, at, encoding) for at in (span["start"], span["end"]))
    return lines[line - 1][column - 1 : end_column - 1] if line == end_line else None


def _require_name(context: EditContext, pointer: Pointer) -> None:
    """Refuse a new name that cannot be one, where the old one is plain: not every server looks at it."""
    old_name, new_name = context.old_name or "", context.new_name.removeprefix("r#")  # Rust's raw identifiers
    if _PLAIN_NAME.fullmatch(old_name) and not _PLAIN_NAME.fullmatch(new_name):
        raise ToolError(
            "cannot_rename", f"{old_name!r} is a name, and {context.new_name!r} cannot be one.", pointer.path
        )
    require_not_reserved(pointer.path, context.new_name)


async def plan_rename(servers: LanguageServers, arguments: RenameArguments, report: Report) -> PlannedRename:
    """Return what renaming a symbol would change: all of it, or nothing and the reason.

    Raises:
        ToolError: ``cannot_rename``; there is no such file, place or symbol; or the change reaches what it must not
            (``outside_project``, ``unsupported_encoding``, ...) or contradicts itself (``bad_answer``).
    """
    question = Question.begin(servers, arguments.timeout_seconds, report)
    try:
        return await question.persist(_Renaming(question, servers, arguments).plan)
    except NoAnswer as none:
        return PlannedRename(**none.answer.completeness(), changes=[], declarations=[])


@dataclass(frozen=True)
class _Target:
    """Something to rename."""

    asked: ServerQuestion  # the server that knows it, and how long to wait for it
    path: Path
    pointer: Pointer
    name: str | None  # the word there
    definitions: list[Location]  # where the server says that it is declared

    @property
    def is_definition(self) -> bool:
        """Whether it is declared where the pointer leads, or the server knows nothing better."""
        here = (self.pointer.path, self.pointer.line, self.pointer.column)
        return not self.definitions or any(here == (at.path, at.line, at.column) for at in self.definitions)

    @property
    def changes_text_only(self) -> bool:
        """Whether the server is one that changes no more than texts."""
        connection = self.asked.server.connection
        return connection is not None and connection.server_name in CHANGE_TEXT_ONLY

    @property
    def is_foreign(self) -> bool:
        """Whether it is an import from outside the project: perhaps from where the server finds nothing."""
        return all(at.external for at in self.definitions) if self.definitions else self.changes_text_only

    def is_covered(self, changes: list[FileChange]) -> bool:
        """Say whether it is renamed by some changes."""
        return covers(changes, self.pointer.path, self.pointer.line, self.pointer.column)

    def location(self) -> Location:
        """Return where it is; only for a pointer that knows its text."""
        at = self.pointer
        text = (at.lines or [])[at.line - 1]
        return location(at.path, at.line, at.column, at.column + len(self.name or ""), text)


@dataclass(frozen=True)
class _Renaming:
    question: Question
    servers: LanguageServers
    arguments: RenameArguments

    async def plan(self) -> PlannedRename:
        """Plan once."""
        given = self.arguments
        try:
            if given.path is None:
                return await self._by_name(given.name or "", given.paths or [])
            return await self._at_place(
                Place(path=given.path, line=given.line, column=given.column, symbol=given.symbol, text=given.text)
            )
        except StaleText as stale:
            await self.servers.files_changed([self.servers.tree.locate(stale.path)])
            raise

    async def _at_place(self, place: Place) -> PlannedRename:
        path = self.servers.tree.locate(place.path)
        asked = await self.question.choose(path, _RENAME)
        pointer = await point_at(self.question, path, place)
        target = await self._target(asked, path, pointer)
        renamed = await self._rename(target)
        # Not where the thing is declared of which only another name is changed, like that of an import.
        declarations = _renamed(target.definitions, renamed.changes)
        return PlannedRename(
            complete=True,
            changes=renamed.changes,
            old_name=renamed.old_name,
            symbol=await self._symbol(declarations) or renamed.old_name,
            declarations=declarations,
            left_out=list(renamed.left_out[:_MAX_LEFT_OUT]),
            why_left_out=renamed.why,
        )

    async def _by_name(self, name: str, paths: list[str]) -> PlannedRename:
        targets = [one for path in dict.fromkeys(paths) for one in await self._declared(path, name)]
        changes: list[FileChange] = []
        old_name: str | None = None
        left_out, why = list[Location](), None
        # First what is its own definition: that covers its imports, for which nobody need be asked then.
        for target in sorted(targets, key=lambda one: not one.is_definition):
            if not target.is_covered(changes):
                renamed = await self._rename(target)
                changes, old_name = merged(changes, renamed.changes), old_name or renamed.old_name
                left_out, why = [*left_out, *renamed.left_out], why or renamed.why
        left_out = [at for at in left_out if not covers(changes, at.path, at.line, at.column)]
        own = [one for one in targets if one.is_definition or not _renamed(one.definitions, changes)]
        return PlannedRename(
            complete=True,
            changes=changes,
            old_name=old_name,
            symbol=name if targets else None,
            declarations=[one.location() for one in own],
            left_out=left_out[:_MAX_LEFT_OUT],
            why_left_out=why,
        )

    async def _rename(self, target: _Target) -> _Renamed:
        if target.changes_text_only:
            _require_plain(target)
        if (lacking := await search_limit_exceeded(target.asked, target.name)) is not None:
            raise NoAnswer(lacking)
        uses, known = await self._uses(target)
        new_name = self.arguments.new_name
        renamed = await _RenameQuestion(target.asked, target.path, target.pointer, new_name).ask()
        if renamed.server_name in CHANGE_TEXT_ONLY:  # one that was not there yet before
            _require_plain(target)
        if renamed.changes:
            changes = await self._with_others(target, uses.others, renamed.changes)
            changes = self._with_exported(target.name, uses.exported, changes)
            renamed = replace(renamed, changes=changes, **_left_out(target, uses, known, changes))
        return renamed

    async def _with_others(
        self, target: _Target, others: Sequence[Location], changes: list[FileChange]
    ) -> list[FileChange]:
        """Return changes with those that rename what the server takes for something else of the same name."""
        for at in others:
            if not covers(changes, at.path, at.line, at.column):
                path, pointer = self.servers.tree.locate(at.path), Pointer(at.path, at.line, at.column)
                try:
                    more = await _RenameQuestion(target.asked, path, pointer, self.arguments.new_name).ask()
                except ToolError as error:
                    message = (
                        f"{target.name!r} is declared at {at.path}:{at.line} too. {error.message} Change that line by "
                        "hand first (of an import: `as` another name), or all of it with apply_workspace_edit."
                    )
                    raise ToolError(error.code, message, at.path) from None
                changes = merged(changes, more.changes)
        return changes

    def _with_exported(
        self, name: str | None, exported: Sequence[Location], changes: list[FileChange]
    ) -> list[FileChange]:
        """Return changes with those of the strings in ``__all__``, which not every server renames."""
        for at in exported:
            if covers(changes, at.path, at.line, at.column):
                continue
            source = read_source(self.servers.tree.read(self.servers.tree.locate(at.path))[0], at.path)
            if "".join(source.lines[at.line - 1 : at.line])[at.column - 1 : at.end_column - 1] != name:
                raise StaleText(at.path)
            edit = RangeEdit(
                line=at.line,
                column=at.column,
                end_line=at.end_line,
                end_column=at.end_column,
                new_text=self.arguments.new_name,
            )
            changes = merged(changes, [FileChange(path=at.path, expected_hash=source.hash, edits=[edit])])
        return changes

    async def _uses(self, target: _Target) -> tuple[Uses, Answer]:
        """Return what is known of the uses of a thing; the server has loaded the files of all of them then."""
        try:
            asked = await self.question.choose(target.path, REFERENCES)
            uses, answer = await all_uses(self.question, asked, target.path, target.pointer)
        except NoAnswer as none:
            uses, answer = Uses(), none.answer
        if answer.reason in _NOT_NOW:
            raise NoAnswer(answer)
        with contextlib.suppress(NoAnswer):
            asked = await self.question.choose(target.path, _IMPLEMENTATION)
            same, _ = await ask_at(asked, target.path, target.pointer, _IMPLEMENTATION)
            uses = uses._replace(found=[*uses.found, *same])
        return uses, answer

    async def _target(self, asked: ServerQuestion, path: Path, pointer: Pointer) -> _Target:
        """Ask where the thing at a place is declared; a server need not know that."""
        try:
            knowing = await self.question.choose(path, _DEFINITION)
        except NoAnswer as none:
            definitions, answer = list[Location](), none.answer
        else:
            definitions, answer = await ask_at(knowing, path, pointer, _DEFINITION)
        if answer.reason not in (None, "server_error", "unsupported"):
            raise NoAnswer(answer)
        lines = answer.lines.get(path, [])
        name = word_at(lines, pointer.line, pointer.column_in(lines)) if lines else None
        return _Target(asked, path, pointer, name, definitions)

    async def _declared(self, shown: str, name: str) -> list[_Target]:
        """Return the symbols of a file whose whole path is the name, but for imports from outside."""
        path = self.servers.tree.locate(shown)
        if self.servers.server_for(path, "rename") is None:
            return []
        try:
            asked = await self.question.choose(path, _RENAME)
            symbols, answer = await file_symbols(self.question, path)
        except ToolError as error:
            if error.code == "not_found":  # it was there when its words were searched
                return []
            raise
        if answer.reason is not None:
            raise NoAnswer(answer)
        found = []
        for symbol in symbols:
            if "/".join(symbol.path) == name:
                at = Pointer(self.servers.tree.show(path), symbol.line, symbol.column, lines=answer.lines[path])
                found.append(await self._target(asked, path, at))
        return [target for target in found if not target.is_foreign]

    async def _symbol(self, declarations: Iterable[Location]) -> str | None:
        """Return the path of the symbol that is declared at the first place where one is known."""
        for at in declarations:
            path = self.servers.tree.locate(at.path)
            with contextlib.suppress(ToolError, NoAnswer):  # a rename is not refused for want of this
                symbols, _ = await file_symbols(self.question, path)
                around = [symbol.path for symbol in symbols if _is_at(symbol, at)]
                if around:
                    innermost = max(around, key=len)
                    return "/".join(innermost)
        return None


def _left_out(target: _Target, uses: Uses, answer: Answer, changes: list[FileChange]) -> dict[str, Any]:
    """Return the places that probably use a thing and are not changed, and why there may be more."""
    likely = [at for at in sorted_unique(uses.found) if not at.external and _text_of(at) == target.name]
    if answer.reason == "not_covered":
        likely += uses.unknown
    left = [at for at in likely if not covers(changes, at.path, at.line, at.column)]
    if left:
        at, more = left[0], f" and {len(left) - 1} more" if len(left) > 1 else ""
        name = target.asked.server.config.name
        why = f"{name} would not rename {target.name!r} at {at.path}:{at.line}:{at.column}{more}."
        return {"left_out": left, "why": f"{why} {answer.message}" if answer.message else why}
    return {"left_out": [], "why": answer.message if answer.reason in ("not_covered", "truncated") else None}


def _text_of(at: Location) -> str:
    return (at.line_text or "")[at.column - 1 : at.end_column - 1]


def _is_at(symbol: Symbol, at: Location) -> bool:
    return symbol.line == at.line and symbol.column <= at.column <= symbol.column + len(symbol.path[-1])


def _renamed(definitions: list[Location], changes: list[FileChange]) -> list[Location]:
    return [at for at in definitions if covers(changes, at.path, at.line, at.column)]


def _require_plain(target: _Target) -> None:
    """Refuse what a server that changes texts only would leave broken."""
    name, path = target.name, target.pointer.path
    for at in target.definitions:
        file, named = PurePath(at.path), word_at([at.line_text or ""], 1, at.column)
        stem = file.parent.name if file.stem == "__init__" else file.stem
        begins = (at.line, at.column) == (1, 1)
        if begins and stem == name and named != name:
            message = f"{name!r} is a module, and the language server would not rename its file with it; move the file."
            raise ToolError("cannot_rename", message, path)
        if not begins and not at.external and named != name:
            message = f"{name!r} is another name for {named!r}; rename that, or edit the import."
            raise ToolError("cannot_rename", message, path)
    if not target.definitions:
        raise ToolError("cannot_rename", "The language server does not know where this is declared.", path)
