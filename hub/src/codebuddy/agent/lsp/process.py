"""The process of a language server: started with a mark, ended together with everything it started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from codebuddy.process_tree import MARK_VARIABLE, MarkedProcesses, memory_of, oom_kills, prefer_for_oom_kill

_STDERR_LINES: Final = 40
_STDERR_LINE_BYTES: Final = 400
_KILL_SECONDS: Final = 5.0

# The line of a program's last output that says why it ended; others follow it, such as the frames of a stack.
_CAUSE: Final = re.compile(r"(?!\s).*?(error\b|panicked|fatal)", re.IGNORECASE)

# setpriv sets PR_SET_PDEATHSIG between fork and exec: a killed agent leaves no server behind, and no Python code
# (preexec_fn) runs in the child of a process that has threads.
_SETPRIV: Final = "/usr/bin/setpriv"


class ServerCommandMissing(Exception):
    """The image does not contain the program of a language server."""


class _ExitProtocol(asyncio.subprocess.SubprocessStreamProtocol):
    """Sees the process exit even while its children hold the pipes open, unlike asyncio's ``wait``."""

    def __init__(self) -> None:
        super().__init__(limit=2**16, loop=asyncio.get_running_loop())
        self.exited = asyncio.Event()

    def process_exited(self) -> None:
        super().process_exited()
        self.exited.set()


class Process:
    """One running server. Create it with :meth:`start`, and always call :meth:`kill` at the end."""

    def __init__(
        self, transport: asyncio.SubprocessTransport, protocol: _ExitProtocol, processes: MarkedProcesses
    ) -> None:
        process = asyncio.subprocess.Process(transport, protocol, asyncio.get_running_loop())
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.pid = process.pid
        self.stdin = process.stdin
        self.stdout = process.stdout
        self._stderr = process.stderr
        self._process = process
        self._transport = transport
        self._exited = protocol.exited
        self._processes = processes
        self._killed = False
        self._oom_kills = oom_kills()
        self._stderr_lines: deque[str] = deque(maxlen=_STDERR_LINES)

    @classmethod
    async def start(cls, command: list[str], cwd: Path, environment: dict[str, str]) -> Process:
        """Start the command in its own session and process group.

        Raises:
            ServerCommandMissing: there is no such program.
            OSError: it cannot be started.
        """
        program = shutil.which(command[0], path=environment.get("PATH"))
        if program is None:
            raise ServerCommandMissing(f"there is no program {command[0]!r} in this container")
        argv = [program, *command[1:]]
        if os.access(_SETPRIV, os.X_OK):
            argv = [_SETPRIV, "--pdeathsig", "KILL", "--", *argv]
        processes = MarkedProcesses()
        environment = {MARK_VARIABLE: processes.mark, **environment}
        loop, pipe = asyncio.get_running_loop(), asyncio.subprocess.PIPE
        transport, protocol = await loop.subprocess_exec(
            _ExitProtocol, *argv, cwd=cwd, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        )
        process = cls(transport, protocol, processes)
        processes.add_root(process.pid)
        prefer_for_oom_kill(process.pid)
        return process

    async def read_stderr(self, on_line: Callable[[str], None]) -> None:
        """Read stderr so that the server never blocks on it; keep the last lines, each cut to what is kept."""
        rest = b""
        while data := await self._stderr.read(8192):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._keep(line, on_line)
            rest = rest[:_STDERR_LINE_BYTES]
        if rest:
            self._keep(rest, on_line)

    def _keep(self, line: bytes, on_line: Callable[[str], None]) -> None:
        text = line[:_STDERR_LINE_BYTES].decode("utf-8", "replace")
        self._stderr_lines.append(text)
        on_line(text)

    async def wait(self) -> None:
        """Wait until the server has exited."""
        await self._exited.wait()

    def exit_reason(self) -> str | None:
        """Say how the server ended; None while it runs."""
        status = self._process.returncode
        if status is None:
            return None
        how = f"it ended by signal {-status}" if status < 0 else f"it ended with status {status}"
        if oom_kills() > self._oom_kills:
            return f"{how}, when the container had run out of memory and the kernel killed a process"
        if status == -signal.SIGKILL and not self._killed:
            return f"{how}, which the agent did not send: most likely memory had run out"
        return how

    def last_error_line(self) -> str:
        """Return the line on stderr that most likely says why the server ended; empty if there is none."""
        lines = [line.strip("\r\n") for line in reversed(self._stderr_lines) if line.strip()]
        cause = next((line for line in lines if _CAUSE.match(line)), None)
        return (cause or next(iter(lines), "")).strip()

    async def memory(self, limit: int) -> int:
        """Return the memory of the server and everything it started, in bytes; exact if it is over the limit.

        :meth:`kill` finds the processes that this has seen, even those without the mark.
        """
        return await asyncio.to_thread(lambda: memory_of(self._processes.members(), limit))

    async def kill(self) -> None:
        """Kill the server and everything it started; does nothing if they are gone."""
        self._killed = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        await asyncio.to_thread(self._processes.kill)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_KILL_SECONDS):
                await self.wait()
        self._transport.close()
