"""Processes of a run: output in order, how they end, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from codebuddy.agent.runs.process import ForkServer, ProcessEnd, Program, Stream, run_process
from codebuddy.process_tree import MARK_VARIABLE, processes

pytestmark = pytest.mark.anyio

Run = Callable[..., Awaitable["Ran"]]


class Ran:
    """How a process ended, and what it printed."""

    def __init__(self) -> None:
        self.pieces: list[tuple[Stream, bytes]] = []
        self.ended: ProcessEnd

    async def take(self, stream: Stream, data: bytes) -> None:
        self.pieces.append((stream, data))

    @property
    def output(self) -> str:
        return b"".join(data for _, data in self.pieces).decode()

    def of(self, stream: Stream) -> str:
        return b"".join(data for one, data in self.pieces if one == stream).decode()


@pytest.fixture
def forks() -> Iterator[ForkServer]:
    server = ForkServer()
    yield server
    server.close()


@pytest.fixture
def run(forks: ForkServer) -> Run:
    async def start(*argv: str, **options: Any) -> Ran:
        ran = Ran()
        given = {name: options.pop(name) for name in ("cwd", "environment", "stdin") if name in options}
        program = Program(argv, **{"cwd": Path("/"), "environment": dict(os.environ), **given})
        settings: dict[str, Any] = {"timeout_seconds": 30, "on_output": ran.take}
        ran.ended = await run_process(forks, program, **{**settings, **options})
        return ran

    return start


def python(program: str) -> tuple[str, ...]:
    return (sys.executable, "-c", program)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.01)


async def test_output_and_exit_code(run: Run) -> None:
    ran = await run("sh", "-c", "echo out; echo err >&2; exit 3")
    assert (ran.ended.stop_reason, ran.ended.exit_code, ran.ended.signal) == (None, 3, None)
    assert (ran.of("stdout"), ran.of("stderr")) == ("out\n", "err\n")


async def test_output_arrives_in_the_order_in_which_it_was_written(run: Run) -> None:
    ran = await run("sh", "-c", "for i in 1 2 3; do echo o$i; sleep 0.1; echo e$i >&2; sleep 0.1; done")
    assert ran.pieces == [
        ("stdout" if n % 2 == 0 else "stderr", f"{'oe'[n % 2]}{n // 2 + 1}\n".encode()) for n in range(6)
    ]


@pytest.mark.parametrize(
    "argument", ["; touch x", "$(id)", "a\nb", "--", "", "'\"", "*", "ünï\U0001f389", "x" * 100_000]
)
async def test_arguments_reach_the_program_unchanged(run: Run, argument: str) -> None:
    ran = await run(*python("import sys; sys.stdout.write(ascii(sys.argv[1:]))"), argument)
    assert ran.output == ascii([argument])


@pytest.mark.parametrize("size", [0, 5, 3_000_000])
async def test_standard_input_is_written_and_closed(run: Run, size: int) -> None:
    assert (await run("wc", "-c", stdin=b"x" * size)).output == f"{size}\n"


async def test_without_standard_input_a_program_reads_end_of_file(run: Run) -> None:
    assert (await run("cat")).ended.exit_code == 0


async def test_a_program_may_ignore_its_standard_input(run: Run) -> None:
    assert (await run("true", stdin=b"x" * 1_000_000)).ended.exit_code == 0


async def test_the_environment_is_the_given_one_and_a_mark(run: Run) -> None:
    ran = await run("/usr/bin/env", environment={"ONLY": "this"})
    assert [line for line in ran.output.splitlines() if not line.startswith(f"{MARK_VARIABLE}=")] == ["ONLY=this"]


async def test_a_program_inherits_only_the_standard_streams(run: Run) -> None:
    ran = await run("sh", "-c", "ls /proc/$$/fd")
    assert set(ran.output.split()) <= {"0", "1", "2", "10"}  # 10 is how some shells keep their script


@pytest.mark.parametrize("program", ["no-such-program", "/", "/etc/passwd"])
async def test_a_program_that_cannot_be_started_raises(run: Run, program: str) -> None:
    with pytest.raises(OSError, match=r"No such file|Permission denied"):
        await run(program)


async def test_a_missing_working_directory_raises(run: Run, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await run("true", cwd=tmp_path / "gone")


async def test_an_argument_with_nul_raises(run: Run) -> None:
    with pytest.raises(ValueError, match="NUL"):
        await run("true", "a\0b")


@pytest.mark.parametrize("number", [*range(1, 18), *range(24, 32), signal.SIGRTMIN + 1])
async def test_an_end_by_signal_names_the_signal(run: Run, number: int) -> None:
    ran = await run(
        *python(
            f"import os, signal; signal.signal({number}, 0) if {number} != 9 else 0; "
            f"os.kill(os.getpid(), {number}); signal.pause()"
        ),
        idle_timeout_seconds=1,
    )
    if number in (signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH):  # which end nothing
        assert ran.ended.stop_reason == "idle_timeout"
    else:
        name = signal.Signals(number).name if number < 32 else "SIGRT+1"
        assert (ran.ended.stop_reason, ran.ended.exit_code, ran.ended.signal) == (None, None, name)


async def test_a_timeout_keeps_what_was_printed(run: Run) -> None:
    ran = await run("sh", "-c", "echo begun; sleep 600", timeout_seconds=1)
    assert (ran.ended.stop_reason, ran.output) == ("timeout", "begun\n")


async def test_output_after_sigterm_is_kept(run: Run) -> None:
    ran = await run("sh", "-c", "trap 'echo bye; exit 0' TERM; echo begun; sleep 600 & wait", timeout_seconds=0.5)
    assert (ran.ended.stop_reason, ran.output) == ("timeout", "begun\nbye\n")


async def test_the_idle_timeout_ends_a_silent_run(run: Run) -> None:
    ran = await run("sh", "-c", "echo begun; sleep 600", idle_timeout_seconds=0.3)
    assert (ran.ended.stop_reason, ran.output) == ("idle_timeout", "begun\n")


async def test_setting_stop_cancels_a_run(run: Run) -> None:
    stop = asyncio.Event()
    async with anyio.create_task_group() as tasks:

        async def end() -> None:
            await anyio.sleep(0.2)
            stop.set()

        tasks.start_soon(end)
        ran = await run("sleep", "600", stop=stop)
    assert ran.ended.stop_reason == "cancelled"


async def test_a_timeout_ends_a_run_whose_output_is_not_consumed(run: Run) -> None:
    async def take(_stream: Stream, data: bytes) -> None:
        with anyio.fail_after(20):
            while not gone(int(data)):
                await anyio.sleep(0.05)

    program = "import os, time; os.write(1, str(os.getpid()).encode()); time.sleep(600)"  # in one piece
    ran = await run(*python(program), timeout_seconds=0.5, on_output=take)
    assert ran.ended.stop_reason == "timeout"


STUBBORN = "trap '' TERM; echo $$; sleep 600 & echo $!; wait; wait; sleep 600"
DAEMON = (
    "import os, signal, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    if os.fork() == 0:\n"
    "        os.environ.clear()\n"
    "        os.write(1, b'%d\\n' % os.getpid())\n"
    "        ignore = 'import signal, time\\nsignal.signal(15, signal.SIG_IGN)\\ntime.sleep(600)'\n"
    "        os.execve(sys.executable, [sys.executable, '-c', ignore], {})\n"
    "    os._exit(0)\n"
    "os.wait()\n"
    "os.write(1, b'%d\\n' % os.getpid())\n"
)


async def test_a_process_that_ignores_sigterm_is_killed_with_its_children(run: Run) -> None:
    ran = await run("sh", "-c", STUBBORN, timeout_seconds=0.5)
    pids = [int(line) for line in ran.output.split()]
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)


@pytest.mark.parametrize("then", ["", "time.sleep(600)"])
async def test_a_daemon_that_left_its_session_parent_and_environment_ends_with_the_run(run: Run, then: str) -> None:
    ran = await run(*python(DAEMON + then), timeout_seconds=1 if then else 20)
    pids = [int(line) for line in ran.output.split()]
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)
    assert ran.ended.stop_reason == ("timeout" if then else None)


async def test_cancellation_returns_after_the_whole_run_has_ended(run: Run) -> None:
    pids: list[int] = []

    async def note(_stream: Stream, data: bytes) -> None:
        pids.extend(int(line) for line in data.split())
        if len(pids) >= 2:
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        await run(*python(DAEMON + "time.sleep(600)"), on_output=note)
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)


async def test_a_child_that_holds_the_pipe_open_does_not_delay_the_end(run: Run) -> None:
    with anyio.fail_after(10):
        ran = await run("sh", "-c", "echo done; sleep 600 & exit 0")
    assert (ran.ended.exit_code, ran.output) == (0, "done\n")


async def test_a_fork_bomb_is_ended(run: Run) -> None:
    bomb = (
        "import os, resource, signal, time\n"
        "signal.signal(15, signal.SIG_IGN)\n"
        "os.write(1, b'%d\\n' % os.getpid())\n"
        "end = time.monotonic() + 20\n"  # whatever happens, it ends by itself
        "count = 0\n"
        "while time.monotonic() < end:\n"
        "    if count < 6 and os.fork() == 0: os.setsid(); count += 1\n"
        "    elif count >= 6: time.sleep(0.001)\n"
        "    else: count += 1\n"
    )
    ran = await run(*python(bomb), timeout_seconds=0.5)
    leader = int(ran.output.split()[0])
    assert ran.ended.stop_reason == "timeout"
    assert gone(leader)
    assert not [pid for pid, _ in processes() if "end = time.monotonic() + 20" in command_of(pid)]


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


async def test_a_run_that_kills_its_supervisor_is_ended(run: Run) -> None:
    ran = await run("sh", "-c", "sleep 600 & echo $!; echo $$; sleep 0.3; kill -9 $PPID; sleep 600")
    assert (ran.ended.exit_code, ran.ended.signal) == (None, "SIGKILL")
    pids = [int(line) for line in ran.output.split()]
    await until(lambda: all(gone(pid) for pid in pids))


async def test_runs_can_be_started_after_the_fork_server_was_killed(run: Run) -> None:
    killer = "import os; p = os.getppid(); print(open(f'/proc/{p}/stat').read().rsplit(')', 1)[1].split()[1])"
    server = int((await run(*python(killer))).output)
    os.kill(server, signal.SIGKILL)
    await until(lambda: gone(server))
    assert (await run("true")).ended.exit_code == 0


async def test_cpu_time_and_peak_memory_are_measured(run: Run) -> None:
    ran = await run(*python("x = bytearray(200_000_000)\nfor i in range(3_000_000): pass"))
    assert ran.ended.peak_bytes is not None
    assert 200_000_000 < ran.ended.peak_bytes < 300_000_000
    assert ran.ended.cpu_seconds is not None
    assert ran.ended.cpu_seconds > 0.02


def own_oom_score() -> str:
    return Path("/proc/self/oom_score_adj").read_text()


async def test_the_oom_killer_prefers_a_run_to_its_agent(run: Run) -> None:
    ran = await run("cat", "/proc/self/oom_score_adj")
    assert ran.output == "1000\n"
    assert own_oom_score() != ran.output


async def test_a_hundred_concurrent_runs(run: Run) -> None:
    results: list[Ran] = []

    async def one(number: int) -> None:
        results.append(await run("sh", "-c", f"echo {number}; exit {number}"))

    async with anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(one, number)
    assert sorted((ran.ended.exit_code, ran.output) for ran in results) == [(n, f"{n}\n") for n in range(100)]


async def test_a_fast_program_waits_for_a_slow_reader(run: Run) -> None:
    total = 0

    async def slowly(_stream: Stream, data: bytes) -> None:
        nonlocal total
        total += len(data)
        await anyio.lowlevel.checkpoint()

    await run("head", "-c", "50000000", "/dev/zero", on_output=slowly)
    assert total == 50_000_000
