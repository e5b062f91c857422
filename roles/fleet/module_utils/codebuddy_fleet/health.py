"""Waits until every container is healthy, or none gets any further."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import docker
import docker.errors
import requests.exceptions

from .engine import WORKERS
from .text_safety import one_line

LOG_LINES = 20
_LONGEST_LINE = 1000  # characters of what a container says, which may be a hostile project's words
_RESTART_LOOP = 5  # restarts during one wait; the engine doubles its pause each time, so this takes some seconds
_FRAME_HEADER = 8  # bytes
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds between two checks
_IDLE_SHARE = 4  # a check starts a program, so on a busy machine, where it takes long, the pauses are longer
# How far a container is: it does not run, runs, answers that something is missing, or is healthy.
_STOPPED, _RUNS, _ANSWERS, _HEALTHY = range(4)


@dataclass(frozen=True)
class Unhealthy:
    """A container that did not become healthy."""

    name: str
    reason: str
    log: list[str]

    def __str__(self) -> str:
        lines = "\n".join(f"    | {line}" for line in self.log) or "    (nothing)"
        return f"{self.name} is not healthy: {self.reason}. Its last log lines:\n{lines}"


@dataclass
class _Progress:
    """How far the containers are, and when one of them last got further than it had been: so the wait has an end."""

    last: float
    stages: dict[str, int] = field(default_factory=dict)

    def note(self, name: str, stage: int, now: float) -> None:
        if stage > self.stages.get(name, _STOPPED):
            self.stages[name], self.last = stage, now


def wait_for_health(
    client: docker.APIClient,
    commands: dict[str, list[str]],
    timeout: float,
    *,
    always_ask: Iterable[str] = (),
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] | None = None,
) -> list[Unhealthy]:
    """Wait for all containers together; return those that are not healthy in the end, sorted by name.

    The engine runs its own health check only every 15 s, so the command is executed in the container.

    Args:
        client: its timeout bounds each single request.
        commands: container name to the command that exits with 0 when it is healthy.
        timeout: seconds without progress of any of them; each container is checked at least once.
        always_ask: containers to check even if the engine reports them as healthy, because something that they depend
            on has just changed.
        now: the clock, in seconds.
        sleep: waits so many seconds of it.
    """
    progress, ask = _Progress(now()), set(always_ask)
    stopped = threading.Event()
    pausing = sleep or stopped.wait

    def wait(name: str) -> Unhealthy | None:
        probe = _Probe(client, name, commands[name], always_ask=name in ask)
        pause = _FIRST_PAUSE
        while True:
            started = now()
            healthy = probe.healthy()
            ended = now()
            progress.note(name, probe.stage, ended)
            if healthy:
                return None
            left = progress.last + timeout - ended
            pause = min(max(pause, _IDLE_SHARE * (ended - started)), _LONGEST_PAUSE)
            if probe.failed or left <= 0 or stopped.is_set():
                return Unhealthy(name, one_line(probe.reason, _LONGEST_LINE), _last_log_lines(client, name))
            pausing(min(pause, left))
            pause *= 2

    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            results = list(pool.map(wait, sorted(commands)))
        finally:
            stopped.set()
    return [result for result in results if result is not None]


class _Probe:
    """Checks one container until it is healthy."""

    def __init__(self, client: docker.APIClient, name: str, command: list[str], *, always_ask: bool) -> None:
        self._client = client
        self._name = name
        self._command = command
        self._always_ask = always_ask
        self._restarts: int | None = None
        self.reason = "it was not checked"
        self.stage = _STOPPED
        self.failed = False  # for good: waiting longer is pointless

    def healthy(self) -> bool:
        """Check once; ``reason`` says why it is not healthy."""
        try:
            return self._check()
        except docker.errors.NotFound:
            self.reason, self.failed = "it does not exist any more", True
        except (docker.errors.APIError, requests.exceptions.RequestException) as error:
            self.reason = f"the engine cannot ask it ({error})"
        return False

    def _check(self) -> bool:
        found = self._client.inspect_container(self._name)
        state, restarts = found["State"], found.get("RestartCount", 0)
        if self._restarts is None:
            self._restarts = restarts
        if restarts - self._restarts >= _RESTART_LOOP:
            self.reason, self.failed = f"it stops as soon as it is started (exit code {state.get('ExitCode')})", True
            return False
        if state["Status"] != "running":
            error = f": {state['Error']}" if state.get("Error") else ""
            self.reason = f"it is {state['Status']} (exit code {state.get('ExitCode')}{error})"
            return False
        self.stage = _RUNS
        if (state.get("Health") or {}).get("Status") == "healthy" and not self._always_ask:
            self.stage = _HEALTHY
            return True
        return self._ask()

    def _ask(self) -> bool:
        try:
            code, output = execute(self._client, self._name, self._command)
        except docker.errors.NotFound:  # the command ended with the container
            self.reason = "it stopped while it was asked"
            return False
        lines = output.decode(errors="replace").strip().splitlines()
        self.reason = "".join(lines[-1:]).rstrip(".") or f"its health check ended with exit code {code}"
        if code == 0:
            self.stage = _HEALTHY
        elif report := _report(lines):
            self.reason = report["reason"]
            self.stage = _RUNS if report.get("status") == "failed" else _ANSWERS
        return bool(code == 0)


def _report(lines: list[str]) -> dict[str, Any] | None:
    """Return what ``codebuddy health`` printed; None if it did not get that far."""
    try:
        report = json.loads(lines[-1])
    except (IndexError, ValueError):
        return None
    return report if isinstance(report, dict) and isinstance(report.get("reason"), str) else None


def execute(client: docker.APIClient, name: str, command: list[str]) -> tuple[int, bytes]:
    """Run a command in a container; return its exit code, and its output with its error output.

    The client's ``exec_start`` takes the connection over and loses what the engine sends together with the response's
    headers. On a busy machine this is all of a short output (docker/docker-py 2042).

    Raises:
        docker.errors.APIError: the engine refused it.
        requests.exceptions.RequestException: it did not answer in time.
    """
    run = client.exec_create(name, command)["Id"]
    start = f"{client.base_url}/v{client.api_version}/exec/{run}/start"
    answer = client.post(start, json={"Detach": False, "Tty": False}, timeout=client.timeout)
    try:
        answer.raise_for_status()
    except requests.exceptions.HTTPError as error:
        raise docker.errors.create_api_error_from_http_exception(error) from error
    return client.exec_inspect(run)["ExitCode"], b"".join(_frames(answer.content))


def _frames(stream: bytes) -> Iterator[bytes]:
    """Yield the contents of the frames of an output stream: one byte for the stream, three zeros, size, content."""
    while stream:
        size = int.from_bytes(stream[4:_FRAME_HEADER], "big")
        yield stream[_FRAME_HEADER : _FRAME_HEADER + size]
        stream = stream[_FRAME_HEADER + size :]


def _last_log_lines(client: docker.APIClient, name: str) -> list[str]:
    try:
        output = client.logs(name, tail=LOG_LINES)
    except (docker.errors.APIError, requests.exceptions.RequestException) as error:
        return [f"(its log cannot be read: {error})"]
    lines = output.decode(errors="replace").splitlines()
    return [one_line(line.rstrip(), _LONGEST_LINE) for line in lines][-LOG_LINES:]
