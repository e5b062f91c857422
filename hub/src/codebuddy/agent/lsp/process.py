"""The process of a language server: started with a mark, ended with all that it started."""

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

from codebuddy.process_tree import MARK, Family, memory_of, offer_to_oom, oom_kills

_STDERR_LINES: Final = 40
_STDERR_LINE_BYTES: Final = 400
_END_SECONDS: Final = 5.0

# Of what a program says before it ends, the line that tells why; others follow it, like the frames of a stack.
_TELLING: Final = re.compile(r"(?!\s).*?(error\b|panicked|fatal)", re.IGNORECASE)

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

    def __init__(self, transport: asyncio.SubprocessTransport, exit_: _Exit, family: Family) -> None:
        process = asyncio.subprocess.Process(transport, exit_, asyncio.get_running_loop())
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.pid = process.pid
        self.stdin = process.stdin
        self.stdout = process.stdout
        self._stderr = process.stderr
        self._process = process
        self._transport = transport
        self._ended = exit_.ended
        self._family = family
        self._killed = False
        self._oom_kills = oom_kills()
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
        family = Family()
        environment = {MARK: family.mark, **environment}
        loop, pipe = asyncio.get_running_loop(), asyncio.subprocess.PIPE
        transport, exit_ = await loop.subprocess_exec(
            _Exit, *argv, cwd=cwd, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        )
        process = cls(transport, exit_, family)
        family.add_root(process.pid)
        offer_to_oom(process.pid)
        return process

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

    async def wait(self) -> None:
        """Wait until the server ended."""
        await self._ended.wait()

    def epitaph(self) -> str | None:
        """Say how the server ended; None when it has not."""
        status = self._process.returncode
        if status is None:
            return None
        how = f"it ended by signal {-status}" if status < 0 else f"it ended with status {status}"
        if oom_kills() > self._oom_kills:
            return f"{how}, when the container's memory had run out and the kernel ended a process"
        if status == -signal.SIGKILL and not self._killed:
            return f"{how}, which was not sent from here: most likely memory had run out"
        return how

    def last_words(self) -> str:
        """Give the line on stderr that tells most likely why the server ended; empty if it wrote none."""
        lines = [line.strip("\r\n") for line in reversed(self._last_words) if line.strip()]
        telling = next((line for line in lines if _TELLING.match(line)), None)
        return (telling or next(iter(lines), "")).strip()

    async def memory(self, limit: int) -> int:
        """Give the bytes of memory that the server and all that it started use; exact if it is over the limit.

        Who was seen in such a look is found again when it is to be ended.
        """
        return await asyncio.to_thread(lambda: memory_of(self._family.members(), limit))

    async def kill(self) -> None:
        """End the server and all that it started, at once. Does no harm when they are gone."""
        self._killed = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        await asyncio.to_thread(self._family.kill)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await self.wait()
        self._transport.close()
