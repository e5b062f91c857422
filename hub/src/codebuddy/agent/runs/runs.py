"""All runs of a spoke, within the project's limits: those that are active, and those whose output can still be read."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from codebuddy.agent.runs.output import Transcript, create_file, excerpt_of, open_file
from codebuddy.agent.runs.process import (
    ForkServer,
    OnOutput,
    ProcessEnd,
    Program,
    Stream,
    run_process,
)
from codebuddy.configuration import RunLimits
from codebuddy.files.confinement import ProjectRoot, open_resolved
from codebuddy.process_tree import memory_limit, oom_kills
from codebuddy.schemas.runs import EndReason, Job, Reported
from codebuddy.tool import ToolError


def directory_in(root: Path, cwd: str, project: str) -> Path:
    """Return the directory to run in, with all links resolved.

    It is opened like every other path of a project, but the program then starts in it by its name: a program may go
    anywhere in its container anyway, so a link that is swapped in between gains nothing.

    Args:
        root: the project's directory.
        cwd: relative to it, as the caller gave it.
        project: its id, for messages.

    Raises:
        ToolError: ``outside_project``, ``not_a_directory``.
    """
    if "\0" in cwd:
        raise ToolError("not_a_directory", "A path may not contain NUL.")
    try:
        opened = ProjectRoot(project, str(root), open_resolved)
        descriptor = opened.open(cwd or ".", os.O_PATH | os.O_DIRECTORY)
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise ToolError(
                "outside_project", f"{cwd!r} lies outside {project}; give a directory inside it.", cwd
            ) from None
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            message = f"{cwd!r} is no directory of {project}.{_hint(cwd, project)}"
            raise ToolError("not_a_directory", message, cwd) from None
        raise ToolError("not_a_directory", f"That is no directory of {project}: {error.strerror}.") from None
    try:
        return root.joinpath(*opened.locate(descriptor).parts)
    finally:
        os.close(descriptor)


def _hint(cwd: str, project: str) -> str:
    first, _, rest = cwd.partition("/")
    return f" cwd is relative to the project: {rest or 'leave it out'}." if first == project else ""


# What package managers and resolvers print; those that were told to stay offline have words of their own.
_NO_NETWORK: Final = (
    "Temporary failure in name resolution",
    "Name or service not known",
    "Could not resolve host",
    "Couldn't resolve host",
    "Network is unreachable",
    "EAI_AGAIN",
    "ENOTFOUND",
    "ENETUNREACH",
    "ENOTCACHED",
    "ECONNREFUSED 127.0.0.1:53",
    "failed to lookup address information",
    "dial tcp: lookup",
    "module lookup disabled by GOPROXY=off",
    "but --offline was specified",
    "but the --offline flag was specified",
    "you may need to run without --offline",
    "NewConnectionError",
)
# What curl, git and cargo, older curl, Python, npm, Go, and the proxy itself print when the proxy refuses.
_REFUSED: Final = (
    "CONNECT tunnel failed, response 403",
    "HTTP code 403 from proxy",
    "Tunnel connection failed: 403",
    "Proxy response (403)",
    "403 Forbidden - GET",
    '": Forbidden',
    "is not in the egress of this project",
    "leads to an address that is not public",
    "can go to the ports 80 and 443 only",
    "the proxy of this project refuses",
)
_PERHAPS_REFUSED: Final = "The requested URL returned error: 403"  # by the proxy, or by the server behind it
_HOST: Final = re.compile(r"(?:https?://|host='|\bhost: ?)((?:[A-Za-z0-9_-]{1,63}\.){1,8}[A-Za-z][A-Za-z0-9-]{1,62})")
_MAX_NAMED_HOSTS: Final = 5
_SHELL_WORDS: Final = frozenset({"cd", "source", ".", "export", "set", "unset", "alias", "ulimit", "umask"})
_SHELL_SIGNS: Final = re.compile(r"[\s|&;<>$`]")
_SEE: Final = 'see docs/projects.md, "Reaching the network"'


def start_advice(program: str) -> str:
    """Return advice for a program that does not exist."""
    word = next(iter(program.split()), "")
    if word in _SHELL_WORDS:
        return f"{word} is a word of the shell: give cwd or environment, or run [sh, -c, ...]."
    if _SHELL_SIGNS.search(program):
        return "No shell reads argv: give one word an item, like [ls, -l], or run [sh, -c, ...]."
    return "Programs are those of the project's image; add distribution packages with `packages` in the inventory."


def network_advice(output: str, egress: str | Sequence[str], project: str) -> str | None:
    """Return advice when the output of a failed run shows that it had no network.

    Args:
        egress: what the project declares: ``none``, ``any``, or host names.
    """
    refused = any(words in output for words in _REFUSED)
    if egress != "none" and (refused or _PERHAPS_REFUSED in output):
        what = f"The proxy of {project} refused what it asked for"
        perhaps = f"If it was the proxy of {project} that answered 403"
        return f"{what if refused else perhaps}: {_refusal_reason(output, egress, project)}; {_SEE}."
    if not any(words in output for words in _NO_NETWORK):
        return None
    if egress == "none":
        return (
            f"It tried to use the network, and egress is none for {project}: declare the hosts that it needs, or put "
            f"what it fetches into the project's directory or its image; {_SEE}."
        )
    return (
        f"It tried to bypass the proxy, which is the only way out of {project}: make it use HTTP_PROXY and "
        f"HTTPS_PROXY, which are set; {_SEE}."
    )


def _refusal_reason(output: str, egress: str | Sequence[str], project: str) -> str:
    """Say what may have been refused: hosts that the output names and nobody declared; else what else it can be."""
    if isinstance(egress, str):
        declared, undeclared = egress, []
    else:
        declared = ", ".join(egress)
        hosts = dict.fromkeys(host.lower() for host in _HOST.findall(output))
        undeclared = [host for host in hosts if not _is_declared(host, egress)]
    if undeclared:
        return f"its output names {', '.join(undeclared[:_MAX_NAMED_HOSTS])}, and egress is {declared}"
    return (
        f"egress is {declared}, which allows ports 80 and 443 of public addresses (of others when their network is in "
        f"codebuddy_egress_networks); the log of its proxy, the container whose name ends in {project}.egress, names "
        "what was refused"
    )


def _is_declared(host: str, egress: Sequence[str]) -> bool:
    return any(host.endswith(name[1:]) if name.startswith("*.") else host == name for name in egress)


_MAX_ARGV: Final = 2000
"""How many characters of a command line are kept."""


@dataclass(frozen=True)
class RunRequest:
    """What is to be run."""

    program: Program
    task: str | None  # the name of the declared task, if it is one
    background: bool  # whether it is a job from the start, which does not depend on its caller
    timeout_seconds: float | None  # None: no limit
    idle_timeout_seconds: float | None


@dataclass(frozen=True)
class RunEnd:
    """How a run ended, and what it consumed; see `RunResult`."""

    reason: EndReason
    duration_seconds: float
    exit_code: int | None = None
    signal: str | None = None
    message: str | None = None
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None


@dataclass(eq=False)
class Run:
    """A run that is active or has ended."""

    job_id: str  # with the project's id before it
    argv: list[str]
    task: str | None
    background: bool  # whether it is a job
    started: float  # as of `time.time`
    transcript: Transcript
    lost: bool = False  # whether the connection of its caller broke; the caller may come back on another
    end: RunEnd | None = None
    report: Reported = field(default_factory=Reported)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    started_monotonic: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.argv = _shorten(self.argv)  # it is kept for long, and shown in lists

    @property
    def duration_seconds(self) -> float:
        """How long it has run, or ran."""
        return round(time.monotonic() - self.started_monotonic if self.end is None else self.end.duration_seconds, 3)

    def describe(self) -> Job:
        """Describe it as a tool's result."""
        end = self.end
        return Job(
            job_id=self.job_id,
            project=self.job_id.partition(":")[0],
            argv=self.argv,
            task=self.task,
            background=self.background,
            started_at=datetime.fromtimestamp(self.started, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            duration_seconds=self.duration_seconds,
            reason=end.reason if end else None,
            exit_code=end.exit_code if end else None,
            signal=end.signal if end else None,
            message=end.message if end else None,
            output_bytes=self.transcript.total,
        )


def _shorten(argv: list[str]) -> list[str]:
    """Return the beginning of a command line; ``…`` is where something is left out."""
    room, kept = _MAX_ARGV, list[str]()
    for word in argv:
        if len(word) >= room:
            return [*kept, f"{word[:room]}…"]
        kept.append(word)
        room -= len(word) + 1
    return kept


_RECORD_NAME: Final = "run.json"
_MAX_RECORD: Final = 1024 * 1024
_MAX_RECORDS: Final = 500

log = logging.getLogger(__name__)


class _Record(BaseModel):
    """What is kept of a run on disk, beside its transcript."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    argv: list[str]
    task: str | None = None
    background: bool
    started: float
    end: RunEnd | None = None
    report: Reported = Reported()


def save_run(directory: Path, run: Run) -> None:
    """Write the record of a run; a failure is logged, and the run continues."""
    record = _Record.model_construct(
        argv=run.argv, task=run.task, background=run.background, started=run.started, end=run.end, report=run.report
    )
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = directory / f"{_RECORD_NAME}.new"
        new.unlink(missing_ok=True)
        with create_file(new) as file:
            file.write(json.dumps(record.model_dump(exclude_none=True)).encode())
        os.replace(new, directory / _RECORD_NAME)
    except OSError as error:
        log.warning("the job %s cannot be recorded in %s: %s", run.job_id, directory, error.strerror)


def load_runs(parent: Path, project: str, limit: int) -> list[Run]:
    """Load the runs that an earlier agent kept, each in a directory below `parent`, the oldest first.

    One that had not ended ended with that agent. Of its output, `limit` bytes are kept.
    """
    try:
        entries = sorted(parent.iterdir())[:_MAX_RECORDS]
    except OSError:
        return []
    runs = []
    for entry in entries:
        run = _load_run(entry, project, limit)
        if run is None:
            shutil.rmtree(entry, ignore_errors=True)  # of a run whose caller nobody can answer any more
        else:
            runs.append(run)
    return sorted(runs, key=lambda run: run.started)


def _load_run(directory: Path, project: str, limit: int) -> Run | None:
    try:
        with open_file(directory / _RECORD_NAME, _MAX_RECORD) as file:
            written = os.fstat(file.fileno()).st_mtime
            record = _Record.model_validate_json(file.read())
        run = Run(
            job_id=f"{project}:{directory.name}",
            argv=record.argv,
            task=record.task,
            background=record.background,
            started=record.started,
            transcript=Transcript.load(directory, limit),
            report=record.report,
        )
        run.end = record.end or RunEnd(
            "agent_restart",
            max(0.0, written - record.started),
            message="The spoke was restarted while it ran; start it again.",
        )
        run.describe().text()  # a record that cannot be described is not loaded
    except (OSError, ValueError, OverflowError):
        return None
    if record.end is None:
        save_run(directory, run)
    return run


_MAX_CONCURRENT: Final = 64  # runs that were not started as jobs; further ones are queued
_MAX_ACTIVE: Final = 512  # runs, with those that are queued
_ADVICE_BYTES: Final = 32 * 1024  # of the end of a failed run's output that are searched for a reason
_MAX_ENDED: Final = 50
_MAX_ENDED_OUTPUT: Final = 4  # in multiples of the limit of one run
_CLOSE_SECONDS: Final = 4.0


@dataclass(frozen=True)
class RunObserver:
    """Observes a run."""

    on_output: OnOutput
    on_end: Callable[[RunEnd], Awaitable[Reported]]  # called when everything was printed; gives the run's report
    keep: Callable[[], bool]  # says, after that, whether the output is to be kept for `job_output`


class Runs:
    """The runs of one project.

    Args:
        directory: where jobs and long output are kept.
        advise: gives advice on the last output of a run that failed.
    """

    def __init__(
        self,
        project: str,
        directory: Path,
        limits: RunLimits,
        advise: Callable[[str], str | None] = lambda _output: None,
    ) -> None:
        self.limits = limits
        self.fork_server = ForkServer()
        self._project = project
        self._directory = directory
        self._advise = advise
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT)
        self._runs: dict[str, Run] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._active = 0
        self._closing = False

    def load(self) -> None:
        """Load the jobs of an earlier agent, which ended with it."""
        for run in load_runs(self._directory, self._project, self.limits.output_bytes):
            self._runs[run.job_id] = run
        self._forget_oldest()

    def start(self, request: RunRequest, observer: RunObserver, job_id: str | None = None) -> Run:
        """Start a run.

        Args:
            job_id: its id, if the caller chose one that no other run has. It may then look for the run after the agent
                was restarted, so there is a record of it from the beginning.

        Raises:
            ToolError: ``too_many_jobs``.
        """
        jobs = [run for run in self._runs.values() if run.background and run.end is None]
        if request.background and len(jobs) >= self.limits.max_jobs:
            raise ToolError(
                "too_many_jobs",
                f"{self._project} runs {len(jobs)} jobs, as many as it may (max_jobs); end one with cancel_job first.",
            )
        if len(self._tasks) >= _MAX_ACTIVE:
            raise ToolError("too_many_jobs", f"{len(self._tasks)} runs wait for their turn in {self._project}.")
        has_record = request.background or job_id is not None
        job_id = job_id or f"{self._project}:{secrets.token_hex(6)}"
        run = Run(
            job_id=job_id,
            argv=list(request.program.argv),
            task=request.task,
            background=request.background,
            started=time.time(),
            transcript=Transcript(self._directory / job_id.rpartition(":")[2], self.limits.output_bytes),
        )
        self._runs[job_id] = run
        if has_record:
            save_run(self._directory_of(run), run)
        self._tasks[job_id] = asyncio.create_task(self._execute(run, request, observer))
        return run

    async def wait(self, run: Run, seconds: float) -> bool:
        """Wait for a run to end, and return whether it has; one that still runs after this time is a job from then on.

        Cancelling does not end the run.
        """
        task = self._tasks.get(run.job_id)
        if task is not None:
            await asyncio.wait([task], timeout=seconds)
            if run.end is None:
                self.make_job(run)
                return False
            await asyncio.wait([task])  # what it printed is still read for its report
        return True

    def make_job(self, run: Run) -> None:
        """Let a run go on without a caller."""
        if run.end is None and not run.background:
            run.background = True
            save_run(self._directory_of(run), run)

    def end_lost(self, claimed: Collection[str]) -> int:
        """End the runs that lost their caller, but for those that are claimed; return how many these are."""
        lost = [run for run in self._runs.values() if run.lost and run.end is None and not run.background]
        unclaimed = [run for run in lost if run.job_id not in claimed]
        for run in unclaimed:
            run.stop.set()
        return len(unclaimed)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._runs

    def get(self, job_id: str) -> Run:
        """Return a run.

        Raises:
            ToolError: ``unknown_job``.
        """
        run = self._runs.get(job_id)
        if run is None:
            raise ToolError(
                "unknown_job", f"{self._project} has no job {job_id}; list_jobs lists them (old ones are removed)."
            )
        return run

    def all(self) -> list[Run]:
        """Return all runs that are active or kept, the newest first."""
        return sorted(self._runs.values(), key=lambda run: (run.started, run.job_id), reverse=True)

    async def cancel(self, job_id: str) -> Run:
        """End a run; one that has ended stays as it is.

        Raises:
            ToolError: ``unknown_job``.
        """
        run = self.get(job_id)
        await self.end(run)
        return run

    async def end(self, run: Run) -> None:
        """End a run, and wait until nothing of it is left."""
        run.stop.set()
        if (task := self._tasks.get(run.job_id)) is not None:
            await asyncio.wait([task])

    async def close(self) -> None:
        """End all active runs, because the agent ends."""
        self._closing = True
        tasks = list(self._tasks.values())
        for run in self._runs.values():
            if run.end is None:
                run.stop.set()
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSE_SECONDS)
        self.fork_server.close()

    def _directory_of(self, run: Run) -> Path:
        return self._directory / run.job_id.rpartition(":")[2]

    async def _execute(self, run: Run, request: RunRequest, observer: RunObserver) -> None:
        async def on_output(stream: Stream, data: bytes) -> None:
            await run.transcript.add(stream, data)
            await observer.on_output(stream, data)

        try:
            run.end = await self._run_to_end(run, request, on_output)
            try:
                run.report = await observer.on_end(run.end)
            except Exception:
                log.exception("the report of %s cannot be read", run.job_id)
                run.report = Reported(report_problem="Its report could not be read; see the agent's log.")
            keep = run.background or run.lost or self._closing or observer.keep()
            await run.transcript.close(keep)
            if keep:
                await asyncio.to_thread(save_run, self._directory_of(run), run)
            else:
                del self._runs[run.job_id]
        finally:
            if run.end is None:  # a fault of the agent, after which the run must not look active
                run.end = RunEnd("not_started", run.duration_seconds, message="The agent failed; see its log.")
            self._tasks.pop(run.job_id, None)
            self._forget_oldest()

    async def _run_to_end(self, run: Run, request: RunRequest, on_output: OnOutput) -> RunEnd:
        kills, alone = oom_kills(), self._active == 0
        self._active += 1
        try:
            async with contextlib.nullcontext() if request.background else self._slots:
                ended = await run_process(
                    self.fork_server,
                    request.program,
                    timeout_seconds=request.timeout_seconds,
                    idle_timeout_seconds=request.idle_timeout_seconds,
                    stop=run.stop,
                    on_output=on_output,
                )
        except (OSError, ValueError) as error:
            failure = self._start_failure(request.program.argv[0], error)
            return RunEnd("not_started", run.duration_seconds, message=failure)
        finally:
            self._active -= 1
        alone = alone and self._active == 0
        reason = _end_reason(ended, oom_killed=oom_kills() > kills, alone=alone)
        if reason == "cancelled" and self._closing:
            reason = "agent_restart"
        message = _end_message(reason, request)
        if reason == "exited" and ended.exit_code != 0:
            page = await run.transcript.read(run.transcript.total - _ADVICE_BYTES, _ADVICE_BYTES)
            message = self._advise(excerpt_of(page.pieces).text)
        return RunEnd(
            reason=reason,
            duration_seconds=run.duration_seconds,
            exit_code=ended.exit_code if ended.stop_reason is None else None,
            signal=ended.signal if ended.stop_reason is None else None,
            message=message,
            cpu_seconds=ended.cpu_seconds,
            peak_memory_bytes=ended.peak_bytes,
        )

    def _start_failure(self, program: str, error: OSError | ValueError) -> str:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        message = f"{program[:200]!r} could not be started in {self._project}: {why}."
        return f"{message} {start_advice(program)}" if isinstance(error, FileNotFoundError) else message

    def _forget_oldest(self) -> None:
        """Remove the oldest ended runs, when they are many or their output is much; the newest one always stays."""
        ended = [run for run in self._runs.values() if run.end is not None]
        room = _MAX_ENDED_OUTPUT * self.limits.output_bytes
        for number, run in enumerate(reversed(ended)):
            room -= run.transcript.size
            if number >= _MAX_ENDED or (room < 0 and number > 0):
                del self._runs[run.job_id]
                run.transcript.remove()


def _end_reason(ended: ProcessEnd, *, oom_killed: bool, alone: bool) -> EndReason:
    """Say why a run ended.

    Args:
        oom_killed: whether the OOM killer ended a process of this container meanwhile.
        alone: whether that process cannot have been of another run.
    """
    if ended.stop_reason is not None:
        return ended.stop_reason
    by_sigkill = ended.signal == "SIGKILL" or ended.exit_code == 128 + 9  # the exit code of a shell for its child
    if oom_killed and (by_sigkill or (alone and ended.exit_code != 0)):
        return "oom"
    return "signaled" if ended.signal is not None else "exited"


def _end_message(reason: EndReason, request: RunRequest) -> str | None:
    match reason:
        case "oom":
            limit = f" within the project's limit of {most / 2**20:.0f} MiB" if (most := memory_limit()) else ""
            return f"It ran out of memory{limit}; raise `memory` in the inventory."
        case "timeout":
            return f"It did not end within {request.timeout_seconds:g} s."
        case "idle_timeout":
            return f"It printed nothing for {request.idle_timeout_seconds:g} s."
    return None
