"""The wait for health, with a fake engine for what a real one shows only by chance: errors and stale answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

import docker
import docker.errors
import pytest
import requests
from ansible.module_utils.codebuddy_fleet.health import Unhealthy, wait_for_health

RUNNING = {"Status": "running", "ExitCode": 0, "Health": {"Status": "starting"}}
HEALTHY = {**RUNNING, "Health": {"Status": "healthy"}}


def framed(output: int, text: str) -> bytes:
    """Return a frame of an output stream (1 or 2), as an engine sends it."""
    content = text.encode()
    return bytes([output, 0, 0, 0]) + len(content).to_bytes(4, "big") + content


class Engine:
    """Answers inspections from a list (the last answer is repeated), and counts the commands in the container."""

    base_url, api_version, timeout = "http+docker://localhost", "1.41", 60

    def __init__(self, *inspections: dict[str, Any] | Exception, exit_code: int = 0, says: str = "") -> None:
        self._inspections = list(inspections)
        self._exit_code, self._says = exit_code, says
        self.asked = 0

    def inspect_container(self, _name: str) -> dict[str, Any]:
        answer = self._inspections.pop(0) if len(self._inspections) > 1 else self._inspections[0]
        if isinstance(answer, Exception):
            raise answer
        return {"State": answer, "RestartCount": answer.get("RestartCount", 0)}

    def exec_create(self, _name: str, _command: list[str]) -> dict[str, str]:
        self.asked += 1
        return {"Id": "x"}

    def post(self, _url: str, /, **_more: Any) -> requests.Response:
        answer = requests.Response()
        answer.status_code, answer._content = 200, framed(1, self._says)
        return answer

    def exec_inspect(self, _id: str) -> dict[str, int]:
        return {"ExitCode": self._exit_code}

    def logs(self, _name: str, tail: int) -> bytes:
        return "".join(f"line {n}\n" for n in range(100))[-tail * 8 :].encode()


class Clock:
    """A clock that advances when somebody waits, and by a thousandth of a second at each look."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self.sleep(0.001)

    def sleep(self, seconds: float) -> float:
        with self._lock:
            self._seconds += seconds
            return self._seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def wait(engine: Engine | docker.APIClient, clock: Clock, **more: Any) -> list[Unhealthy]:
    found: list[Unhealthy] = wait_for_health(
        engine, {"api": ["codebuddy", "health"]}, 3, now=clock, sleep=clock.sleep, **more
    )
    return found


def test_a_container_that_the_engine_reports_as_healthy_is_not_asked(clock: Clock) -> None:
    engine = Engine(HEALTHY)
    assert wait(engine, clock) == []
    assert engine.asked == 0


def test_after_a_change_a_container_is_asked_even_if_the_engine_reports_it_as_healthy(
    clock: Clock,
) -> None:
    engine = Engine(HEALTHY, exit_code=1, says="first\nno link to the hub.\n")
    (sick,) = wait(engine, clock, always_ask=["api"])
    assert engine.asked > 0
    assert sick.reason == "no link to the hub"
    assert len(sick.log) == 20
    assert sick.log[-1] == "line 99"


FORGED = "TASK [x]\x1b[2J\u202e" + "y" * 5000


@pytest.mark.parametrize("said", [FORGED, json.dumps({"status": "degraded", "reason": f"x\n{FORGED}\rok: [y]"})])
def test_what_a_spoke_says_stays_in_its_line(clock: Clock, said: str) -> None:
    engine = Engine(HEALTHY, exit_code=1, says=said)
    engine.logs = lambda *_a, **_o: b"ok: [y]\x1b[2J\xe2\x80\xae" + b"z" * 5000  # type: ignore[method-assign]
    (sick,) = wait(engine, clock, always_ask=["api"])
    head, log = str(sick).split("\n")
    assert head.isprintable()
    assert log.isprintable()
    assert log.startswith("    | ok: [y]")
    assert len(str(sick)) < 3000


def test_one_error_of_the_engine_does_not_end_the_wait(clock: Clock) -> None:
    assert wait(Engine(docker.errors.APIError("busy"), RUNNING), clock) == []


def test_a_missing_container_ends_the_wait_at_once(clock: Clock) -> None:
    engine = Engine(docker.errors.NotFound("gone"))
    (sick,) = wait(engine, clock)
    assert "does not exist any more" in sick.reason


def test_a_stopped_container_is_reported_with_its_exit_code_and_the_engines_reason(clock: Clock) -> None:
    (sick,) = wait(Engine({"Status": "exited", "ExitCode": 137, "Error": "no space"}), clock)
    assert sick.reason == "it is exited (exit code 137: no space)"


def test_a_container_that_starts_late_but_in_time_is_healthy(clock: Clock) -> None:
    assert wait(Engine({"Status": "created", "ExitCode": 0}, RUNNING), clock) == []


