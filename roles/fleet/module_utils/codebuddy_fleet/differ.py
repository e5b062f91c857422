"""Computes the changes that make the engine hold exactly the plan: a pure function of the plan and of what was found.

The comparison is strict: what the plan does not contain is removed. A container differs if any setting that the engine
reports differs (which finds settings that were changed by hand), or the hash of its specification on its label (which
finds changes that the engine does not report, such as the content of a configuration file).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from typing import Any

from .engine_responses import ObservedContainer
from .plan import Container, File, Network, Plan, Volume, shown, spec_hash

_MISSING = object()


@dataclass(frozen=True)
class EngineLimits:
    """The limits that this engine can enforce; a kernel without swap accounting, for example, cannot limit swap."""

    memory: bool = True
    swap: bool = True
    cpu: bool = True
    pids: bool = True


@dataclass(frozen=True)
class Observed:
    """What was found: the objects with this fleet's label, and others that could conflict with the plan."""

    networks: dict[str, tuple[Network, str]] = field(default_factory=dict)  # name -> (network, hash on its label)
    volumes: dict[str, Volume] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)
    containers: dict[str, ObservedContainer] = field(default_factory=dict)
    foreign_attachments: dict[str, list[str]] = field(default_factory=dict)  # fleet's network -> other containers on it
    foreign_containers: frozenset[str] = frozenset()
    foreign_networks: dict[str, list[str]] = field(default_factory=dict)  # name -> subnets
    foreign_volumes: frozenset[str] = frozenset()
    limits: EngineLimits = EngineLimits()


@dataclass(frozen=True)
class Change:
    """One change.

    ``action`` is one of create, recreate, start, unpause, remove (containers), create, recreate, remove, disconnect
    (networks), create, remove (volumes), write, remove (files). ``before`` and ``after`` contain what differs.
    """

    kind: str
    name: str
    action: str
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


def changes(plan: Plan, observed: Observed, *, purge: bool = False) -> list[Change]:
    """Return the changes, in the order networks, volumes, files, containers.

    Args:
        plan: the desired state; an empty plan removes the fleet.
        observed: the current state.
        purge: remove the volumes too that the plan does not contain.
    """
    networks = list(_network_changes(plan, observed))
    files = list(_file_changes(plan, observed))
    changed = {f"network {c.name}" for c in networks if c.action == "recreate"}
    changed |= {f"file {c.name}" for c in files if c.action == "write"}
    containers = list(_container_changes(plan, observed, changed))
    return networks + list(_volume_changes(plan, observed, purge)) + files + containers


def _network_changes(plan: Plan, observed: Observed) -> Iterator[Change]:
    for name, network in plan.networks.items():
        after = {**shown(network), "spec": spec_hash(network)}
        if name not in observed.networks:
            yield Change("network", name, "create", after=after)
            continue
        found, spec = observed.networks[name]
        before, after = delta({**shown(found), "spec": spec}, after)
        if before or after:
            yield Change("network", name, "recreate", before, after)
    for name, (found, _) in sorted(observed.networks.items()):
        if name not in plan.networks:
            yield Change("network", name, "remove", before=shown(found))
    for name, others in observed.foreign_attachments.items():
        yield Change("network", name, "disconnect", {"other_containers": others}, {"other_containers": []})


def _volume_changes(plan: Plan, observed: Observed, purge: bool) -> Iterator[Change]:
    for name, volume in plan.volumes.items():
        if name not in observed.volumes:
            yield Change("volume", name, "create", after=shown(volume))
    for name, found in sorted(observed.volumes.items()):
        if purge and name not in plan.volumes:
            yield Change("volume", name, "remove", before=shown(found))


def _file_changes(plan: Plan, observed: Observed) -> Iterator[Change]:
    for path, file in plan.files.items():
        found = observed.files.get(path)
        if found is None:
            yield Change("file", path, "write", after=shown(file))
        elif found != file:
            yield Change("file", path, "write", *delta(shown(found), shown(file)))
    for path, found in sorted(observed.files.items()):
        if path not in plan.files:
            yield Change("file", path, "remove", before=shown(found))


