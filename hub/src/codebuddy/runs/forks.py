"""The fork server, seen from the agent."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

import codebuddy

__all__ = ["ForkServer"]

_SOURCE: Final = str(Path(codebuddy.__file__).parents[1])

log = logging.getLogger(__name__)


class ForkServer:
    """The process that forks the supervisors; started when it is needed, and again when it was killed."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.was_killed = False
        """Whether one was, at any time: what it would have ended may be left."""
        self.supervisors: set[int] = set()
        """The ids of those that are at work."""

    def look(self) -> int | None:
        """See whether it still runs; give its id."""
        if self._process is None:
            return None
        if self._process.poll() is None:
            return self._process.pid
        log.warning("the process that starts runs was killed; the next run starts another one")
        self.was_killed = True
        self.close()
        return None

    def send(self, control: socket.socket, stdin: int, stdout: int, stderr: int) -> None:
        """Have a supervisor forked that gets these descriptors.

        Raises:
            OSError: it cannot be.
        """
        descriptors = [control.fileno(), stdin, stdout, stderr]
        for last in (False, True):
            try:
                socket.send_fds(self._connected(), [b"run"], descriptors)
                return
            except OSError:
                self.close()
                if last:
                    raise

    def close(self) -> None:
        """End it; the runs that are under way end too."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _connected(self) -> socket.socket:
        self.look()
        if self._socket is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            # Neither the project's modules nor site-packages: it needs none, and stays small.
            code = f"import sys; sys.path.insert(0, {_SOURCE!r}); from codebuddy.runs.forkserver import serve; "
            code += f"serve({theirs.fileno()})"
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", code],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            self._socket = ours
        return self._socket
