"""Calls the hub's file and edit tools directly, without a connection in between."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import anyio.lowlevel
import jsonschema  # type: ignore[import-untyped]
import pytest

from codebuddy.files.confinement import Opener, Workspaces
from codebuddy.files.paths import WorkspacePath
from codebuddy.hub.edits.editor import Editor, WriteFormatter
from codebuddy.hub.edits.engine import EditEngine
from codebuddy.hub.edits.journal import Journal
from codebuddy.hub.spokes import Links
from codebuddy.hub.tools.edits import edit_tools
from codebuddy.hub.tools.files import file_tools
from codebuddy.hub.tools.moves import move_tools
from codebuddy.schemas.code import DiagnosticsResult, FormattedText
from codebuddy.tool import ALL_SCOPES, Call, Detail, Principal, Tool, ToolError, parse_arguments
from codebuddy.wire.calls import output_schema

Answer = dict[str, Any]
DETAILS: tuple[Detail, ...] = ("lean", "full")


class ToolClient:
    """Calls the tools with a real edit engine, and records the notifications and questions to spokes.

    Args:
        directory: holds a directory for each project, named by its id.
        journal: the journal's directory.
    """

    def __init__(self, directory: Path, journal: Path, projects: list[str], opener: Opener | None = None) -> None:
        self.told: list[tuple[str, list[str]]] = []
        self.checked: list[tuple[str, list[str] | None]] = []
        self.on_tell: Callable[[str, list[str]], Awaitable[None]] | None = None
        self.answer_check: Callable[[str, list[str] | None], Awaitable[DiagnosticsResult]] | None = None
        self.answer_format: Callable[[str, str], Awaitable[FormattedText]] | None = None
        workspaces = Workspaces({project: directory / project for project in projects}, opener)
        self.engine = EditEngine(workspaces, Journal(journal, 2**28, 86400.0))
        formatter = WriteFormatter(self.format, projects, self.engine.max_file_bytes)
        editor = self.editor = Editor(self.engine, self.tell, self.check, formatter)
        self.tools: dict[str, Tool[Any]] = {}
        self.schemas: dict[str, dict[str, Any]] = {}
        self.listed: dict[str, dict[str, Any]] = {}
        self.add([*file_tools(workspaces), *edit_tools(editor), *move_tools(Links(), editor)])
        self.principal = Principal("tester", None, ALL_SCOPES)

    def add(self, tools: Iterable[Tool[Any]]) -> None:
        """Add more tools."""
        for tool in tools:
            self.tools[tool.name] = tool
            self.schemas[tool.name] = tool.result.model_json_schema(mode="serialization")
            self.listed[tool.name] = output_schema(tool.result)

    async def tell(self, project: str, paths: list[str]) -> None:
        """Record a notification of a spoke, after `on_tell`."""
        if self.on_tell is not None:
            await self.on_tell(project, paths)
        await anyio.lowlevel.checkpoint()  # a cancelled caller ends here
        self.told.append((project, paths))

    async def check(self, project: str, paths: list[str] | None) -> DiagnosticsResult:
        """Answer with `answer_check`; without it, there are no diagnostics."""
        self.checked.append((project, paths))
        if self.answer_check is not None:
            return await self.answer_check(project, paths)
        return DiagnosticsResult(complete=True, diagnostics=[], checked_files=0)

    async def format(self, path: WorkspacePath, content: str) -> FormattedText:
        """Answer with `answer_format`; without it, no server formats such a file."""
        if self.answer_format is not None:
            return await self.answer_format(str(path), content)
        return FormattedText(complete=True, served=False)

    async def __call__(self, name: str, **arguments: Any) -> Answer:
        """Call a tool; return its answer as it is sent."""
        tool = self.tools[name]
        # Arguments and answers are sent as JSON in UTF-8: what cannot be encoded fails here.
        sent = json.loads(json.dumps(arguments))
        result = await tool.handler(Call(self.principal), parse_arguments(tool, sent))
        result.text().encode("utf-8")
        answer = result.model_dump(mode="json", exclude_none=True)
        json.dumps(answer, ensure_ascii=False).encode("utf-8")
        jsonschema.validate(answer, self.schemas[name])
        for detail in DETAILS:
            jsonschema.validate(result.structured(detail), self.listed[name])
        return answer

    async def text(self, name: str, **arguments: Any) -> str:
        """Call a tool; return the text form of its answer."""
        tool = self.tools[name]
        return (await tool.handler(Call(self.principal), parse_arguments(tool, arguments))).text()

    async def refused(self, name: str, **arguments: Any) -> ToolError:
        """Call a tool, which must fail; return its error."""
        with pytest.raises(ToolError) as error:
            await self(name, **arguments)
        assert error.value.message.endswith(".")
        return error.value

    def close(self) -> None:
        self.engine.close()


def snapshot(directory: Path) -> dict[str, tuple[int, bytes | str]]:
    """Return all that is below a directory: path → mode, and content or link target."""
    return {
        str(path.relative_to(directory)): (path.lstat().st_mode, _content(path))
        for path in sorted(directory.rglob("*"))
    }


def _content(path: Path) -> bytes | str:
    if path.is_symlink():
        return str(path.readlink())
    return path.read_bytes() if path.is_file() else ""
