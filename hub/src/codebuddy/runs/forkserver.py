"""Forks a supervisor for each run: a small process, so that a run costs a fork of it and no start of Python.

It is started once by the agent (see :mod:`codebuddy.runs.forks`), and gets on a socket, with each message, the
descriptors of one run: control socket, standard input, output and error. When the socket closes, it ends.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
import traceback
from typing import Final

from codebuddy.process_tree import ProcessId, Stat, become_subreaper
from codebuddy.runs.supervisor import end_strays, fail, supervise

__all__ = ["DESCRIPTORS", "serve"]

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
