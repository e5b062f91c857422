"""Runs a client in an empty home, and ends all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from codebuddy_testing.real_clients.client import Command

MARK = "CODEBUDDY_TEST_CLIENT"
"""A variable in the environment of a client and of all that it starts, by which they are found again."""

KEPT = ("PATH", "LANG", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "DOCKER_HOST")

# Nothing but loopback is reached: what asks for another host is sent to a port that nobody listens on.
NO_NETWORK = {
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "NO_PROXY": "127.0.0.1,localhost",
    "no_proxy": "127.0.0.1,localhost",
}


@dataclass(frozen=True)
class RunningClient:
    """A client that was started."""

    process: subprocess.Popen[bytes]
    mark: str
    output_file: Path

    def wait(self, seconds: float) -> int | None:
        """Wait until it has ended; return its exit code, or None if it goes on."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def output(self) -> str:
        """Return what it has printed so far."""
        return self.output_file.read_text(errors="replace")

    def send(self, number: int) -> None:
        """Send a signal to all processes of the client."""
        for pid in self.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def interrupt(self) -> None:
        """Do as a user who presses Ctrl-C."""
        os.killpg(self.process.pid, signal.SIGINT)

    def cancel(self) -> None:
        """Interrupt the client alone, and not what it started: it then only cancels its call (`Client.cancels`)."""
        self.process.send_signal(signal.SIGINT)

    def pids(self) -> list[int]:
        """Return its processes, also those that left its process group."""
        wanted = f"{MARK}={self.mark}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def end(self) -> None:
        """End it and all that it started."""
        deadline = time.monotonic() + 10
        while self.pids() and time.monotonic() < deadline:
            self.send(signal.SIGKILL)
            time.sleep(0.05)
        self.process.wait()


@contextmanager
def running_client(command: Command, home: Path) -> Iterator[RunningClient]:
    """Start a client in a home directory and a working directory below it; end it afterwards."""
    mark = uuid.uuid4().hex
    work = home / "work"
    work.mkdir(exist_ok=True)
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    environment |= {
        **NO_NETWORK,
        "HOME": str(home),
        "TMPDIR": str(home),
        "TERM": "dumb",
        MARK: mark,
        **command.environment,
    }
    output = home / "output.txt"
    with output.open("wb") as stream:
        process = subprocess.Popen(
            # Of tests in the background of a shell, a client would inherit that it ignores interrupts.
            ["env", "--default-signal=INT", *command.words],
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    client = RunningClient(process, mark, output)
    try:
        yield client
    finally:
        client.end()
