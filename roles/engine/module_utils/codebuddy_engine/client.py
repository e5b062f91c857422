"""Connects to Docker engines, for all roles, and tells whether an engine answers at an address."""

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

#: The oldest API version that CodeBuddy supports (Engine 20.10).
OLDEST_API = (1, 41)
LOCAL_SOCKETS = ("unix:///var/run/docker.sock", "unix:///run/docker.sock")
UNIX = "unix://"
POOL_SIZE = 16  # connections that are kept; roles use a client from up to 8 threads


@dataclass(frozen=True)
class Answer:
    """The answer of an engine, or the lack of one (then ``version`` is None)."""

    docker_host: str
    version: str | None = None
    api_version: str | None = None  # the newest that it offers
    forbidden: bool = False  # there is an engine, but this user may not use it

    def __bool__(self) -> bool:
        """Whether the engine answers."""
        return self.version is not None


def connect(docker_host: str, timeout: int = 60) -> APIClient:
    """Return a client that speaks the newest API version that both sides know.

    Args:
        docker_host: the engine's address, as in ``DOCKER_HOST``.
        timeout: seconds without any data from the engine after which a request fails.

    Raises:
        DockerException, RequestException: the engine does not answer.
    """
    tls = kwargs_from_env().get("tls", False)  # DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, for an engine over TCP
    return APIClient(base_url=docker_host, version="auto", timeout=timeout, max_pool_size=POOL_SIZE, tls=tls)


def is_supported(api_version: str) -> bool:
    """Whether this version of the API is new enough."""
    return tuple(int(part) for part in api_version.split(".")) >= OLDEST_API


def socket_path(docker_host: str) -> str | None:
    """Return the path of a local engine's socket, None for an engine on another host."""
    path = docker_host.removeprefix(UNIX)
    return path if path != docker_host and os.path.isabs(path) else None


def ask(docker_host: str, timeout: int = 5) -> Answer:
    """Ask an engine for its version."""
    try:
        with connect(docker_host, timeout) as client:
            versions = client.version()
    except (DockerException, RequestException):
        path = socket_path(docker_host)
        forbidden = path is not None and os.path.exists(path) and not os.access(path, os.R_OK | os.W_OK)
        return Answer(docker_host, forbidden=forbidden)
    return Answer(docker_host, str(versions["Version"]), str(versions["ApiVersion"]))


def find_other(docker_host: str) -> Answer | None:
    """Find an engine at another usual address: that of the CLI's context, a rootless one, Docker Desktop's."""
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
    """Whether an engine that is installed on this machine listens at this address."""
    return docker_host in LOCAL_SOCKETS