def _container_changes(plan: Plan, observed: Observed, changed: set[str]) -> Iterator[Change]:
    for name, container in plan.containers.items():
        found = observed.containers.get(name)
        if found is None:
            yield Change("container", name, "create", after={**shown(container), "spec": spec_hash(container)})
            continue
        before, after = _differences(container, found, observed.limits)
        # A container keeps the network, and the inode of a single mounted file, that it was started with.
        dependencies = {f"network {net}" for net in container.networks} | {f"file {path}" for path in container.files}
        if because := sorted(dependencies & changed):
            after["renewed_because_of"] = because
        if before or after:
            yield Change("container", name, "recreate", before, after)
        elif action := {"created": "start", "exited": "start", "paused": "unpause"}.get(found.state):
            yield Change("container", name, action, {"state": found.state}, {"state": "running"})
        elif found.state in ("dead", "removing"):
            yield Change("container", name, "recreate", {"state": found.state}, {"state": "running"})
    for name, found in sorted(observed.containers.items()):
        if name not in plan.containers:
            yield Change("container", name, "remove", before=_comparable(found.own))


def _differences(
    container: Container, found: ObservedContainer, limits: EngineLimits
) -> tuple[dict[str, Any], dict[str, Any]]:
    own = found.own
    # An engine may be configured to set further limits on every container; these are ignored.
    own = replace(own, ulimits={name: own.ulimits[name] for name in container.ulimits.keys() & own.ulimits.keys()})
    wanted = found.image_defaults.removed_from(container)
    wanted = replace(
        wanted,
        memory=wanted.memory if limits.memory else own.memory,
        memory_swap=wanted.memory_swap if limits.memory and limits.swap else own.memory_swap,
        cpus=wanted.cpus if limits.cpu else own.cpus,
        pids=wanted.pids if limits.pids else own.pids,
    )
    return delta({**_comparable(own), "spec": found.spec}, {**_comparable(wanted), "spec": spec_hash(container)})


def _comparable(container: Container) -> dict[str, Any]:
    data = shown(container)
    del data["files"]  # unknown to the engine: compared as files, and through the hash of the specification
    return data


def delta(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return only what differs of two nested dicts."""
    left: dict[str, Any] = {}
    right: dict[str, Any] = {}
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key, _MISSING), after.get(key, _MISSING)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            old, new = delta(old, new)
        if old is not _MISSING:
            left[key] = old
        if new is not _MISSING:
            right[key] = new
    return left, right


def conflicts(plan: Plan, observed: Observed) -> list[str]:
    """Return one sentence for each object of the engine that conflicts with the plan and belongs to others."""
    problems = [
        f"A container named {name} exists that does not belong to fleet {plan.fleet}: rename or remove it, "
        "or set another codebuddy_fleet_name."
        for name in plan.containers
        if name in observed.foreign_containers
    ]
    problems += [
        f"A volume named {name} exists that does not belong to fleet {plan.fleet}: remove it, "
        "or set another codebuddy_fleet_name."
        for name in plan.volumes
        if name in observed.foreign_volumes
    ]
    for name, volume in plan.volumes.items():
        found = observed.volumes.get(name)
        if found is not None and (found.driver, found.options) != (volume.driver, volume.options):
            problems.append(
                f"Volume {name} has another driver or other options than declared: save its content and remove it."
            )
    return problems + _network_conflicts(plan, observed)


def _network_conflicts(plan: Plan, observed: Observed) -> list[str]:
    problems = []
    wanted = {network.name: ip_network(network.subnet) for network in plan.networks.values()}
    for name, subnets in observed.foreign_networks.items():
        if name in wanted:
            problems.append(
                f"A network named {name} exists that does not belong to fleet {plan.fleet}: remove it, "
                "or set another codebuddy_fleet_name."
            )
            continue
        taken = [ip_network(subnet, strict=False) for subnet in subnets]
        if any(mine.version == other.version and mine.overlaps(other) for mine in wanted.values() for other in taken):
            problems.append(
                f"Network {name} of this engine ({', '.join(subnets)}) uses addresses of this fleet: "
                "set codebuddy_address_pool to a range that is free, like 10.214.0.0/16."
            )
    return problems
