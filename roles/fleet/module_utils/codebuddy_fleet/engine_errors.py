"""Turns error messages of the engine into sentences that say what to change."""

from __future__ import annotations

import re

from .text_safety import one_line


def port_taken(number: str = "") -> str:
    """Return the end of a sentence about a taken port."""
    which = f"its port {number}" if number else "its port"
    return f"{which} is taken by another program on this machine: set codebuddy_port to a free one"


# The order matters: "address already in use" means a taken port, or a taken address of a network.
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
        "its image lacks a program that it has to run: {text}",
    ),
)


def explain(subject: str, text: str) -> str:
    """Return a sentence about an error message, for a subject such as "Network codebuddy-project-a"."""
    text = one_line(text.strip())
    for pattern, sentence in _KNOWN:
        if match := re.search(pattern, text):
            return f"{subject}: {sentence.format(text=text, **match.groupdict())}."
    return f"{subject}: the engine says: {text}."
