"""The supervisor of one run, and the fork server that forks supervisors. Standard library only.

A process that loses its parent is adopted by the nearest ancestor that is a child subreaper (prctl(2)). The supervisor
is one, so whatever a program starts stays below it, through ``setsid`` and double forks; when the supervisor has no
children left, nothing of the run is left. It also knows what the whole run consumed (wait4(2)).

On its control socket a supervisor gets one request, then single bytes, and it sends lines of JSON. When the socket
closes, the agent is gone or has abandoned the run, and the run is killed at once.
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
"""The time between SIGTERM and SIGKILL."""

TERMINATE: Final = b"T"
"""On the control socket: end the run."""

DESCRIPTORS: Final = 4
"""How many descriptors come with a request to the fork server: control socket, stdin, stdout, stderr."""

_LENGTH: Final = struct.Struct(">I")
_ROUNDS: Final = 200
_PAUSE_SECONDS: Final = 0.01
# The highest score: when memory runs out, runs are killed before the agent and its language servers.
_OOM_SCORE: Final = "1000"
_OOM_FILE: Final = "/proc/self/oom_score_adj"
_TERMINATION_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# The program gets the defaults of what Python or the supervisor ignores.
_DEFAULT_SIGNALS: Final = [signal.SIGPIPE, signal.SIGXFSZ, *_TERMINATION_SIGNALS]


def pack_request(argv: list[str], cwd: str, environment: dict[str, str]) -> bytes:
    """Encode a request to a supervisor. The environment is the program's whole one; strings are of `os.fsdecode`."""
    text = json.dumps({"argv": argv, "cwd": cwd, "environment": environment}).encode()
    return _LENGTH.pack(len(text)) + text


def _read_request(control: socket.socket) -> dict[str, Any] | None:
    """Read the request; None when the other side went away."""
    header = control.recv(_LENGTH.size, socket.MSG_WAITALL)
    if len(header) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(header)
    text = control.recv(length, socket.MSG_WAITALL)
    request: dict[str, Any] | None = json.loads(text) if len(text) == length else None
    return request


def _send(control: socket.socket, **message: Any) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        control.sendall(json.dumps(message).encode() + b"\n")


def supervise(control: socket.socket, stdin: int, stdout: int, stderr: int) -> None:
    """Start the requested program and stay until it and all that it started have ended.

    Sends ``{"pid": …, "supervisor": …}``, the ids of both processes; then ``{"status": …, "cpu_seconds": …,
    "peak_kilobytes": …, "floor_kilobytes": …}`` with the status as wait(2) gives it. Or, when nothing was started,
    ``{"errno": …, "of": "cwd" | "program"}``.
    """
    os.setsid()
    become_subreaper()
    _ignore_termination()
    request = _read_request(control)
    if request is None:
        return
    try:
        os.chdir(request["cwd"])
    except OSError as error:
        _send(control, errno=error.errno, of="cwd")
        return
    supervisor = _Supervisor(control)
    try:
        supervisor.start(request["argv"], request["environment"], (stdin, stdout, stderr))
    except (OSError, ValueError) as error:  # ValueError: NUL in an argument, or '=' in the name of a variable
        _send(control, errno=getattr(error, "errno", None), of="program")
        return
    finally:
        for descriptor in (stdin, stdout, stderr):
            os.close(descriptor)
    supervisor.run()


