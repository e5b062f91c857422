"""The plan of a fleet: pure data, in one schema for what is declared and for what is found on an engine.

Every field contains only JSON types, so that a plan can be stored as a generation, compared, hashed and shown.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FLEET_LABEL = "codebuddy.fleet"
PROJECT_LABEL = "codebuddy.project"
SPEC_LABEL = "codebuddy.spec"


@dataclass(frozen=True, kw_only=True)
class Network:
    """A bridge network: the hub's front network, a sealed one of a spoke, or a proxy's way out."""

    name: str
    project: str  # "" for the hub's front network
    subnet: str
    gateway: str
    driver: str
    internal: bool
    ipv6: bool
    options: dict[str, str]
    labels: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Volume:
    """The cache volume of a spoke (its HOME)."""

    name: str
    project: str
    driver: str
    options: dict[str, str]
    labels: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class File:
    """A configuration file on the host, which containers mount read-only."""

    path: str
    content: str
    mode: str  # octal, such as "0640"; its directory has the same with search permission
    uid: int
    gid: int


ENGINES_SHM_SIZE = 64 * 2**20
"""The engine's default for /dev/shm, in bytes."""


@dataclass(frozen=True, kw_only=True)
class Container:
    """A container as the engine is asked to create it."""

    name: str
    project: str  # "" for the hub
    image: str
    entrypoint: list[str]
    command: list[str]
    user: str
    hostname: str
    working_dir: str
    environment: dict[str, str]
    labels: dict[str, str]  # without the label with the hash of this specification
    mounts: dict[str, dict[str, Any]]  # target -> {type, source, read_only}
    tmpfs: dict[str, str]  # target -> mount options
    networks: dict[str, dict[str, Any]]  # name -> {address, aliases}; the container's own network has its own name
    ports: dict[str, str]  # "3000/tcp" -> "127.0.0.1:3000"
    extra_hosts: list[str]
    dns: list[str]
    memory: int  # bytes
    memory_swap: int  # bytes, memory and swap together
    cpus: float
    pids: int
    shm_size: int = ENGINES_SHM_SIZE  # bytes of /dev/shm
    ulimits: dict[str, list[int]]  # name -> [soft, hard]
    cap_drop: list[str]
    security_options: list[str]
    read_only: bool
    init: bool
    ipc: str
    cgroup_namespace: str
    sysctls: dict[str, str]
    restart: str
    log_driver: str
    log_options: dict[str, str]
    health_check: dict[str, Any]  # {command, interval, timeout, start_period (seconds), retries}
    stop_signal: str
    stop_timeout: int  # seconds
    files: dict[str, str] = field(default_factory=dict)  # host path -> SHA-256 of its content
    # Settings that no plan contains, by their name in the engine's API: found on containers that were changed by hand.
    foreign_settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A whole fleet, keyed by name (files by path), in the order of creation."""

    fleet: str
    networks: dict[str, Network] = field(default_factory=dict)
    volumes: dict[str, Volume] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)
    containers: dict[str, Container] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as JSON types; networks and containers with the hash of their specification."""
        return {
            "fleet": self.fleet,
            "networks": {name: {**shown(item), "spec": spec_hash(item)} for name, item in self.networks.items()},
            "volumes": {name: shown(item) for name, item in self.volumes.items()},
            "files": {path: shown(item) for path, item in self.files.items()},
            "containers": {name: {**shown(item), "spec": spec_hash(item)} for name, item in self.containers.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Plan:
        """Read what :meth:`as_dict` returned."""

        def load(kind: Any, items: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
            return {key: kind(**{k: v for k, v in item.items() if k != "spec"}) for key, item in items.items()}

        return cls(
            fleet=data["fleet"],
            networks=load(Network, data["networks"]),
            volumes=load(Volume, data["volumes"]),
            files=load(File, data["files"]),
            containers=load(Container, data["containers"]),
        )


def shown(item: Network | Volume | File | Container) -> dict[str, Any]:
    """Return the fields by name. The values are shared with the item and must not be changed."""
    return dict(vars(item))


def canonical(value: Any) -> str:
    """Return JSON in one canonical form: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def spec_hash(item: Network | Volume | Container) -> str:
    """Return the SHA-256 (hex) of the canonical specification.

    The size of /dev/shm is a part of it only where it is not the engine's own: so no other container is recreated.
    """
    values = {name: value for name, value in vars(item).items() if (name, value) != ("shm_size", ENGINES_SHM_SIZE)}
    return hashlib.sha256(canonical(values).encode()).hexdigest()
