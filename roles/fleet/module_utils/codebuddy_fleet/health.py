"""The one wait at the end: until every container says that it is healthy, or the time is over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import docker
import docker.errors
import requests.exceptions

from .engine import WORKERS

__all__ = ["LOG_LINES", "Unhealthy", "wait_for_health"]

LOG_LINES = 20
_RESTART_LOOP = 5  # restarts within one wait; the engine doubles its pause each time, so this takes some seconds
_FRAME_HEAD = 8  # bytes
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0  # seconds between two looks


@dataclass(frozen=True)
class Unhealthy:
    """A container that did not become healthy: why, and its last log lines."""

    name: str
    reason: str
    log: list[str]

    def __str__(self) -> str:
        lines = "\n".join(f"    {line}" for line in self.log) or "    (nothing)"
        return f"{self.name} is not healthy: {self.reason}. Its last log lines:\n{lines}"


def wait_for_health(
    client: docker.APIClient,
    commands: dict[str, list[str]],
    timeout: float,
    *,
    ask_anyway: Iterable[str] = (),
    now: Callable[[], float] = time.monotonic,
) -> list[Unhealthy]:
    """Wait for all containers together.

    The engine's own health check comes only every 15 s; asking inside the container tells at once.

    Args:
        client: its time-out bounds each single request.
        commands: container name to the command that exits with 0 when it is healthy.
        timeout: seconds for all together; each is looked at once at least.
        ask_anyway: containers to ask even when the engine has them as healthy: what they stand on was just changed.

    Returns:
        Those that are not healthy in the end, sorted by name.
    """
    deadline, ask = now() + timeout, set(ask_anyway)
    stopped = threading.Event()

    def wait(name: str) -> Unhealthy | None:
        probe = _Probe(client, name, commands[name], always_ask=name in ask)
        pause = _FIRST_PAUSE
        while not probe.healthy():
            if probe.hopeless or now() >= deadline or stopped.wait(min(pause, max(0.0, deadline - now()))):
                return Unhealthy(name, probe.reason, _last_log_lines(client, name))
            pause = min(2 * pause, _LONGEST_PAUSE)
        return None

    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            results = list(pool.map(wait, sorted(commands)))
        finally:
            stopped.set()
    return [result for result in results if result is not None]


class _Probe:
    """Looks at one container until it is healthy."""

    def __init__(self, client: docker.APIClient, name: str, command: list[str], *, always_ask: bool) -> None:
        self._client = client
        self._name = name
        self._command = command
        self._always_ask = always_ask
        self._restarts: int | None = None
        self.reason = "it was not looked at"
        self.hopeless = False

    def healthy(self) -> bool:
        """Look once; keeps the reason when it is not."""
        try:
            return self._look()
        except docker.errors.NotFound:
            self.reason, self.hopeless = "it does not exist any more", True
        except (docker.errors.APIError, requests.exceptions.RequestException) as error:
            self.reason = f"the engine cannot ask it ({error})"
        return False

    def _look(self) -> bool:
        found = self._client.inspect_container(self._name)
        state, restarts = found["State"], found.get("RestartCount", 0)
        if self._restarts is None:
            self._restarts = restarts
        if restarts - self._restarts >= _RESTART_LOOP:
            self.reason, self.hopeless = f"it stops as soon as it is started (exit code {state.get('ExitCode')})", True
            return False
        if state["Status"] != "running":
            error = f": {state['Error']}" if state.get("Error") else ""
            self.reason = f"it is {state['Status']} (exit code {state.get('ExitCode')}{error})"
            return False
        if (state.get("Health") or {}).get("Status") == "healthy" and not self._always_ask:
            return True
        return self._ask()

    def _ask(self) -> bool:
        try:
            code, output = _execute(self._client, self._name, self._command)
        except docker.errors.NotFound:  # what was executed went with the process that it was executed beside
            self.reason = "it stopped while it was asked"
            return False
        said = output.decode(errors="replace").strip().splitlines()
        self.reason = said[-1].rstrip(".") if said else f"its health check ended with exit code {code}"
        return bool(code == 0)


def _execute(client: docker.APIClient, name: str, command: list[str]) -> tuple[int, bytes]:
    """Run a command in a container; give its exit code, and what it wrote to both outputs.

    Not with the client's ``exec_start``: that takes the connection over, and loses what the engine sent together with
    the head of its answer. On a busy machine this is all of a short output (docker/docker-py 2042).

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
    """Give the contents of the frames that an engine packs outputs into: which of them, three zeros, size, content."""
    while stream:
        size = int.from_bytes(stream[4:_FRAME_HEAD], "big")
        yield stream[_FRAME_HEAD : _FRAME_HEAD + size]
        stream = stream[_FRAME_HEAD + size :]


def _last_log_lines(client: docker.APIClient, name: str) -> list[str]:
    try:
        output = client.logs(name, tail=LOG_LINES)
    except (docker.errors.APIError, requests.exceptions.RequestException) as error:
        return [f"(its log cannot be read: {error})"]
    return [line.rstrip() for line in output.decode(errors="replace").splitlines()][-LOG_LINES:]
