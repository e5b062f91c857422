"""The deployed test fleet (molecule/inventory.yml): its engine, endpoint and files.

CODEBUDDY_TEST_FLEET, CODEBUDDY_TEST_PORT and CODEBUDDY_TEST_DIR select another fleet.
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

ROOT = Path(__file__).parents[3]
SPOKE_PYTHON = "/opt/codebuddy/bin/python"
PROJECTS = {"project-a": "typescript-app", "project-b": "python-service", "project-c": "rust-cli"}
PROXIES = {project: f"{project}.egress" for project in ("project-b", "project-c")}  # the projects with an egress


def host_addresses() -> set[str]:
    """Return all IPv4 addresses of this host, from the kernel's routing table."""
    trie = Path("/proc/net/fib_trie").read_text()
    return set(re.findall(r"\|-- ([0-9.]+)\n\s+/32 host LOCAL", trie))


@dataclass(frozen=True)
class Finished:
    """A command that ran in a container: its exit code, and its output and errors together."""

    code: int
    output: str


@dataclass(frozen=True)
class Deployment:
    """A running fleet.

    Args:
        name: the fleet's name; the names of its containers begin with it.
        port: the client endpoint's port on 127.0.0.1.
        directory: the host's directory with the fleet's state and projects.
    """

    name: str = field(default_factory=lambda: os.environ.get("CODEBUDDY_TEST_FLEET", "cbtest"))
    port: int = field(default_factory=lambda: int(os.environ.get("CODEBUDDY_TEST_PORT", "3900")))
    directory: Path = field(
        default_factory=lambda: Path(os.environ.get("CODEBUDDY_TEST_DIR", "~/.cache/codebuddy-test")).expanduser()
    )

    @property
    def projects(self) -> list[str]:
        """The ids of the projects."""
        return sorted(PROJECTS)

    @property
    def state(self) -> Path:
        """The fleet's state directory."""
        return self.directory / "state"

    def path(self, project: str) -> Path:
        """Return a project's directory on the host."""
        return self.directory / "projects" / PROJECTS.get(project, project)

    @cached_property
    def engine(self) -> docker.DockerClient:
        """The container engine that the fleet runs on."""
        return docker.DockerClient(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"), version="auto")

    @cached_property
    def inspected(self) -> dict[str, dict[str, Any]]:
        """The engine's description of each container, by ``hub``, project id or proxy name; read once."""
        found = self.engine.containers.list(all=True, filters={"label": f"codebuddy.fleet={self.name}"})
        return {container.name.removeprefix(f"{self.name}-"): container.attrs for container in found if container.name}

    def container(self, part: str) -> Container:
        """Return the container of the hub, a project or a proxy, with its present state."""
        return self.engine.containers.get(f"{self.name}-{part}")

    def started_at(self, part: str) -> str:
        """Return when a container was last started."""
        return str(self.container(part).attrs["State"]["StartedAt"])

    def address(self, part: str, network: str) -> str:
        """Return a container's IPv4 address on one of the fleet's networks."""
        networks = self.inspected[part]["NetworkSettings"]["Networks"]
        return str(networks[f"{self.name}-{network}"]["IPAddress"])

    def run(self, part: str, *command: str, text: bytes | None = None) -> Finished:
        """Run a command in a container, as the container's user; ``text`` is its standard input."""
        # Not with the Python client: on a busy machine it loses a short output that the engine sends in one piece with
        # the head of its response (docker/docker-py 2042).
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
        """Sign a token with the fleet's key; it is for all projects if none is named."""
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
        """Send a GET request to the client endpoint."""
        session = requests.Session()
        session.trust_env = False  # the host reaches itself without a proxy
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **options.pop("headers", {})}
        return session.get(f"http://127.0.0.1:{self.port}{path}", headers=headers, timeout=10, **options)

    def health(self) -> dict[str, Any]:
        """Return the health document with its details; its status is ``down`` if nobody answers."""
        try:
            return dict(self.get("/health", self.token()).json())
        except OSError:
            return {"status": "down", "projects": {}}

    def is_healthy(self) -> bool:
        """Say whether the hub and every project are ready."""
        return bool(self.health()["status"] == "ok")

    def make(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a target of the Makefile on this fleet."""
        return subprocess.run(
            ["make", *arguments, "INVENTORY=molecule/inventory.yml"],
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
