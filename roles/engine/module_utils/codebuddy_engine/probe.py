"""Asks engines whether they are there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from docker import APIClient
from docker.context import ContextAPI
from docker.errors import DockerException
from docker.utils import kwargs_from_env
from requests.exceptions import RequestException

__all__ = ["Answer", "ask", "find_other", "is_local_default", "is_supported"]

#: Oldest version of the engine's interface that the fleet is built for (Engine 20.10).
OLDEST_API = (1, 41)
LOCAL_SOCKETS = ("unix:///var/run/docker.sock", "unix:///run/docker.sock")
UNIX = "unix://"


@dataclass(frozen=True)
class Answer:
    """What an engine says of itself, or why there is no answer.

    Args:
        docker_host: its address.
        version: of the engine; None when it does not answer.
        api_version: newest version of its interface that it offers.
        forbidden: whether it is there but does not talk to this user.
    """

    docker_host: str
    version: str | None = None
    api_version: str | None = None
    forbidden: bool = False

    def __bool__(self) -> bool:
        """Say whether it answers."""
        return self.version is not None


def ask(docker_host: str, timeout: int = 5) -> Answer:
    """Ask the engine at an address for its version.

    Args:
        docker_host: its address, as in ``DOCKER_HOST``.
        timeout: seconds to wait.
    """
    try:
        tls = kwargs_from_env().get("tls", False)
        with APIClient(base_url=docker_host, version="auto", timeout=timeout, tls=tls) as client:
            said = client.version()
    except (DockerException, RequestException):
        return Answer(docker_host, forbidden=_is_forbidden(docker_host))
    return Answer(docker_host, str(said["Version"]), str(said["ApiVersion"]))


def _is_forbidden(docker_host: str) -> bool:
    path = docker_host.removeprefix(UNIX)
    return docker_host.startswith(UNIX) and os.path.exists(path) and not os.access(path, os.R_OK | os.W_OK)


def find_other(docker_host: str) -> Answer | None:
    """Find an engine at another address: that of the CLI's context, a rootless one, Docker Desktop's."""
    for address in _usual_addresses():
        if address != docker_host and (answer := ask(address)):
            return answer
    return None


def _usual_addresses() -> Iterator[str]:
    try:
        context = ContextAPI.get_current_context()
    except (DockerException, OSError, ValueError):
        context = None
    if context is not None and context.Host:
        yield str(context.Host)
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    home = Path.home()
    for socket in (runtime / "docker.sock", home / ".docker/desktop/docker.sock", home / ".docker/run/docker.sock"):
        if socket.exists():
            yield f"{UNIX}{socket}"


def is_local_default(docker_host: str) -> bool:
    """Say whether this is the address at which an engine that is installed here will listen."""
    return docker_host in LOCAL_SOCKETS


def is_supported(api_version: str) -> bool:
    """Say whether an engine with this version of the interface is new enough."""
    return tuple(int(part) for part in api_version.split(".")) >= OLDEST_API
