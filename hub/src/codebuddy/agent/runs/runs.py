"""All runs of a spoke: under way, and ended ones whose output can still be read; within the project's limits."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from codebuddy.agent.runs.output import Transcript, create_file, excerpt_of, open_file
from codebuddy.agent.runs.process import Ended, ForkServer, Program, Stream, finish, run_process
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


# What package managers and resolvers say; those that were told to stay offline say so in words of their own.
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
# What curl, git and cargo, older curl, Python, npm, Go, and the proxy itself say when the proxy refuses.
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
# It may be the proxy's, or that of the server behind it.
_PERHAPS_REFUSED: Final = ("The requested URL returned error: 403",)
_HOST: Final = re.compile(r"(?:https?://|host='|\bhost: ?)((?:[A-Za-z0-9_-]{1,63}\.){1,8}[A-Za-z][A-Za-z0-9-]{1,62})")
_MOST_NAMED: Final = 5
_SHELL_WORDS: Final = frozenset({"cd", "source", ".", "export", "set", "unset", "alias", "ulimit", "umask"})
_SHELL_SIGNS: Final = re.compile(r"[\s|&;<>$`]")
_SEE: Final = 'see docs/projects.md, "Reaching the network"'


def start_advice(program: str) -> str:
    """Say what to do where there is no such program."""
    word = next(iter(program.split()), "")
    if word in _SHELL_WORDS:
        return f"{word} is a word of the shell: give cwd or environment, or run [sh, -c, ...]."
    if _SHELL_SIGNS.search(program):
        return "No shell reads argv: give one word an item, like [ls, -l], or run [sh, -c, ...]."
    return "Programs are those of the project's image; add distribution packages with `packages` in the inventory."


def network_advice(output: str, egress: str | Sequence[str], project: str) -> str | None:
    """Give a sentence when a run's output shows that it lacked the network.

    Args:
        output: what a run that failed printed.
        egress: what the project declares: ``none``, ``any``, or host names.
        project: its id.
    """
    if egress != "none":
        if any(words in output for words in _REFUSED):
            return f"The proxy of {project} refused what it asked for: {_why_refused(output, egress, project)}; {_SEE}."
        if any(words in output for words in _PERHAPS_REFUSED):
            why = _why_refused(output, egress, project)
            return f"If it was the proxy of {project} that answered 403: {why}; {_SEE}."
    if not any(words in output for words in _NO_NETWORK):
        return None
    if egress == "none":
        return (
            f"It wanted the network, and egress is none for {project}: declare the hosts that it needs, or put what it "
            f"fetches into the project's directory or its image; {_SEE}."
        )
    return (
        f"It looked for the network past the proxy, which is the only way out of {project}: have it use HTTP_PROXY and "
        f"HTTPS_PROXY, which are set; {_SEE}."
    )


def _why_refused(output: str, egress: str | Sequence[str], project: str) -> str:
    """Say what may have been refused: hosts that the output names and nobody declared; else what else it can be."""
    named = list(dict.fromkeys(host.lower() for host in _HOST.findall(output)))
    declared = egress if isinstance(egress, str) else ", ".join(egress)
    strange = [] if isinstance(egress, str) else [host for host in named if not _is_declared(host, egress)]
    if strange:
        return f"its output names {', '.join(strange[:_MOST_NAMED])}, and egress is {declared}"
    return (
        f"egress is {declared}, of which ports 80 and 443 of public addresses can be reached (of others when their "
        f"network is in codebuddy_egress_networks); the log of its proxy, the container that ends in {project}.egress, "
        "names what was refused"
    )


def _is_declared(host: str, egress: Sequence[str]) -> bool:
    return any(host.endswith(name[1:]) if name.startswith("*.") else host == name for name in egress)


_TOLD_ARGV: Final = 2000
"""So many characters of a command line are kept."""


@dataclass(frozen=True)
class Order:
    """What is to be run.

    Args:
        program: the program.
        task: the name of the task that it is, if it is one.
        background: whether it is a job, which runs on without its caller.
        timeout_seconds, idle_timeout_seconds: when it is ended; None: never.
    """

    program: Program
    task: str | None
    background: bool
    timeout_seconds: float | None
    idle_timeout_seconds: float | None


@dataclass(frozen=True)
class RunEnd:
    """How a run ended, and what it took; see `RunResult`."""

    reason: EndReason
    duration_seconds: float
    exit_code: int | None = None
    signal: str | None = None
    message: str | None = None
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None


@dataclass(eq=False)
class Run:
    """A run, under way or ended.

    Args:
        job_id: its id, with the project's before it.
        argv: its command line; of a long one the beginning is kept.
        task: the task's name, if it is one.
        background: whether it runs on without its caller.
        started: when, as `time.time` gives it.
        transcript: what it prints.
    """

    job_id: str
    argv: list[str]
    task: str | None
    background: bool
    started: float
    transcript: Transcript
    end: RunEnd | None = None
    report: Reported = field(default_factory=Reported)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    clock: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.argv = _beginning(self.argv)  # it is kept for long, and told in lists

    @property
    def project(self) -> str:
        """The id of its project."""
        return self.job_id.partition(":")[0]

    @property
    def duration_seconds(self) -> float:
        """How long it has run, or ran."""
        return round(time.monotonic() - self.clock if self.end is None else self.end.duration_seconds, 3)

    def describe(self) -> Job:
        """Tell of it."""
        end = self.end
        return Job(
            job_id=self.job_id,
            project=self.project,
            argv=self.argv,
            task=self.task,
            background=self.background,
            started_at=utc(self.started),
            duration_seconds=self.duration_seconds,
            reason=end.reason if end else None,
            exit_code=end.exit_code if end else None,
            signal=end.signal if end else None,
            message=end.message if end else None,
            output_bytes=self.transcript.total,
        )


def _beginning(argv: list[str]) -> list[str]:
    """Give the beginning of a command line; ``…`` is where something is left out."""
    room, told = _TOLD_ARGV, list[str]()
    for word in argv:
        if len(word) >= room:
            return [*told, f"{word[:room]}…"]
        told.append(word)
        room -= len(word) + 1
    return told


def new_id(project: str) -> str:
    """Make the id of a run."""
    return f"{project}:{secrets.token_hex(6)}"


def utc(seconds: float) -> str:
    """Write a time as people and programs read it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_NAME: Final = "run.json"
