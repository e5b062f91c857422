"""Processes of a run: output in order, bounded; every way to end is told; nothing of a group is left behind."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from codebuddy.runs.output import OutputBuffer
from codebuddy.runs.process import Ended, run_process

pytestmark = pytest.mark.anyio


async def run(*argv: str, cwd: Path = Path("/"), **options: Any) -> Ended:
    async def ignore(data: bytes) -> None:
        return None

    settings: dict[str, Any] = {"environment": dict(os.environ), "timeout_seconds": 30, "on_output": ignore}
    return await run_process(argv, cwd=cwd, **{**settings, **options})


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


async def test_output_and_exit_code() -> None:
    ended = await run("sh", "-c", "echo out; echo err >&2; exit 3")
    assert (ended.reason, ended.exit_code, ended.signal) == ("exited", 3, None)
    assert ended.output.text() == "out\nerr\n"


@pytest.mark.parametrize("argument", ["; touch x", "$(id)", "a\nb", "--", "", "'\"", "*", "ünï\U0001f389"])
async def test_arguments_reach_the_program_unchanged(argument: str) -> None:
    ended = await run(*python("import sys; sys.stdout.write(repr(sys.argv[1:]))"), argument)
    assert ended.output.text() == repr([argument])


async def test_standard_input_is_given_and_closed() -> None:
    ended = await run("cat", stdin=b"hello")
    assert ended.output.text() == "hello"


async def test_without_standard_input_a_reader_sees_its_end() -> None:
    assert (await run("cat")).exit_code == 0


async def test_a_program_that_does_not_read_its_input_ends_all_the_same() -> None:
    assert (await run("true", stdin=b"x" * 1_000_000)).exit_code == 0


async def test_the_environment_is_what_was_given() -> None:
    ended = await run("/usr/bin/env", environment={"ONLY": "this"})
    assert ended.output.text() == "ONLY=this\n"


async def test_a_missing_program_is_an_error_of_the_start() -> None:
    with pytest.raises(FileNotFoundError):
        await run("no-such-program")


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGTERM])
async def test_an_end_by_signal_names_it(number: signal.Signals) -> None:
    ended = await run(*python(f"import os; os.kill(os.getpid(), {int(number)})"))
    assert (ended.reason, ended.exit_code, ended.signal) == ("signaled", None, number.name)


async def test_time_out_keeps_what_was_printed() -> None:
    ended = await run("sh", "-c", "echo begun; sleep 600", timeout_seconds=0.5)
    assert (ended.reason, ended.exit_code, ended.output.text()) == ("timeout", None, "begun\n")


async def test_silence_ends_a_run_that_may_otherwise_go_on() -> None:
    ended = await run("sh", "-c", "echo begun; sleep 600", idle_timeout_seconds=0.3)
    assert (ended.reason, ended.output.text()) == ("idle_timeout", "begun\n")


STUBBORN = "trap '' TERM; echo $$; sleep 600 & echo $!; wait; wait; sleep 600"


async def test_a_process_that_ignores_sigterm_is_killed_with_its_children() -> None:
    ended = await run("sh", "-c", STUBBORN, timeout_seconds=0.5)
    pids = [int(line) for line in ended.output.text().split()]
    assert len(pids) == 2
    await until(lambda: all(gone(pid) for pid in pids))


async def test_cancelling_ends_the_whole_group() -> None:
    pids: list[int] = []

    async def note(data: bytes) -> None:
        pids.extend(int(line) for line in data.split())
        if len(pids) >= 2:
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        await run("sh", "-c", "echo $$; sleep 600 & echo $!; wait", on_output=note)
    assert len(pids) == 2
    await until(lambda: all(gone(pid) for pid in pids))


async def test_what_a_program_leaves_in_its_group_ends_with_it() -> None:
    ended = await run("sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $!")
    assert ended.exit_code == 0
    await until(lambda: gone(int(ended.output.text())))


async def test_a_child_that_keeps_the_pipe_open_does_not_keep_the_run() -> None:
    with anyio.fail_after(10):
        ended = await run("sh", "-c", "echo done; sleep 600 & exit 0")
    assert (ended.exit_code, ended.output.text()) == (0, "done\n")


async def test_much_output_is_kept_in_bounded_memory() -> None:
    ended = await run(*python("import os\nfor i in range(2000): os.write(1, b'x' * 9999 + b'\\n')"))
    assert ended.output.total == 20_000_000
    assert ended.output.truncated
    assert len(ended.output.text()) < 200_000


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ([b"ab", b"cd"], "abcd"),
        ([b"abcdefgh"], "abcdefgh"),
        ([b"abcdefghi"], "abcd\n[... 1 bytes left out ...]\nfghi"),
        ([b"abcd", b"efgh", b"ijklmnop"], "abcd\n[... 8 bytes left out ...]\nmnop"),
        (["abcü".encode(), b"xxxxxxx", "üz".encode()], "abc\n[... 7 bytes left out ...]\nxüz"),
        ([b"\xff\xfe"], "\ufffd\ufffd"),
        ([], ""),
    ],
)
def test_head_and_tail(pieces: list[bytes], text: str) -> None:
    buffer = OutputBuffer(head=4, tail=4)
    for piece in pieces:
        buffer.add(piece)
    assert buffer.text() == text
