"""The hub's tool that moves files: a project's spoke says how imports change, and both are one edit."""

from __future__ import annotations

import posixpath
import re
import time
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from anyio.to_thread import run_sync
from pydantic import Field

from codebuddy.files.paths import WorkspacePath
from codebuddy.files.search import WordPlace, find_word
from codebuddy.files.text import LINE_BREAK, decode
from codebuddy.files.walking import Bounds
from codebuddy.hub.edits.disk_view import DiskView
from codebuddy.hub.edits.draft import Draft, draft_change, paths_of
from codebuddy.hub.edits.editor import ATTEMPTS, Editor
from codebuddy.hub.edits.text_matches import without_renamed
from codebuddy.hub.spokes import Links, ask_spoke
from codebuddy.hub.tools.edits import require_below_root
from codebuddy.schemas.code import Location, PlannedMove, by_file
from codebuddy.schemas.edits import EditResult, MoveArguments
from codebuddy.tool import Call, Tool, ToolError, filled, tool_of

_PLAN_SECONDS = 60.0
_SEARCH_SECONDS = 5.0
_MAX_LINE = 300  # characters shown of a line
_SHOWN = 50  # lines to check

# Files that are imported by the name of their directory.
_NAMELESS = ("__init__", "index", "mod")

# A line that may import something, in any of the profiles' languages; in a list of Go's imports it is only a string.
_IMPORT = re.compile(
    r"^\s*(#\s*include|import|from|package|export\b.*\bfrom|(pub(\([\w\s:]+\))?\s+)?(use|mod|extern))\b"
    r"|\b(require|import)\s*\(|\bfrom\s+['\"]|^\s*([\w.]+\s+)?\"[^\"]+\"\s*;?\s*$"
)

_PYTHON = (".py", ".pyi")
_PYTHON_IMPORT = re.compile(r"^\s*(?:from\s+(\.*)\s*([\w.]*)\s+import\s*(.+)|import\s+([^#]+))")
_PYTHON_LIST = re.compile(r"^\s*\w+(\s+as\s+\w+)?\s*,?\s*(#.*)?$")  # in a list of imports over several lines
_DOTTED = re.compile(r"(?<![\w.])['\"]?((?:\w+\.)*)$")  # what is before the last part of a dotted name
_MEMBER = re.compile(r"\w+[.:]\w")
_RENAMED = re.compile(r"[\w.]+\s+as\b")
_USED = re.compile(r"\.\w|\s*[,)\]}]")

# A line that imports something by its place relative to the file.
_RELATIVE = re.compile(r"^\s*from\s+\.|^\s*#\s*include\s*\"|\b(from|import|require)\b[\s(]*['\"]\.\.?/|\bsuper::")


# Endings of code, and of the file with its types.
_PAIRS = ((".py", ".pyi"), (".js", ".d.ts"), (".jsx", ".d.ts"), (".mjs", ".d.mts"), (".cjs", ".d.cts"))

_RELATIVE_PATH = re.compile(r"['\"`](\.\.?/[^'\"`]+)['\"`]")

# Files that name others by their paths, which no language server changes.
_CONFIGURATIONS = re.compile(r"\.(json|toml|ya?ml|cfg|ini|cmake)$|^(CMakeLists\.txt|Makefile)$")


class MoveResult(EditResult):
    """The edit, and what was not done about imports."""

    imports: str | None = Field(default=None, description="Which imports nobody looked at, and why.")
    lines_to_check: list[Location] | None = Field(
        default=None, description="Lines that were not changed and may name what moved, or be relative to its place."
    )

    stays: str | None = Field(
        default=None, description="Which file with its types, or of which it has the types, is not moved."
    )

    def lean(self) -> dict[str, Any]:
        lines = by_file(self.lines_to_check or [])
        return filled(stays=self.stays, imports=self.imports, lines_to_check=lines) | super().lean()


