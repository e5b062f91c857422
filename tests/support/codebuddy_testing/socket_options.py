"""Options of the sockets that this process has open."""

from __future__ import annotations

import os
import socket


def no_delay(port: int) -> list[bool]:
    """Return TCP_NODELAY of each connected socket of this process with the port at either end."""
    return [bool(value) for value in option_of_each(port, socket.IPPROTO_TCP, socket.TCP_NODELAY)]


def option_of_each(port: int, level: int, option: int) -> list[int]:
    """Return an option of each connected socket of this process with the port at either end."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(name))) as one:
                if one.family == socket.AF_INET and port in (one.getsockname()[1], one.getpeername()[1]):
                    found.append(one.getsockopt(level, option))
        except OSError:
            continue  # closed meanwhile, or not connected
    return found
