"""The fleet that the scenarios deployed (molecule/inventory.yml), as tests reach it: its engine, endpoint and files.

CODEBUDDY_TEST_FLEET, CODEBUDDY_TEST_PORT and CODEBUDDY_TEST_DIR name another one.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
import uuid
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import docker
import requests
from ansible.module_utils.codebuddy_tokens import load_private_key, request_from, sign
from docker.models.containers import Container

__all__ = ["PROJECTS", "PROXIES", "ROOT", "SPOKE_PYTHON", "Deployment", "Finished", "host_addresses"]

ROOT = Path(__file__).parents[3]
SPOKE_PYTHON = "/opt/codebuddy/bin/python"
PROJECTS = {"project-a": "typescript-app", "project-b": "python-service", "project-c": "rust-cli"}
PROXIES = {project: f"{project}.egress" for project in ("project-b", "project-c")}  # of those that reach out


def host_addresses() -> set[str]:
    """Give all IPv4 addresses of this host, as the kernel's routing table has them."""
    trie = Path("/proc/net/fib_trie").read_text()
    return set(re.findall(r"\|-- ([0-9.]+)\n\s+/32 host LOCAL", trie))


@dataclass(frozen=True)
class Finished:
    """A command that ran in a container: its exit code and what it wrote."""

    code: int
    output: str


@dataclass(frozen=True)
class Deployment:
    """A running fleet.

    Args:
        name: the fleet's name, with which the names of its containers begin.
        port: of the client endpoint on 127.0.0.1.
        directory: what holds its state and its projects on the host.
    """

    name: str = field(default_factory=lambda: os.environ.get("CODEBUDDY_TEST_FLEET", "cbtest"))
    port: int = field(default_factory=lambda: int(os.environ.get("CODEBUDDY_TEST_PORT", "3900")))
    directory: Path = field(
        default_factory=lambda: Path(os.environ.get("CODEBUDDY_TEST_DIR", "~/.cache/codebuddy-test")).expanduser()
    )

    @property
    def projects(self) -> list[str]:
        """The ids of its projects."""
        return sorted(PROJECTS)

    @property
    def state(self) -> Path:
        """Its state directory."""
        return self.directory / "state"

    def path(self, project: str) -> Path:
        """Give a project's directory on the host."""
        return self.directory / "projects" / PROJECTS.get(project, project)

    @cached_property
    def engine(self) -> docker.DockerClient:
        """The engine that it runs on."""
        return docker.DockerClient(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"), version="auto")

    @cached_property
    def inspected(self) -> dict[str, dict[str, Any]]:
        """What the engine says of each of its containers, by ``hub``, project id or name of a proxy; read once."""
        found = self.engine.containers.list(all=True, filters={"label": f"codebuddy.fleet={self.name}"})
        return {container.name.removeprefix(f"{self.name}-"): container.attrs for container in found if container.name}

    def container(self, part: str) -> Container:
        """Give the container of ``hub``, of a project or of a proxy."""
        return self.engine.containers.get(f"{self.name}-{part}")

    def run(self, part: str, *command: str, text: bytes | None = None) -> Finished:
        """Run a command in a container as all that runs there does; the text is its standard input."""
        # Not with the Python client: on a busy machine it loses all of a short output, which the engine sends together
        # with the head of its answer (docker/docker-py 2042).
        options = () if text is None else ("-i",)
        arguments = ["docker", "exec", *options, f"{self.name}-{part}", *command]
        done = subprocess.run(arguments, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return Finished(done.returncode, done.stdout.decode(errors="replace"))

    def python(self, part: str, program: str, *arguments: str) -> Finished:
        """Run a Python program in a container."""
        return self.run(part, SPOKE_PYTHON, "-c", program, *arguments)

    def token(
        self, *projects: str, scopes: tuple[str, ...] = ("read", "write", "run"), audience: str = "codebuddy:client"
    ) -> str:
        """Sign a token with the fleet's key; without projects, for all."""
        values = {
            "audience": audience,
            "subject": "test",
            "projects": projects or ("*",),
            "scopes": scopes,
            "ttl": "1h",
        }
        key = load_private_key((self.state / "keys/signing.key").read_bytes(), "keys/signing.key")
        return str(sign(request_from(values, f"codebuddy:{self.name}"), key, int(time.time()), uuid.uuid4().hex))

    def get(self, path: str, token: str | None = None, **options: Any) -> requests.Response:
        """Ask the client endpoint over HTTP."""
        session = requests.Session()
        session.trust_env = False  # no proxy stands between the host and itself
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **options.pop("headers", {})}
        return session.get(f"http://127.0.0.1:{self.port}{path}", headers=headers, timeout=10, **options)

    def make(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one of the project's commands on this fleet."""
        return subprocess.run(
            ["make", *arguments, "INVENTORY=molecule/inventory.yml"],
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
