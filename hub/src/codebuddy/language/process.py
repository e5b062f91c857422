"""The process of a language server: started in a group of its own, ended with all that it started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

__all__ = ["Process", "ServerCommandMissing"]

_STDERR_LINES: Final = 40
_STDERR_LINE_BYTES: Final = 400

# setpriv sets PR_SET_PDEATHSIG between fork and exec: a killed agent leaves no server behind, and no Python code
# (preexec_fn) runs in the child of a process that has threads.
_SETPRIV: Final = "/usr/bin/setpriv"


class ServerCommandMissing(Exception):
    """The program of a language server is not in the image."""


class _Exit(asyncio.subprocess.SubprocessStreamProtocol):
    """Knows that the process has ended also while its children hold the pipes open; asyncio's ``wait`` does not."""

    def __init__(self) -> None:
        super().__init__(limit=2**16, loop=asyncio.get_running_loop())
        self.ended = asyncio.Event()

    def process_exited(self) -> None:
        super().process_exited()
        self.ended.set()


class Process:
    """One running server. Use :meth:`start`; call :meth:`kill` when done with it, however it went."""

    def __init__(self, process: asyncio.subprocess.Process, ended: asyncio.Event) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.pid = process.pid
        self.stdin = process.stdin
        self.stdout = process.stdout
        self._stderr = process.stderr
        self._process = process
        self._ended = ended
        self._last_words: deque[str] = deque(maxlen=_STDERR_LINES)

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
        loop, pipe = asyncio.get_running_loop(), asyncio.subprocess.PIPE
        transport, exit_ = await loop.subprocess_exec(
            _Exit, *argv, cwd=cwd, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        )
        return cls(asyncio.subprocess.Process(transport, exit_, loop), exit_.ended)

    async def read_stderr(self, line_read: Callable[[str], None]) -> None:
        """Read what the server says on stderr, so that it never blocks there; keep the last lines.

        Args:
            line_read: told each line, as much of it as is kept.
        """
        rest = b""
        while data := await self._stderr.read(8192):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._keep(line, line_read)
            rest = rest[:_STDERR_LINE_BYTES]
        if rest:
            self._keep(rest, line_read)

    def _keep(self, line: bytes, line_read: Callable[[str], None]) -> None:
        text = line[:_STDERR_LINE_BYTES].decode("utf-8", "replace")
        self._last_words.append(text)
        line_read(text)

    def last_words(self) -> str:
        """Give the last line that the server wrote on stderr; empty if there is none."""
        return next((line.strip() for line in reversed(self._last_words) if line.strip()), "")

    async def wait(self) -> int:
        """Wait until the server ended; give its exit status, negative for a signal."""
        await self._ended.wait()
        status = self._process.returncode
        return 0 if status is None else status

    def kill(self) -> None:
        """End the server and all that it started, at once. Does no harm when they are gone."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