_MAX_RECORD: Final = 1024 * 1024
_MAX_RECORDS: Final = 500

log = logging.getLogger(__name__)


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    argv: list[str]
    task: str | None = None
    background: bool
    started: float
    end: RunEnd | None = None
    report: Reported = Reported()


def save_run(directory: Path, run: Run) -> None:
    """Write what is known of a run; a failure is noted in the log, and the run goes on."""
    record = {
        "argv": run.argv,
        "task": run.task,
        "background": run.background,
        "started": run.started,
        "end": None if run.end is None else asdict(run.end),
        "report": run.report.model_dump(exclude_none=True),
    }
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = directory / f"{_NAME}.new"
        new.unlink(missing_ok=True)
        with create_file(new) as file:
            file.write(json.dumps(record).encode())
        os.replace(new, directory / _NAME)
    except OSError as error:
        log.warning("the job %s cannot be noted in %s: %s", run.job_id, directory, error.strerror)


def load_runs(parent: Path, project: str, limit: int) -> list[Run]:
    """Give the runs that an earlier agent kept, the oldest first. One that had not ended ended with that agent.

    Args:
        parent: holds a directory for each.
        project: id of the project.
        limit: how much of the output of a run is kept, in bytes.
    """
    try:
        entries = sorted(parent.iterdir())[:_MAX_RECORDS]
    except OSError:
        return []
    runs = []
    for entry in entries:
        run = _load(entry, project, limit)
        if run is None:
            shutil.rmtree(entry, ignore_errors=True)  # left by a run whose caller nobody can answer any more
        else:
            runs.append(run)
    return sorted(runs, key=lambda run: run.started)


def _load(directory: Path, project: str, limit: int) -> Run | None:
    path = directory / _NAME
    try:
        with open_file(path, _MAX_RECORD) as file:
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
            message="The spoke was started anew while it ran; start it again.",
        )
        run.describe().text()  # whatever was written there can be told, or it is not taken
    except (OSError, ValidationError, ValueError, OverflowError):
        return None
    if record.end is None:
        save_run(directory, run)
    return run


_AT_ONCE: Final = 64
"""So many runs that somebody waits for go on at the same time; more wait for their turn."""