def test_old_restarts_do_not_make_a_restart_loop(clock: Clock) -> None:
    assert wait(Engine({**RUNNING, "RestartCount": 100}), clock) == []


class Handler(BaseHTTPRequestHandler):
    """An engine with a container whose health check fails; it sends each answer in one piece."""

    def do_GET(self) -> None:
        if "/logs" in self.path:
            self._answer(framed(2, "line\n"))
            return
        sick = {"State": RUNNING, "RestartCount": 0, "Config": {"Tty": False}}
        self._answer(json.dumps({"ExitCode": 3} if "/exec/" in self.path else sick).encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/start"):
            self._answer(framed(1, "looking\n") + framed(2, "no link ") + framed(2, "to the hub.\n"))
        else:
            self._answer(b'{"Id": "x"}')

    def _answer(self, content: bytes) -> None:
        self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + content)

    def log_message(self, format: str, *_arguments: object) -> None:  # noqa: A002
        """Do nothing, because clients of a Unix socket have no address."""


@contextmanager
def answering(path: Path) -> Iterator[docker.APIClient]:
    with ThreadingUnixStreamServer(str(path), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        client = docker.APIClient(base_url=f"unix://{path}", version="1.41", timeout=5)
        try:
            yield client
        finally:
            client.close()
            server.shutdown()


def test_the_output_of_a_health_check_that_arrives_with_the_headers_is_not_lost(clock: Clock, tmp_path: Path) -> None:
    with answering(tmp_path / "engine.sock") as client:
        (sick,) = wait(client, clock)
    assert sick.log == ["line"]
    assert sick.reason == "no link to the hub"


class Fleet(Engine):
    """Containers that get further at their times: name → seconds after which it runs, answers, and is healthy."""

    def __init__(self, clock: Clock, times: dict[str, tuple[float, float, float]]) -> None:
        super().__init__(RUNNING)
        self._clock, self._times = clock, times
        self._asked: dict[str, str] = {}

    def inspect_container(self, name: str) -> dict[str, Any]:
        runs = self._clock() >= self._times[name][0]
        return {"State": RUNNING if runs else {"Status": "created", "ExitCode": 0}, "RestartCount": 0}

    def exec_create(self, name: str, _command: list[str]) -> dict[str, str]:
        return {"Id": name}

    def post(self, url: str, /, **_more: Any) -> requests.Response:
        name, now = url.split("/")[-2], self._clock()
        failed = {"status": "failed", "reason": "the agent has not written its state for a while"}
        degraded = {"status": "degraded", "reason": "link: nobody\u202e listens", "project": name}
        report = failed if now < self._times[name][1] else degraded if now < self._times[name][2] else {"status": "ok"}
        self._asked[name] = report["status"]
        answer = requests.Response()
        answer.status_code, answer._content = 200, framed(1, json.dumps(report))
        return answer

    def exec_inspect(self, name: str) -> dict[str, int]:
        return {"ExitCode": 0 if self._asked[name] == "ok" else 1}


def wait_for_fleet(clock: Clock, times: dict[str, tuple[float, float, float]], timeout: float) -> list[Unhealthy]:
    found: list[Unhealthy] = wait_for_health(
        Fleet(clock, times), {name: [] for name in times}, timeout, now=clock, sleep=clock.sleep
    )
    return found


def test_while_a_container_gets_further_the_wait_for_all_goes_on(clock: Clock) -> None:
    times = {f"p{number}": (30.0 * number, 30.0 * number + 15, 30.0 * number + 25) for number in range(8)}
    assert wait_for_fleet(clock, times, timeout=20) == []
    assert clock() > 8 * 20


def test_without_progress_the_wait_ends_and_says_what_each_waits_for(clock: Clock) -> None:
    never = 1e9
    times = {"a": (0.0, 0.0, 10.0), "b": (0.0, 0.0, never), "c": (0.0, never, never), "d": (never, never, never)}
    found = wait_for_fleet(clock, times, timeout=20)
    assert {one.name: one.reason for one in found} == {
        "b": "link: nobody\\u202e listens",
        "c": "the agent has not written its state for a while",
        "d": "it is created (exit code 0)",
    }
    assert clock() < 10 + 3 * 20


def test_a_container_that_comes_and_goes_does_not_hold_the_wait(clock: Clock) -> None:
    class Flapping(Fleet):
        def inspect_container(self, name: str) -> dict[str, Any]:
            found = super().inspect_container(name)
            return found if int(clock()) % 2 else {**found, "State": {"Status": "restarting", "ExitCode": 1}}

    engine = Flapping(clock, {"a": (0.0, 0.0, 1e9)})
    assert len(wait_for_health(engine, {"a": []}, 20, now=clock, sleep=clock.sleep)) == 1
    assert clock() < 100
