"""Starts an engine as a plain process, on machines without a service manager (containers, WSL)."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

#: Files with the process ids of engine and containerd, and the program that the process must be.
PID_FILES = (("/var/run/docker.pid", "dockerd"), ("/var/run/docker/containerd/containerd.pid", "containerd"))
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INHERITED = ("HOME", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
ENDED = "ZX"  # states of zombies and dead processes in proc(5)
LAST_LINES = 15
INTERVAL = 0.2  # seconds


class StartError(Exception):
    """The engine ended, or did not answer in time; the message contains the last lines of its log."""


def is_running(pid_file: Path, program: str) -> bool:
    """Whether the process in a file runs and is the program; after a reboot, another may have its id."""
    try:
        pid = int(pid_file.read_text())
        name, _, fields = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
    except (OSError, ValueError):
        return False
    return name == program and fields.split()[0] not in ENDED


def clear_stale(pid_files: tuple[tuple[str, str], ...] = PID_FILES) -> list[str]:
    """Remove the files of engines that no longer run, which would keep a new one from starting; return their paths."""
    stale = [Path(name) for name, program in pid_files if not is_running(Path(name), program)]
    removed = [path for path in stale if path.exists()]
    for path in removed:
        path.unlink()
    return [str(path) for path in removed]


def start(
    program: str,
    log_file: str,
    answers: Callable[[], bool],
    timeout: float,
    pid_files: tuple[tuple[str, str], ...] = PID_FILES,
) -> None:
    """Start an engine in its own session and wait until it answers. If one runs already, only wait for it.

    Args:
        program: path of ``dockerd``.
        log_file: its output is appended here.
        answers: whether it answers.
        timeout: seconds to wait.
        pid_files: as :data:`PID_FILES`.

    Raises:
        StartError: it ended, or did not answer in time.
        OSError: program or log file cannot be opened.
    """
    clear_stale(pid_files)
    running = any(is_running(Path(name), Path(program).name) for name, _ in pid_files)
    log_start = os.path.getsize(log_file) if os.path.exists(log_file) else 0
    process = None if running else _spawn(program, log_file)
    deadline = time.monotonic() + timeout
    while not answers():
        if process is not None and process.poll() is not None:
            raise StartError(f"{program} ended with exit code {process.returncode}. {_last_lines(log_file, log_start)}")
        if time.monotonic() > deadline:
            raise StartError(
                f"{program} runs, but does not answer after {timeout:g} s. {_last_lines(log_file, log_start)}"
            )
        time.sleep(INTERVAL)


def _spawn(program: str, log_file: str) -> subprocess.Popen[bytes]:
    """Start the program so that it outlives this process and holds none of its files, terminal or session."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    with open(log_file, "ab") as log:
        return subprocess.Popen(
            [program],
            cwd="/",
            env={**inherited, "PATH": SYSTEM_PATH},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            umask=0o022,
        )


def _last_lines(log_file: str, offset: int) -> str:
    """Return the last lines that were logged after an offset in bytes."""
    try:
        lines = Path(log_file).read_bytes()[offset:].decode(errors="replace").splitlines()[-LAST_LINES:]
    except OSError as error:
        return f"Its log {log_file} cannot be read: {error.strerror}."
    return "\n".join((f"{log_file} ends with:", *lines))
