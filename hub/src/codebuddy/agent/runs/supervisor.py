"""One run's supervisor: the parent of a program and of all that it leaves behind, which ends with it.

A process that loses its parent goes to the nearest ancestor that is a child subreaper (prctl(2)). The supervisor is
one, so whatever the program starts stays below it, through ``setsid`` and double forks; when it has no children left,
nothing of the run is left. It also knows what the whole run took (wait4(2)).

It is a process of its own, forked by the fork server below, and of the standard library only. On its
control socket it gets one request, then single bytes; it tells lines of JSON. When the socket closes, its agent is gone
or wants no more of the run, and the run is ended at once.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, Final

from codebuddy.process_tree import ProcessId, Stat, become_subreaper, descendants

GRACE_SECONDS: Final = 2.0
"""How long what is to end may take after SIGTERM before SIGKILL."""

TERMINATE: Final = b"T"
"""On the control socket: end the run."""

_LENGTH: Final = struct.Struct(">I")
_ROUNDS: Final = 200
_PAUSE: Final = 0.01
# The highest: whatever a run starts goes before the agent and its language servers when memory runs out.
_OOM_SCORE: Final = "1000"
_OOM_FILE: Final = "/proc/self/oom_score_adj"
# Python ignores these; a program expects them as the system sets them.
_DEFAULT_SIGNALS: Final = [signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


def pack_request(argv: list[str], cwd: str, environment: dict[str, str]) -> bytes:
    """Write a request: a program with its arguments, its directory, and its whole environment.

    Strings are as `os.fsdecode` gives them.
    """
    text = json.dumps({"argv": argv, "cwd": cwd, "environment": environment}).encode()
    return _LENGTH.pack(len(text)) + text


def supervise(control: socket.socket, stdin: int, stdout: int, stderr: int) -> None:
    """Start what is asked for and see it to its end, with all that it started.

    It tells ``{"pid": …, "supervisor": …}``, the ids of both processes; then ``{"status": …, "cpu_seconds": …,
    "peak_kilobytes": …, "floor_kilobytes": …}`` with the status as wait(2) gives it. Or, when nothing was started,
    ``{"errno": …, "of": "cwd" | "program"}``.
    """
    os.setsid()
    become_subreaper()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    request = _read_request(control)
    if request is None:
        return
    supervisor = _Supervisor(control)
    try:
        os.chdir(request["cwd"])
    except OSError as error:
        supervisor.tell(errno=error.errno, of="cwd")
        return
    try:
        supervisor.start(request["argv"], request["environment"], (stdin, stdout, stderr))
    except (OSError, ValueError) as error:  # ValueError: NUL in an argument, or '=' in the name of a variable
        supervisor.tell(errno=getattr(error, "errno", None), of="program")
        return
    finally:
        for descriptor in (stdin, stdout, stderr):
            os.close(descriptor)
    supervisor.run()


def end_strays(is_stray: Callable[[ProcessId, Stat], bool]) -> None:
    """End processes and all that descends from them, and what they start meanwhile.

    They are stopped before they are killed: what is stopped forks no more, so that what forks as fast as it is killed
    ends too.

    Args:
        is_stray: says of a process whether it is one.
    """
    stopped: set[ProcessId] = set()
    for _ in range(_ROUNDS):
        found = descendants(is_stray)
        fresh = found.keys() - stopped
        if not fresh:
            break
        # A whole group at once: the kernel lets no fork through between two of its processes.
        for group in {found[kin].group for kin in fresh} - {os.getpgrp()}:
            _signal(-group, signal.SIGSTOP)
        for kin in fresh:
            _signal(kin.pid, signal.SIGSTOP)
        stopped |= fresh
    for kin in descendants(is_stray):
        _signal(kin.pid, signal.SIGKILL)


class _Supervisor:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._wake, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._pid = 0
        self._status: int | None = None
        self._abandoned = False
        self._started_at = 0.0

    def tell(self, **what: Any) -> None:
        with contextlib.suppress(OSError):  # nobody listens any more
            self._control.sendall(json.dumps(what).encode() + b"\n")

    def start(self, argv: list[str], environment: dict[str, str], streams: tuple[int, int, int]) -> None:
        os.environ["PATH"] = environment.get("PATH", os.defpath)  # where posix_spawnp looks
        score = _swap_oom_score(_OOM_SCORE)
        try:
            self._pid = os.posix_spawnp(
                argv[0],
                argv,
                environment,
                file_actions=[(os.POSIX_SPAWN_DUP2, descriptor, number) for number, descriptor in enumerate(streams)],
                setsid=True,
                setsigmask=[],
                setsigdef=_DEFAULT_SIGNALS,
            )
        finally:
            _swap_oom_score(score)
        self.tell(pid=self._pid, supervisor=os.getpid())

    def run(self) -> None:
        asked = False
        while not asked and self._status is None:
            asked = self._wait(None)
            self._reap()
        self._end()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.tell(
            status=self._status,
            cpu_seconds=used.ru_utime + used.ru_stime,
            peak_kilobytes=used.ru_maxrss,
            floor_kilobytes=own,
        )

    def _wait(self, seconds: float | None) -> bool:
        """Wait until something happens; say whether the run is to be ended."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if not self._abandoned:
            poll.register(self._control, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(None if seconds is None else seconds * 1000)}
        if self._wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake, 4096)
        if self._control.fileno() not in ready:
            return False
        try:
            self._abandoned = not self._control.recv(64)
        except OSError:
            self._abandoned = True
        return True

    def _reap(self) -> bool:
        """Take the status of every child that ended; say whether none is left, and so nothing of the run."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            if pid == self._pid:
                self._status = status

    def _end(self) -> None:
        """End all that is left: SIGTERM, a moment, SIGKILL."""
        if self._reap():
            return
        # By groups, so that a shell does not outlive its child for a moment and tell of its end.
        for group in {stat.group for stat in descendants(_is_child).values()} - {os.getpgrp()}:
            _signal(-group, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while not self._abandoned and (left := deadline - time.monotonic()) > 0:
            self._wait(min(left, 0.1))
            if self._reap():
                return
        for _ in range(_ROUNDS):
            end_strays(_is_child)
            self._wait(_PAUSE)
            if self._reap():
                return


def _is_child(_kin: ProcessId, stat: Stat) -> bool:
    return stat.parent == os.getpid()


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _swap_oom_score(score: str | None) -> str | None:
    """Set the score of this process, and give what it was; None where it cannot be set."""
    try:
        with open(_OOM_FILE, "r+") as file:
            before = file.read().strip()
            if score is not None:
                file.write(score)
        return before
    except OSError:
        return None


def _read_request(control: socket.socket) -> dict[str, Any] | None:
    """Read the request; None when the other side went away."""
    wanted, data = _LENGTH.size, b""
    while len(data) < wanted:
        piece = control.recv(wanted - len(data))
        if not piece:
            return None
        data += piece
        if len(data) == wanted == _LENGTH.size:
            wanted += _LENGTH.unpack(data)[0]
    request: dict[str, Any] = json.loads(data[_LENGTH.size :])
    return request


def fail(control: socket.socket, error: OSError) -> None:
    """Tell that there is no supervisor."""
    with contextlib.suppress(OSError):
        control.sendall(json.dumps({"errno": error.errno, "of": "supervisor"}).encode() + b"\n")
    print(f"codebuddy: a run could not be supervised: {error}", file=sys.stderr)


DESCRIPTORS: Final = 4
"""How many descriptors come with a message."""


def serve(descriptor: int) -> None:
    """Serve until the agent is gone.

    Args:
        descriptor: of the socket, of type SOCK_SEQPACKET.
    """
    requests = socket.socket(fileno=descriptor)
    become_subreaper()  # what a run leaves that killed its supervisor comes here
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    wake, woken = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    poll = select.poll()
    poll.register(requests, select.POLLIN)
    poll.register(wake, select.POLLIN)
    supervisors: set[int] = set()
    gc.freeze()  # so that the collector touches, and the kernel copies, no page of what all supervisors share
    while True:
        ready = {number for number, _ in poll.poll()}
        if wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 4096)
            _reap(supervisors)
        if requests.fileno() in ready:
            _, descriptors, _, _ = socket.recv_fds(requests, 16, DESCRIPTORS)
            for one in descriptors:
                os.set_inheritable(one, False)  # recv_fds passes no flags on, so not MSG_CMSG_CLOEXEC either
            if len(descriptors) != DESCRIPTORS:
                return
            _fork(supervisors, descriptors, {descriptor, wake, woken})


def _fork(supervisors: set[int], descriptors: list[int], own: set[int]) -> None:
    control = socket.socket(fileno=descriptors[0])
    try:
        pid = os.fork()
    except OSError as error:  # the limit of processes
        fail(control, error)
        pid = -1
    if pid == 0:
        _be_supervisor(control, descriptors[1:], own)
    if pid > 0:
        supervisors.add(pid)
    control.close()
    for descriptor in descriptors[1:]:
        os.close(descriptor)


def _be_supervisor(control: socket.socket, streams: list[int], inherited: set[int]) -> None:
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for descriptor in inherited:
            os.close(descriptor)
        supervise(control, *streams)
        status = 0
    except BaseException:
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(status)


def _reap(supervisors: set[int]) -> None:
    """Take the status of every child that ended. A supervisor that was killed leaves children of the run: they end."""
    killed = False
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            break
        killed |= pid in supervisors and status != 0
        supervisors.discard(pid)

    def is_stray(kin: ProcessId, stat: Stat) -> bool:
        return stat.parent == os.getpid() and kin.pid not in supervisors

    if killed:
        end_strays(is_stray)
