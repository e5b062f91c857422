"""Why a run failed, where its words show that it wanted the network and the project has none."""

from __future__ import annotations

from typing import Final

__all__ = ["network_advice"]

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
    "ECONNREFUSED 127.0.0.1:53",
    "failed to lookup address information",
    "dial tcp: lookup",
    "module lookup disabled by GOPROXY=off",
    "but --offline was specified",
    "but the --offline flag was specified",
    "you may need to run without --offline",
    "NewConnectionError",
)


def network_advice(output: str, egress: str, project: str) -> str | None:
    """Give a sentence when a run's output shows that it lacked the network.

    Args:
        output: what a run that failed printed.
        egress: what the project declares.
        project: its id.
    """
    if egress != "none" or not any(words in output for words in _NO_NETWORK):
        return None
    return (
        f"It wanted the network, and egress is none for {project}: put what it needs into the project's directory or "
        'its image; see docs/projects.md, "Installing packages".'
    )
