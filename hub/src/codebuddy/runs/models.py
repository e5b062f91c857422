"""The run contract: what a run is asked and how it is told, the same in the hub and in the spoke."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from codebuddy.tool import Arguments, Result

__all__ = ["MAX_TIMEOUT_SECONDS", "CommandArguments", "EndReason", "RunArguments", "RunResult", "TaskArguments"]

MAX_TIMEOUT_SECONDS = 3600.0
DEFAULT_TIMEOUT_SECONDS = 600.0

EndReason = Literal["exited", "signaled", "timeout", "idle_timeout", "not_started", "spoke_offline", "refused"]
"""How a run ended. ``not_started``: the program could not be started; ``refused``: the spoke would not run it."""


class RunArguments(Arguments):
    """What every run takes: when to end it."""

    timeout_seconds: float = Field(
        DEFAULT_TIMEOUT_SECONDS, gt=0, le=MAX_TIMEOUT_SECONDS, description="End the run after so many seconds."
    )
    idle_timeout_seconds: float | None = Field(
        None, gt=0, le=MAX_TIMEOUT_SECONDS, description="End the run after so many seconds without output."
    )


class CommandArguments(RunArguments):
    """A command line, as a list: no shell reads it unless the list names one."""

    argv: list[str] = Field(min_length=1, description="Program and arguments, e.g. ['npm', 'test']. No shell is used.")
    cwd: str = Field("", description="Directory to run in, relative to the project's root.")
    environment: dict[str, str] = Field(default_factory=dict, description="Variables added to the project's own.")
    stdin: str | None = Field(None, description="Text given on standard input, which is closed after it.")


class TaskArguments(RunArguments):
    """A task that the project declares, by name."""

    task: str = Field(description="Name of a declared task, e.g. test, check, build; list_projects tells which exist.")
    arguments: list[str] = Field(default_factory=list, description="Arguments added to the task's command line.")


class RunResult(Result):
    """How one run in one project ended."""

    project: str
    reason: EndReason
    exit_code: int | None = None
    signal: str | None = None
    output: str = ""
    truncated: bool = False
    duration_seconds: float = 0.0
    message: str | None = None

    def text(self) -> str:
        how = f"exit code {self.exit_code}" if self.reason == "exited" else self.message or self.reason
        return f"{self.project}: {how} ({self.duration_seconds:.1f} s)\n{self.output}"
