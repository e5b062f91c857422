"""Turns what the engine says into a sentence that names the thing to change."""

from __future__ import annotations

import re

__all__ = ["explain", "port_taken"]


def port_taken(number: str = "") -> str:
    """Say that a port is taken, and what to do."""
    which = f"its port {number}" if number else "its port"
    return f"{which} is taken by another program on this machine: set codebuddy_port to a free one"


# In this order: the engine says "address already in use" both for a taken port and for a taken address of a network.
_KNOWN: tuple[tuple[str, str], ...] = (
    (
        r"[Pp]ool overlaps|overlapping IPv4|conflicts with network",
        "its addresses overlap with those of another network on this machine: "
        "set codebuddy_address_pool to a range that is free, like 10.214.0.0/16",
    ),
    (
        r"port is already allocated|ports are not available|bind: address already in use|exposing port|listen tcp",
        port_taken(),
    ),
    (
        r"^Address already in use",
        "its address is taken by another container on its network: remove that one, then try again",
    ),
    (
        r"bind source path does not exist: (?P<what>.*)",
        "the directory {what} does not exist on the engine's host: create it",
    ),
    (r"No such image: (?P<what>\S+)", "the image {what} is not there: build it first (the images role does)"),
    (r"container name .* is already in use", "another container has this name: rename or remove that one"),
    (r"[Mm]inimum memory limit", "its memory limit is below what the engine allows: declare more memory"),
    (r"setting rlimit", "the engine may not set the limit of open files: start it with a hard limit of at least 16384"),
    (
        r"disable_ipv6",
        "the kernel has no switch for IPv6: boot it without ipv6.disable=1 (IPv6 is turned off for each container)",
    ),
    (
        r"executable file not found|no such file or directory: unknown",
        "its image lacks a program that it is to run: {text}",
    ),
)


def explain(subject: str, text: str) -> str:
    """One sentence about a failure.

    Args:
        subject: what failed, such as "Network codebuddy-project-a".
        text: what the engine said.
    """
    for pattern, sentence in _KNOWN:
        if match := re.search(pattern, text):
            return f"{subject}: {sentence.format(text=text, **match.groupdict())}."
    return f"{subject}: the engine says: {text.strip()}."