class _Supervisor:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._wake, _ = _wake_on_child_end()
        self._pid = 0
        self._status: int | None = None
        self._abandoned = False

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
        _send(self._control, pid=self._pid, supervisor=os.getpid())

    def run(self) -> None:
        end_requested = False
        while not end_requested and self._status is None:
            end_requested = self._wait(None)
            self._reap()
        self._end()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        _send(
            self._control,
            status=self._status,
            cpu_seconds=used.ru_utime + used.ru_stime,
            peak_kilobytes=used.ru_maxrss,
            floor_kilobytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        )

    def _wait(self, seconds: float | None) -> bool:
        """Wait until something happens; say whether the run is to be ended."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if not self._abandoned:
            poll.register(self._control, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(None if seconds is None else seconds * 1000)}
        _drain(self._wake)
        if self._control.fileno() not in ready:
            return False
        try:
            self._abandoned = not self._control.recv(64)
        except OSError:
            self._abandoned = True
        return True

    def _reap(self) -> bool:
        """Take the status of every child that ended; say whether none is left, and so nothing of the run."""
        ended, is_childless = _reap_children()
        self._status = ended.get(self._pid, self._status)
        return is_childless

    def _end(self) -> None:
        """End all that is left: SIGTERM, a grace period, SIGKILL."""
        if self._reap():
            return
        # By groups, so that a shell does not outlive its child for a moment and report its end.
        for group in {stat.group for stat in descendants(_is_child).values()} - {os.getpgrp()}:
            _signal(-group, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while not self._abandoned and (left := deadline - time.monotonic()) > 0:
            self._wait(min(left, 0.1))
            if self._reap():
                return
        for _ in range(_ROUNDS):
            stop_and_kill(_is_child)
            self._wait(_PAUSE_SECONDS)
            if self._reap():
                return


def stop_and_kill(matches: Callable[[ProcessId, Stat], bool]) -> None:
    """Kill the processes that match and their descendants, and what they start meanwhile.

    They are stopped first, because a stopped process does not fork: even one that forks as fast as it is killed ends.
    """
    stopped: set[ProcessId] = set()
    for _ in range(_ROUNDS):
        found = descendants(matches)
        fresh = found.keys() - stopped
        if not fresh:
            break
        # A whole group at once: the kernel lets no fork through between two of its processes.
        for group in {found[process].group for process in fresh} - {os.getpgrp()}:
            _signal(-group, signal.SIGSTOP)
        for process in fresh:
            _signal(process.pid, signal.SIGSTOP)
        stopped |= fresh
    for process in descendants(matches):
        _signal(process.pid, signal.SIGKILL)


def serve(descriptor: int) -> None:
    """Run the fork server on a socket of type SOCK_SEQPACKET until the agent is gone."""
    requests = socket.socket(fileno=descriptor)
    become_subreaper()  # adopts what a run leaves that killed its supervisor
    _ignore_termination()
    wake, waker = _wake_on_child_end()
    poll = select.poll()
    poll.register(requests, select.POLLIN)
    poll.register(wake, select.POLLIN)
    supervisors: set[int] = set()
    gc.freeze()  # so that the collector touches, and the kernel copies, no page that all supervisors share
    while True:
        ready = {number for number, _ in poll.poll()}
        if wake in ready:
            _drain(wake)
            _reap_supervisors(supervisors)
        if requests.fileno() in ready:
            _, descriptors, _, _ = socket.recv_fds(requests, 16, DESCRIPTORS)
            for received in descriptors:
                os.set_inheritable(received, False)  # recv_fds does not pass MSG_CMSG_CLOEXEC on
            if len(descriptors) != DESCRIPTORS:
                return
            _fork(supervisors, descriptors, {descriptor, wake, waker})


def _fork(supervisors: set[int], descriptors: list[int], own: set[int]) -> None:
    control = socket.socket(fileno=descriptors[0])
    try:
        pid = os.fork()
    except OSError as error:  # the limit of processes
        _send(control, errno=error.errno, of="supervisor")
        print(f"codebuddy: a run could not be supervised: {error}", file=sys.stderr)
        pid = -1
    if pid == 0:
        _run_supervisor(control, descriptors[1:], own)
    if pid > 0:
        supervisors.add(pid)
    control.close()
    for descriptor in descriptors[1:]:
        os.close(descriptor)


def _run_supervisor(control: socket.socket, streams: list[int], inherited: set[int]) -> None:
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


def _reap_supervisors(supervisors: set[int]) -> None:
    """Reap children. When a supervisor was killed, kill what is left of its run."""
    ended, is_childless = _reap_children()
    killed = any(status != 0 for pid, status in ended.items() if pid in supervisors)
    supervisors.difference_update(ended)
    if killed and not is_childless:
        stop_and_kill(lambda process, stat: _is_child(process, stat) and process.pid not in supervisors)


def _ignore_termination() -> None:
    for number in _TERMINATION_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _wake_on_child_end() -> tuple[int, int]:
    """Make a pipe into which the end of a child writes; give its reading and its writing end."""
    wake, waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    return wake, waker


def _drain(wake: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.read(wake, 4096)


def _reap_children() -> tuple[dict[int, int], bool]:
    """Return the status of every child that has ended, and whether no child is left."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended, True
        if pid == 0:
            return ended, False
        ended[pid] = status


def _is_child(_process: ProcessId, stat: Stat) -> bool:
    return stat.parent == os.getpid()


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _swap_oom_score(score: str | None) -> str | None:
    """Set the OOM score of this process, and give what it was; None where it cannot be set."""
    try:
        with open(_OOM_FILE, "r+") as file:
            before = file.read().strip()
            if score is not None:
                file.write(score)
        return before
    except OSError:
        return None
