"""An engine is started as a plain process despite stale pid files, and a failure is reported with the reason."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible.module_utils.codebuddy_engine.daemon import StartError, clear_stale, is_running, start

NO_PROCESS = 4_194_305  # above the highest process id of Linux


@pytest.fixture
def pid_file(tmp_path: Path) -> Path:
    return tmp_path / "engine.pid"


def program(tmp_path: Path, script: str) -> str:
    path = tmp_path / "engine"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def own_name() -> str:
    return Path("/proc/self/comm").read_text().strip()


@pytest.mark.parametrize("content", [str(NO_PROCESS), "", "not a number", "-1"])
def test_a_pid_file_of_no_running_process_is_stale(content: str, pid_file: Path) -> None:
    pid_file.write_text(content)
    assert clear_stale(((str(pid_file), "dockerd"),)) == [str(pid_file)]
    assert not pid_file.exists()


def test_a_pid_file_whose_process_is_another_program_is_stale(pid_file: Path) -> None:
    pid_file.write_text(str(os.getpid()))
    assert clear_stale(((str(pid_file), "dockerd"),)) == [str(pid_file)]


def test_the_pid_file_of_a_running_engine_stays(pid_file: Path) -> None:
    pid_file.write_text(str(os.getpid()))
    assert clear_stale(((str(pid_file), own_name()),)) == []
    assert pid_file.exists()


def test_a_zombie_engine_does_not_count_as_running(pid_file: Path) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # wait until it is a zombie
    pid_file.write_text(str(child))
    try:
        assert not is_running(pid_file, own_name())
    finally:
        os.waitpid(child, 0)


def test_an_engine_that_ends_at_once_is_reported_with_the_log_of_this_start(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("from an earlier start\n")
    broken = program(tmp_path, "echo bad directive >&2; exit 3")
    with pytest.raises(StartError, match=r"ended with exit code 3\.") as raised:
        start(broken, str(log), lambda: False, timeout=30, pid_files=())
    assert "bad directive" in str(raised.value)
    assert "earlier" not in str(raised.value)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Path]:
    note = tmp_path / "note"
    yield note
    os.kill(int(note.read_text()), signal.SIGKILL)


# The engine outlives its parent on purpose.
@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_engine_has_its_own_session_and_inherits_no_file_or_variable(tmp_path: Path, started: Path) -> None:
    engine = program(
        tmp_path, f"env > {tmp_path}/environment\necho $$ > {started}.new\nmv {started}.new {started}\nexec sleep 600"
    )
    os.environ["A_SECRET"] = "x"
    try:
        start(engine, str(tmp_path / "log"), started.exists, timeout=30, pid_files=())
    finally:
        del os.environ["A_SECRET"]
    pid = int(started.read_text())
    assert os.getsid(pid) == pid
    assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
    assert os.readlink(f"/proc/{pid}/fd/1") == str(tmp_path / "log")
    assert "A_SECRET" not in (tmp_path / "environment").read_text()


def test_an_engine_that_runs_already_is_waited_for_and_not_started_again(tmp_path: Path, pid_file: Path) -> None:
    pid_file.write_text(str(os.getpid()))
    answers = iter([False, False, True])
    missing = str(tmp_path / own_name())  # starting it would fail
    start(missing, str(tmp_path / "log"), lambda: next(answers), timeout=30, pid_files=((str(pid_file), own_name()),))


def test_an_engine_that_never_answers_is_reported(tmp_path: Path, pid_file: Path) -> None:
    pid_file.write_text(str(os.getpid()))
    with pytest.raises(StartError, match=r"runs, but does not answer after 0\.1 s\."):
        start(
            f"/{own_name()}",
            str(tmp_path / "log"),
            lambda: False,
            timeout=0.1,
            pid_files=((str(pid_file), own_name()),),
        )