class _Moves:
    def __init__(self, links: Links, editor: Editor) -> None:
        self._links, self._editor = links, editor
        self._workspaces = editor.engine.workspaces

    async def move_path(self, call: Call, arguments: MoveArguments) -> MoveResult:
        """Move or rename a file or directory, also to another project. Within a project, imports of it are updated."""
        source, target = (self._editor.path(call, text) for text in (arguments.source, arguments.target))
        require_below_root(source, target)

        def fill(draft: Draft) -> None:
            # First, because their paths are those before the move.
            for change in plan.changes:
                draft_change(draft, change)
            draft.move(source, target, overwrite=arguments.overwrite, expected_hash=arguments.expected_hash)

        plan, lines, binding = PlannedMove(complete=True, changes=[]), list[str](), set[WorkspacePath]()
        if arguments.update_imports:
            # A move that is refused need not wait for language servers.
            draft = Draft(self._workspaces, self._editor.engine.max_file_bytes)
            await run_sync(fill, draft)
            lines = await run_sync(_lines, draft, target)
            plan = await self._plan(call, source, target)
            self._editor.require(call, paths_of(plan.changes))
            if plan.served and not _fits(source, plan.covered):
                binding = await run_sync(partial(self._binding, source, target), abandon_on_cancel=True)
        made = await self._editor.draft(
            call,
            "move_path",
            fill,
            preview=arguments.preview,
            # What the spoke saw, and what the caller saw, does not come back by itself.
            attempts=1 if plan.changes or arguments.expected_hash else ATTEMPTS,
            formats=bool(plan.changes),
        )
        edit = await self._editor.answer_of(made, preview=arguments.preview)
        stays = await run_sync(self._stays, source)
        if not arguments.update_imports:
            return MoveResult(**dict(edit), stays=stays)
        left = await run_sync(partial(self._left, source, target, lines, plan, binding), abandon_on_cancel=True)
        return MoveResult(**dict(edit), stays=stays, imports=_sentence(plan), lines_to_check=left or None)

    async def _plan(self, call: Call, source: WorkspacePath, target: WorkspacePath) -> PlannedMove:
        """Ask the spoke how imports change; whatever it says, the move itself goes ahead."""
        try:
            # Language servers know a file by its path without links.
            view = DiskView(self._workspaces, self._editor.engine.max_file_bytes)
            old, new = [str(await run_sync(view.entry, path)) for path in (source, target)]
            return await ask_spoke(
                self._links,
                source.project,
                "plan_move",
                {"source": old, "target": new, "timeout_seconds": _PLAN_SECONDS},
                PlannedMove,
                seconds=_PLAN_SECONDS,
                paths=lambda plan: map(str, paths_of(plan.changes)),
                report=call.progress,
            )
        except ToolError as error:
            return PlannedMove(complete=False, message=error.message, changes=[])

    def _stays(self, source: WorkspacePath) -> str | None:
        """Say which file with the types of what moves, or with the code of types that move, stays."""
        view, name = DiskView(self._workspaces, self._editor.engine.max_file_bytes), source.parts[-1]
        for pair in _PAIRS:
            for own, other in (pair, pair[::-1]):
                beside = WorkspacePath(source.project, (*source.parts[:-1], name.removesuffix(own) + other))
                # What cannot be read now is no reason to fail: the move is made.
                with suppress(OSError, ToolError):
                    if name.endswith(own) and view.find(beside, content=False) is not None:
                        return f"{beside} stays where it is; it goes with {source}, so move it too."
        return None

    def _binding(self, source: WorkspacePath, target: WorkspacePath) -> set[WorkspacePath]:
        """Return the files of Python that import what moves by its name, where they are then.

        To be asked before the edit: a server may update an import, and leave the uses of what it imports.
        """
        try:
            root, bounds = self._workspaces.root(source.project), Bounds(time.monotonic() + _SEARCH_SECONDS)
            words = find_word(root, _name(source), bounds)
        except ToolError:  # there are too many
            return set()
        return {
            _moved(file.path, source, target)
            for file in words
            if file.path.parts[-1].endswith(_PYTHON) and any(_binds(source, file.path, at) for at in file.places)
        }

    def _left(
        self,
        source: WorkspacePath,
        target: WorkspacePath,
        lines: list[str],
        plan: PlannedMove,
        binding: set[WorkspacePath],
    ) -> list[Location]:
        """Return the lines that may name what moved, as far as no edit changes them.

        Args:
            lines: those of the file that moved; none for a directory.
            binding: see `_binding`.
        """
        name = _name(source) if plan.served else source.parts[-1]
        if not plan.served and not lines:
            return []
        try:
            root, bounds = self._workspaces.root(source.project), Bounds(time.monotonic() + _SEARCH_SECONDS)
            words = without_renamed(find_word(root, name, bounds), plan.changes)
        except ToolError:  # there are too many
            words = []
        found = [
            _location(_moved(file.path, source, target), at.line, at.column, at.column + len(name), at.line_text)
            for file in words
            for at in file.places
            if (
                _leads_to(source, file.path, at)
                if _fits(file.path, plan.covered)
                else _names(source, file.path, at)
                or (_moved(file.path, source, target) in binding and _is_use(name, at))
            )
        ]
        if plan.served and (source.project, source.parts[:-1]) != (target.project, target.parts[:-1]):
            is_relative = _is_relative_string if _fits(source, plan.covered) else _RELATIVE.search
            known = {(one.path, one.line) for one in found}
            found += [
                _location(target, number, 1, len(text) + 1, text)
                for number, text in enumerate(lines, 1)
                if is_relative(text) and (str(target), number) not in known
            ]
        return found[:_SHOWN]


def _name(source: WorkspacePath) -> str:
    """Return the word by which code names a file or directory."""
    name = source.parts[-1].partition(".")[0] or source.parts[-1]
    return source.parts[-2] if name in _NAMELESS and len(source.parts) > 1 else name


