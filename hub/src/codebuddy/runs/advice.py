"""What to do about a run that could not be started, or that shows in its words that it lacked the network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

__all__ = ["network_advice", "start_advice"]

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
