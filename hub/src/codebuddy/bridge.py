"""``codebuddy start``: connects standard input and output to the hub's local socket.

It runs in the hub's container, where anyone who may start it is trusted already. It has to reach the links that the
serving process holds, so it copies bytes to that process and knows nothing of MCP. It imports only the standard
library: a client that launches it waits for Python's own start and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from pathlib import Path

HUB_SOCKET = Path("/run/codebuddy/hub.sock")
"""The hub's local socket, in its container; only the hub's own user can open it."""

LEAN_SOCKET = HUB_SOCKET.with_name("hub-lean.sock")
"""The same for a client that is offered the profile ``lean`` of the tools."""


def bridge_stdio(socket_path: Path = HUB_SOCKET) -> int:
    """Copy bytes between standard input and output and the hub's socket until the hub closes it.

    Returns:
        The exit status: 0, or 1 with a sentence on standard error when the hub does not answer.
    """
    # A socket would take the number of a standard stream that is closed, and the hub would talk to itself.
    if not _is_open(0):
        return 0  # there is nothing to send
    if not _is_open(1):
        print("codebuddy start: standard output is closed; start it with both streams open.", file=sys.stderr)
        return 1
    with socket.socket(socket.AF_UNIX) as hub:
        try:
            hub.connect(str(socket_path))
        except OSError as error:
            print(f"codebuddy start: the hub does not answer on {socket_path} ({error.strerror}).", file=sys.stderr)
            return 1
        # A daemon, so that a blocked read of standard input does not keep the process alive when the hub ends first.
        threading.Thread(target=_send_input, args=(hub,), daemon=True).start()
        while chunk := hub.recv(65536):
            view = memoryview(chunk)
            while view:
                view = view[os.write(1, view) :]
    return 0


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _send_input(hub: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the hub closed its end, or standard input is gone
        while chunk := os.read(0, 65536):
            hub.sendall(chunk)
    with contextlib.suppress(OSError):
        hub.shutdown(socket.SHUT_WR)  # the hub still sends the answers that are under way, then closes