def _names(source: WorkspacePath, path: WorkspacePath, at: WordPlace) -> bool:
    """Say whether a word may name what moves: in an import, in a dotted name, or in a path of a configuration."""
    if path.parts[-1].endswith(_PYTHON):
        return _is_imported(source, path, at.line_text) or _is_dotted(source, at)
    in_path = at.line_text[: at.column - 1].endswith("/") or (
        not path.parts[-1].endswith(".json") and _is_dotted(source, at)
    )
    return bool((in_path and _CONFIGURATIONS.search(path.parts[-1])) or _IMPORT.search(at.line_text))


def _module(source: WorkspacePath) -> list[str]:
    """Return the names of a module of Python from the root of its project, of which the first may not be part of it."""
    names = [*source.parts[:-1], source.parts[-1].partition(".")[0]]
    return names[:-1] if names[-1] == "__init__" else names


def _is_dotted(source: WorkspacePath, at: WordPlace) -> bool:
    """Say whether a word ends the dotted name of a module of Python: in code, in a string of a mock, in an entry point.

    A name without a dot before it is that of a module only if the module is in no package.
    """
    if source.parts[-1].count(".") and not source.parts[-1].endswith(_PYTHON):
        return False
    found = _DOTTED.search(at.line_text[: at.column - 1])
    before, quote = (found[1].split(".")[:-1], found[0][:1]) if found else ([], "")
    above = _module(source)[:-1]
    if before:
        return above[-len(before) :] == before
    return above in ([], ["src"]) and quote in ("'", '"') and bool(_MEMBER.match(at.line_text[at.column - 1 :]))


def _binds(source: WorkspacePath, path: WorkspacePath, at: WordPlace) -> bool:
    """Say whether a line of Python gives what moves the name that it has now, in its file."""
    before, after = at.line_text[: at.column - 1], at.line_text[at.column - 1 :]
    if not _is_imported(source, path, at.line_text):
        return False
    in_list = _PYTHON_LIST.match(at.line_text) or before.rstrip(" (").endswith(("import", ","))
    return bool(in_list) and not _RENAMED.match(after)


def _is_use(name: str, at: WordPlace) -> bool:
    """Say whether a word may be the name of a module in code: something is taken from it, or it is given to a call."""
    before, after = at.line_text[: at.column - 1], at.line_text[at.column - 1 + len(name) :]
    return not before.endswith(".") and "#" not in before and bool(_USED.match(after))


def _is_imported(source: WorkspacePath, path: WorkspacePath, line: str) -> bool:
    """Say whether a line of Python may import what moves, as far as its dotted names say where that is."""
    found = _PYTHON_IMPORT.match(line)
    if found is None:
        return bool(_PYTHON_LIST.match(line))
    dots, module, names, modules = found.groups()
    whole = _module(source)
    base = module.split(".") if module else []
    if dots:  # from there on the path is whole
        base = [*path.parts[: len(path.parts) - len(dots)], *base]
    if modules is None:
        named = [[*base, *name.split()[:1]] for name in names.strip("() ").split(",")]
    else:
        named = [name.split()[0].split(".") for name in modules.split(",") if name.strip()]
    return any(
        parts[:count] == whole[-count:]
        for parts in named
        for count in ([len(whole)] if dots else range(1, len(parts) + 1))
    )


def _is_relative_string(line: str) -> bool:
    return bool(_RELATIVE_PATH.search(line)) and not _IMPORT.search(line)


def _leads_to(source: WorkspacePath, path: WorkspacePath, at: WordPlace) -> bool:
    """Say whether a string on a line is a relative path to what moves, or to something in it, like ``jest.mock``'s.

    A language server that updates every import leaves such strings.
    """
    whole = "/".join(source.parts)
    for text in _RELATIVE_PATH.findall(at.line_text):
        found = posixpath.normpath(posixpath.join(*path.parts[:-1], text))
        if f"{found}/".startswith(f"{whole}/") or posixpath.splitext(whole)[0] in (found, posixpath.splitext(found)[0]):
            return True
    return False


def _lines(draft: Draft, path: WorkspacePath) -> list[str]:
    """Return the lines that a draft has at a path; none of what is no text."""
    try:
        node = draft.find(path)
        return [] if node is None or not node.content else LINE_BREAK.split(decode(node.content, path).content)
    except ToolError:
        return []


def _fits(path: WorkspacePath, globs: list[str]) -> bool:
    return any(fnmatchcase(path.parts[-1], glob) for glob in globs)


def _moved(path: WorkspacePath, source: WorkspacePath, target: WorkspacePath) -> WorkspacePath:
    inside = path == source or path.is_below(source)
    return target.child(*path.parts[len(source.parts) :]) if inside else path


def _location(path: WorkspacePath, line: int, column: int, end_column: int, text: str) -> Location:
    return Location(
        path=str(path), line=line, column=column, end_line=line, end_column=end_column, line_text=text[:_MAX_LINE]
    )


def _sentence(plan: PlannedMove) -> str | None:
    if plan.complete:
        return None
    what = "Not all imports were updated" if plan.changes else "Imports were not updated"
    return f"{what}: {plan.message or plan.reason}"


def move_tools(links: Links, editor: Editor) -> list[Tool[Any]]:
    """Make ``move_path``."""
    return [tool_of(_Moves(links, editor).move_path, "write")]
