"""The spoke's run tools: a command line or a declared task, here and now."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import anyio

from codebuddy.errors import ToolError
from codebuddy.runs.models import CommandArguments, RunArguments, RunResult, TaskArguments
from codebuddy.runs.process import run_process
from codebuddy.tool import Call, Progress, Tool

__all__ = ["Commands", "run_tools"]

REPORT_SECONDS = 0.1
"""How often output is told while it appears."""

REPORT_BYTES = 16 * 1024
"""The most that one report holds; a faster program is told in part, and whole (within bounds) in the answer."""


class Commands:
    """Runs programs in one project's directory.

    Args:
        project: id of the project.
        root: its directory.
        tasks: declared tasks, name → command line.
        environment: declared variables of the project.
    """

    def __init__(
        self, project: str, root: Path, tasks: Mapping[str, list[str]], environment: Mapping[str, str]
    ) -> None:
        self._project = project
        self._root = root
        self._tasks = dict(tasks)
        self._environment = {**os.environ, **environment}

    async def run_command(self, call: Call, arguments: CommandArguments) -> RunResult:
        """Run a command line.

        Raises:
            ToolError: ``outside_project``, ``not_a_directory`` for the working directory.
        """
        stdin = None if arguments.stdin is None else arguments.stdin.encode()
        return await self._run(
            call,
            arguments,
            arguments.argv,
            self._directory(arguments.cwd),
            environment=arguments.environment,
            stdin=stdin,
        )

    async def run_task(self, call: Call, arguments: TaskArguments) -> RunResult:
        """Run a declared task.

        Raises:
            ToolError: ``unknown_task``, listing those that are declared.
        """
        argv = self._tasks.get(arguments.task)
        if argv is None:
            declared = ", ".join(sorted(self._tasks)) or "none"
            raise ToolError(
                "unknown_task",
                f"{self._project} declares no task {arguments.task!r}; declared: {declared}. "
                "Add it to project_tasks in the inventory, or use run_command.",
            )
        return await self._run(call, arguments, [*argv, *arguments.arguments], self._root)

    async def _run(
        self,
        call: Call,
        limits: RunArguments,
        argv: list[str],
        cwd: Path,
        *,
        environment: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
    ) -> RunResult:
        report = _Report(call.progress)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(report.run)
            try:
                ended = await run_process(
                    argv,
                    cwd=cwd,
                    environment={**self._environment, **(environment or {})},
                    stdin=stdin,
                    timeout_seconds=limits.timeout_seconds,
                    idle_timeout_seconds=limits.idle_timeout_seconds,
                    on_output=report.add,
                )
            except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
                return self._not_started(argv[0], error)
            finally:
                tasks.cancel_scope.cancel()
        return RunResult(
            project=self._project,
            reason=ended.reason,
            exit_code=ended.exit_code,
            signal=ended.signal,
            output=ended.output.text(),
            truncated=ended.output.truncated,
            duration_seconds=round(ended.duration_seconds, 3),
        )

    def _not_started(self, program: str, error: OSError | ValueError) -> RunResult:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return RunResult(
            project=self._project,
            reason="not_started",
            message=f"{program[:200]!r} could not be started in {self._project}: {why}. Programs are those of the "
            "project's image; add distribution packages with `packages` in the inventory.",
        )

    def _directory(self, cwd: str) -> Path:
        directory = Path(os.path.realpath(self._root / cwd))
        if not directory.is_relative_to(os.path.realpath(self._root)):
            raise ToolError(
                "outside_project", f"{cwd!r} lies outside {self._project}; give a directory inside it.", cwd
            )
        if not directory.is_dir():
            raise ToolError("not_a_directory", f"{cwd!r} is no directory of {self._project}.", cwd)
        return directory


class _Report:
    """Tells output as it appears, at a bounded rate: a chatty program must not flood the link."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._pending = bytearray()
        self._total = 0

    async def add(self, data: bytes) -> None:
        self._total += len(data)
        self._pending += data
        del self._pending[:-REPORT_BYTES]

    async def run(self) -> None:
        while True:
            await anyio.sleep(REPORT_SECONDS)
            if self._pending:
                text = self._pending.decode("utf-8", errors="replace")
                self._pending.clear()
                await self._progress(float(self._total), None, text)


def run_tools(commands: Commands) -> list[Tool[Any]]:
    """Give the spoke's run tools."""
    return [
        _tool("run_command", "Run a command line in this project.", CommandArguments, commands.run_command),
        _tool("run_task", "Run a declared task of this project.", TaskArguments, commands.run_task),
    ]


def _tool(
    name: str, description: str, arguments: Any, handler: Callable[[Call, Any], Awaitable[RunResult]]
) -> Tool[Any]:
    return Tool(name, "run", description, arguments, RunResult, handler)