_ADVICE_BYTES: Final = 32 * 1024
"""So much of the end of a failed run's output is looked at for advice."""

_MAX_ENDED: Final = 50
_KEPT_LIMITS: Final = 4
"""The output of ended runs is kept up to so many times the limit of one."""


@dataclass(frozen=True)
class Watcher:
    """Follows a run.

    Args:
        on_output: awaited with each piece of output.
        on_end: awaited with how it ended when all was printed; gives what is to be told of it beside how it ended.
        keep: says, then, whether the output is to be kept for `job_output`.
    """

    on_output: Callable[[Stream, bytes], Awaitable[None]]
    on_end: Callable[[RunEnd], Awaitable[Reported]]
    keep: Callable[[], bool]


class Runs:
    """The runs of one project.

    Args:
        project: its id.
        directory: where jobs and long output are kept.
        limits: the project's.
        advise: gives a sentence where the last output of a run that failed shows what it lacked.
    """

    def __init__(
        self,
        project: str,
        directory: Path,
        limits: RunLimits,
        advise: Callable[[str], str | None] = lambda _output: None,
    ) -> None:
        self.limits = limits
        self._project = project
        self._directory = directory
        self._advise = advise
        self.forks = ForkServer()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._runs: dict[str, Run] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._under_way = 0
        self._closing = False

    def load(self) -> None:
        """Take up the jobs of an earlier agent, which ended with it."""
        for run in load_runs(self._directory, self._project, self.limits.output_bytes):
            self._runs[run.job_id] = run
        self._forget()

    async def foreground(self, order: Order, watcher: Watcher) -> Run:
        """Run to the end. When the caller is cancelled, the run is ended, and this waits until it has."""
        run = self._add(order)
        task = asyncio.create_task(self._execute(run, order, watcher))
        self._tasks[run.job_id] = task
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            run.stop.set()
            await finish(task)
            raise
        return run

    def background(self, order: Order, watcher: Watcher) -> Run:
        """Start a job.

        Raises:
            ToolError: ``too_many_jobs``.
        """
        jobs = [run for run in self._runs.values() if run.background and run.end is None]
        if len(jobs) >= self.limits.max_jobs:
            raise ToolError(
                "too_many_jobs",
                f"{self._project} runs {len(jobs)} jobs, as many as it may (max_jobs); end one with cancel_job first.",
            )
        run = self._add(order)
        save_run(self._place(run.job_id), run)
        self._tasks[run.job_id] = asyncio.create_task(self._execute(run, order, watcher))
        return run

    def get(self, job_id: str) -> Run:
        """Give a run.

        Raises:
            ToolError: ``unknown_job``.
        """
        run = self._runs.get(job_id)
        if run is None:
            raise ToolError(
                "unknown_job", f"{self._project} has no job {job_id}; list_jobs tells which there are (old ones go)."
            )
        return run

    def all(self) -> list[Run]:
        """Give all runs that are under way or kept, the newest first."""
        return sorted(self._runs.values(), key=lambda run: (run.started, run.job_id), reverse=True)

    async def cancel(self, job_id: str) -> Run:
        """End a run, and wait until nothing of it is left; one that has ended stays as it is.

        Raises:
            ToolError: ``unknown_job``.
        """
        run = self.get(job_id)
        run.stop.set()
        task = self._tasks.get(job_id)
        if task is not None:
            await asyncio.wait([task])
        return run

    async def close(self) -> None:
        """End all that is under way, for the agent ends."""
        self._closing = True
        tasks = list(self._tasks.values())
        for run in self._runs.values():
            run.stop.set()
        if tasks:
            await asyncio.wait(tasks, timeout=4.0)
        self.forks.close()

    def _add(self, order: Order) -> Run:
        job_id = new_id(self._project)
        run = Run(
            job_id=job_id,
            argv=list(order.program.argv),
            task=order.task,
            background=order.background,
            started=time.time(),
            transcript=Transcript(self._place(job_id), self.limits.output_bytes),
        )
        self._runs[job_id] = run
        return run

    def _place(self, job_id: str) -> Path:
        return self._directory / job_id.rpartition(":")[2]

    async def _execute(self, run: Run, order: Order, watcher: Watcher) -> None:
        async def on_output(stream: Stream, data: bytes) -> None:
            await run.transcript.add(stream, data)
            await watcher.on_output(stream, data)

        try:
            run.end = await self._end_of(run, order, on_output)
            try:
                run.report = await watcher.on_end(run.end)
            except Exception:
                log.exception("the report of %s cannot be read", run.job_id)
                run.report = Reported(report_problem="Its report could not be read; the agent's log says why.")
            keep = run.background or watcher.keep()
            await run.transcript.close(keep)
            if keep:
                await asyncio.to_thread(save_run, self._place(run.job_id), run)
            else:
                del self._runs[run.job_id]
        finally:
            if run.end is None:  # a fault of ours: nothing may look as if it ran on
                run.end = RunEnd("not_started", run.duration_seconds, message="The agent failed; see its log.")
            self._tasks.pop(run.job_id, None)
            self._forget()

    async def _end_of(self, run: Run, order: Order, on_output: Callable[[Stream, bytes], Awaitable[None]]) -> RunEnd:
        kills, alone = oom_kills(), self._under_way == 0
        self._under_way += 1
        try:
            if order.background:
                ended = await self._process(run, order, on_output)
            else:
                async with self._turns:
                    ended = await self._process(run, order, on_output)
        except (OSError, ValueError) as error:
            return RunEnd("not_started", run.duration_seconds, message=self._why_not(order.program.argv[0], error))
        finally:
            self._under_way -= 1
        alone = alone and self._under_way == 0
        reason = _reason(ended, killed=oom_kills() > kills, alone=alone)
        if reason == "cancelled" and self._closing:
            reason = "agent_restart"
        return RunEnd(
            reason=reason,
            duration_seconds=run.duration_seconds,
            exit_code=ended.exit_code if ended.why is None else None,
            signal=ended.signal if ended.why is None else None,
            message=_sentence(reason, order) or await self._advice(run, reason, ended),
            cpu_seconds=ended.cpu_seconds,
            peak_memory_bytes=ended.peak_bytes,
        )

    async def _process(self, run: Run, order: Order, on_output: Callable[[Stream, bytes], Awaitable[None]]) -> Ended:
        return await run_process(
            self.forks,
            order.program,
            timeout_seconds=order.timeout_seconds,
            idle_timeout_seconds=order.idle_timeout_seconds,
            stop=run.stop,
            on_output=on_output,
        )

    async def _advice(self, run: Run, reason: EndReason, ended: Ended) -> str | None:
        if reason != "exited" or ended.exit_code == 0:
            return None
        page = await run.transcript.read(run.transcript.total - _ADVICE_BYTES, _ADVICE_BYTES)
        return self._advise(excerpt_of(page.pieces)[0])

    def _why_not(self, program: str, error: OSError | ValueError) -> str:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        told = f"{program[:200]!r} could not be started in {self._project}: {why}."
        return f"{told} {start_advice(program)}" if isinstance(error, FileNotFoundError) else told

    def _forget(self) -> None:
        """Let go of the oldest ended runs, when they are many or their output is much."""
        ended = [run for run in self._runs.values() if run.end is not None]
        room = _KEPT_LIMITS * self.limits.output_bytes
        for number, run in enumerate(reversed(ended)):
            room -= run.transcript.size
            if number >= _MAX_ENDED or (room < 0 and number > 0):
                del self._runs[run.job_id]
                run.transcript.remove()


def _reason(ended: Ended, *, killed: bool, alone: bool) -> EndReason:
    """Say why a run ended.

    Args:
        ended: how its process did.
        killed: whether the kernel ended a process of this container for want of memory meanwhile.
        alone: whether no other run can have been meant.
    """
    if ended.why is not None:
        return ended.why
    by_kill = ended.signal == "SIGKILL" or ended.exit_code == 128 + 9  # as a shell tells of what it ran
    if killed and (by_kill or (alone and ended.exit_code != 0)):
        return "oom"
    return "signaled" if ended.signal is not None else "exited"


def _sentence(reason: EndReason, order: Order) -> str | None:
    match reason:
        case "oom":
            limit = f" of {most / 2**20:.0f} MiB" if (most := memory_limit()) else ""
            return f"It needed more memory than the project's limit{limit} leaves; raise `memory` in the inventory."
        case "timeout":
            return f"It had not ended after {order.timeout_seconds:g} s."
        case "idle_timeout":
            return f"It had printed nothing for {order.idle_timeout_seconds:g} s."
    return None
