"""Transcripts: complete or, beyond a limit, the beginning and the end; in pages, by pattern, and after a restart."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import pytest

from codebuddy.agent.runs.job_output import read_job
from codebuddy.agent.runs.output import SEGMENT_BYTES, Transcript
from codebuddy.agent.runs.runs import Run, RunEnd, load_runs, save_run
from codebuddy.schemas.runs import JobOutputArguments
from codebuddy.tool import ToolError

pytestmark = pytest.mark.anyio

LIMIT = 8 * SEGMENT_BYTES
ID = "p:0123456789ab"


def line(number: int) -> bytes:
    return b"%099d\n" % number


async def filled(directory: Path, lines: int) -> Transcript:
    transcript = Transcript(directory, LIMIT)
    for number in range(0, lines, 100):
        await transcript.add("stdout", b"".join(map(line, range(number, min(number + 100, lines)))))
    return transcript


def job(transcript: Transcript, ended: bool = True) -> Run:
    run = Run(ID, ["x"], None, background=True, started=1.0, transcript=transcript)
    run.end = RunEnd("exited", 1.0, exit_code=0) if ended else None
    return run


def started(directory: Path, *argv: str) -> Run:
    transcript = Transcript(directory / "run", LIMIT)
    return Run(ID, list(argv), None, background=True, started=1.0, transcript=transcript)


async def text_of(transcript: Transcript, start: int, most: int) -> tuple[int, bytes, int]:
    page = await transcript.read(start, most)
    return page.start, b"".join(piece.data for piece in page.pieces), page.end


async def test_little_output_is_not_written_to_disk(tmp_path: Path) -> None:
    transcript = Transcript(tmp_path / "run", LIMIT)
    await transcript.add("stdout", b"a")
    await transcript.add("stderr", "ü".encode())
    assert await text_of(transcript, 0, 10) == (0, "aü".encode(), 3)
    assert await text_of(transcript, 0, 2) == (0, b"a", 1)  # no character is cut
    await transcript.close(keep=False)
    assert not (tmp_path / "run").exists()


async def test_the_whole_output_can_be_read_in_pages(tmp_path: Path) -> None:
    transcript = await filled(tmp_path / "run", 30_000)
    at, whole = 0, b""
    while at < transcript.total:
        start, data, at = await text_of(transcript, at, 100_003)
        assert start == len(whole)
        whole += data
    await transcript.close(keep=True)
    assert whole == b"".join(map(line, range(30_000)))


async def test_beginning_and_end_are_kept_within_the_limit_and_a_page_skips_the_gap(tmp_path: Path) -> None:
    transcript = await filled(tmp_path / "run", 300_000)
    await transcript.close(keep=True)
    assert sum(one.stat().st_size for one in (tmp_path / "run").iterdir()) <= LIMIT + SEGMENT_BYTES // 10
    assert (await text_of(transcript, 0, 100))[1] == line(0)
    assert (await text_of(transcript, transcript.total - 100, 100))[1] == line(299_999)
    start, data, _ = await text_of(transcript, 10_000_000, 100)
    assert start > 10_000_000
    assert transcript.total > start
    assert data


async def test_a_job_can_be_read_after_a_restart(tmp_path: Path) -> None:
    transcript = await filled(tmp_path / "0123456789ab", 20_000)
    await transcript.add("stderr", b"last\n")
    await transcript.close(keep=True)
    save_run(tmp_path / "0123456789ab", job(transcript))
    (again,) = load_runs(tmp_path, "p", LIMIT)
    assert (again.job_id, again.end and again.end.reason) == (ID, "exited")
    answer = await read_job(again, JobOutputArguments(job_id=ID, offset=-5))
    assert (answer.output, [part.stream for part in answer.streams], answer.complete) == ("last\n", ["stderr"], True)


async def test_a_job_that_was_running_is_loaded_as_ended_by_the_restart(tmp_path: Path) -> None:
    save_run(tmp_path / "0123456789ab", job(Transcript(tmp_path / "0123456789ab", LIMIT), ended=False))
    for _ in range(2):  # and that is noted
        (again,) = load_runs(tmp_path, "p", LIMIT)
        assert again.end is not None
        assert again.end.reason == "agent_restart"


ENDED = '{"argv": [], "background": true, "started": %s, "end": {"reason": "exited", "duration_seconds": %s}}'


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"argv": 1}',
        '{"argv": [], "background": true, "started": 1e308}',
        ENDED % ("1e300", "1"),
        ENDED % ("NaN", "1"),
        ENDED % ("1", "Infinity"),
        ENDED % ("1", "1e999"),
        ENDED.replace("exited", "unheard of") % ("1", "1"),
    ],
)
async def test_an_invalid_record_is_not_loaded(tmp_path: Path, content: str) -> None:
    (tmp_path / "0123456789ab").mkdir()
    (tmp_path / "0123456789ab/run.json").write_text(content)
    (tmp_path / "0123456789ab/000000000000000.out").write_bytes(os.urandom(1000))
    (tmp_path / "file").write_text("x")
    assert load_runs(tmp_path, "p", LIMIT) == []


async def test_a_fifo_does_not_block_and_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    os.mkfifo(tmp_path / "run/000000000000000.out")
    with anyio.fail_after(20):
        transcript = await filled(tmp_path / "run", 10_000)
        await transcript.close(keep=True)
        assert transcript.problem is not None
        (tmp_path / "run/run.json.new").symlink_to(tmp_path / "elsewhere")
        save_run(tmp_path / "run", job(transcript))
    assert not (tmp_path / "elsewhere").exists()
    assert (tmp_path / "run/run.json").is_file()


async def test_output_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "run/000000000000000.out").symlink_to(tmp_path / "elsewhere")
    transcript = await filled(tmp_path / "run", 10_000)
    await transcript.close(keep=True)
    assert transcript.problem is not None
    assert (tmp_path / "elsewhere").read_text() == "mine"


@pytest.mark.parametrize("name", ["run.json", "000000000000000.out", "000000000000000.out link"])
async def test_loading_does_not_block_on_what_a_project_put_there(tmp_path: Path, name: str) -> None:
    directory = tmp_path / "0123456789ab"
    transcript = await filled(directory, 20_000)
    await transcript.close(keep=True)
    save_run(directory, job(transcript))
    file, _, link = name.partition(" ")
    (directory / file).unlink()
    if link:
        (directory / file).symlink_to("/dev/zero")
    else:
        os.mkfifo(directory / file)
    with anyio.fail_after(20):
        loaded = await anyio.to_thread.run_sync(load_runs, tmp_path, "p", LIMIT)
    assert len(loaded) == (0 if file == "run.json" else 1)


def test_a_long_command_line_is_shortened(tmp_path: Path) -> None:
    argv = started(tmp_path, "cc", *["-DX"] * 1000).describe().argv
    assert argv[:2] == ["cc", "-DX"]
    assert argv[-1].endswith("…")
    assert len(" ".join(argv)) < 2010
    assert [len(word) for word in started(tmp_path, "sh", "-c", "x" * 100_000).argv] == [2, 2, 1995]


async def test_a_search_continues_with_the_cursor(tmp_path: Path) -> None:
    transcript = await filled(tmp_path / "run", 5000)
    await transcript.close(keep=True)
    run = job(transcript)
    found, cursor = list[str](), None
    while True:
        asked = JobOutputArguments(job_id=ID, pattern="7$", regex=True, limit=5000, cursor=cursor)
        answer = await read_job(run, asked)
        found += [match.line_text for match in answer.matches or []]
        cursor = answer.cursor
        if answer.complete:
            break
    assert found == [line(n).decode().rstrip() for n in range(5000) if n % 10 == 7]


async def test_a_search_waits_for_a_matching_line(tmp_path: Path) -> None:
    run = job(Transcript(tmp_path / "run", LIMIT), ended=False)
    await run.transcript.add("stdout", b"tick\nLis")

    async def prints() -> None:
        for data in (b"tening on no port\n", b"tick\n", b"Listening on 80", b"80\n"):
            await anyio.sleep(0.1)
            await run.transcript.add("stdout", data)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(prints)
        with anyio.fail_after(20):
            asked = JobOutputArguments(job_id=ID, pattern="on 8080", wait_seconds=60)
            answer = await read_job(run, asked)
    assert [match.line_text for match in answer.matches or []] == ["Listening on 8080"]
    assert not answer.complete


async def test_a_search_stops_waiting_when_the_job_ends(tmp_path: Path) -> None:
    run = job(Transcript(tmp_path / "run", LIMIT), ended=False)
    await run.transcript.add("stdout", b"rest")

    async def ends() -> None:
        await anyio.sleep(0.3)
        run.end = RunEnd("exited", 1.0, exit_code=0)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ends)
        with anyio.fail_after(20):
            answer = await read_job(run, JobOutputArguments(job_id=ID, pattern="rest", wait_seconds=60))
    assert [match.line_text for match in answer.matches or []] == ["rest"]
    assert answer.complete


async def test_a_slow_search_returns_a_cursor_that_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codebuddy.agent.runs.job_output._SEARCH_SECONDS", 0.0)
    transcript = Transcript(tmp_path / "run", LIMIT)
    await transcript.add("stdout", b"\n" * 1400 + b"here\n")
    rounds, cursor, found = 0, None, list[int]()
    while rounds == 0 or cursor is not None:
        answer = await read_job(job(transcript), JobOutputArguments(job_id=ID, pattern="here", cursor=cursor))
        rounds, cursor, found = rounds + 1, answer.cursor, found + [match.offset for match in answer.matches or []]
    assert (rounds, found) == (3, [1400])


async def test_a_line_in_two_pieces_around_another_streams_output_is_one_line(tmp_path: Path) -> None:
    transcript = Transcript(tmp_path / "run", LIMIT)
    for stream, data in (("stdout", b"ab"), ("stderr", b"err\n"), ("stdout", b"cd\nrest")):
        await transcript.add(stream, data)
    answer = await read_job(job(transcript), JobOutputArguments(job_id=ID, pattern="[a-z]", regex=True))
    assert {(match.offset, match.stream, match.line_text) for match in answer.matches or []} == {
        (0, "stdout", "abcd"), (2, "stderr", "err"), (9, "stdout", "rest"),
    }  # fmt: skip


async def test_a_cursor_of_another_job_is_refused(tmp_path: Path) -> None:
    run = job(await filled(tmp_path / "run", 100), ended=False)
    cursor = (await read_job(run, JobOutputArguments(job_id=ID))).cursor
    with pytest.raises(ToolError, match="other arguments"):
        await read_job(run, JobOutputArguments(job_id="p:ffffffffffff", cursor=cursor))


async def test_when_the_disk_is_not_writable_the_run_continues_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file in the way")
    transcript = await filled(tmp_path / "run", 10_000)
    assert transcript.total == 1_000_000
    answer = await read_job(job(transcript), JobOutputArguments(job_id=ID, offset=0))
    assert answer.complete
    assert answer.message is not None
    assert "could be kept" in answer.message
