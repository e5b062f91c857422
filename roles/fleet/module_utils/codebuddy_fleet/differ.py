"""What must change for the engine to hold exactly the plan: a pure function of the plan and of what was found.

The comparison is strict: whatever the plan does not have, goes. Two kinds of evidence count for a container: every
setting as the engine tells it now (so that a setting changed by hand is seen), and the hash of the specification on its
label (so that a change is seen that the engine does not tell, such as the content of a configuration file).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from typing import Any

from .observe import ObservedContainer
from .plan import Container, File, Network, Plan, Volume, shown, spec_hash

__all__ = ["Change", "EngineLimits", "Observed", "changes", "conflicts", "rendered_diff"]

_MISSING = object()


@dataclass(frozen=True)
class EngineLimits:
    """Which limits this engine can hold (a kernel without swap accounting cannot hold the one of swap, for example)."""

    memory: bool = True
    swap: bool = True
    cpu: bool = True
    pids: bool = True


@dataclass(frozen=True)
class Observed:
    """What was found: things with this fleet's label, and what else could be in the way."""

    networks: dict[str, tuple[Network, str]] = field(default_factory=dict)  # name -> (network, hash on its label)
    volumes: dict[str, Volume] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)
    containers: dict[str, ObservedContainer] = field(default_factory=dict)
    visitors: dict[str, list[str]] = field(default_factory=dict)  # fleet's network -> other containers that are on it
    foreign_containers: frozenset[str] = frozenset()
    foreign_networks: dict[str, list[str]] = field(default_factory=dict)  # name -> subnets
    foreign_volumes: frozenset[str] = frozenset()
    limits: EngineLimits = EngineLimits()


@dataclass(frozen=True)
class Change:
    """One thing to do.

    ``action`` is one of create, recreate, start, unpause, remove (containers), create, recreate, remove, disconnect
    (networks), create, remove (volumes), write, remove (files). ``before`` and ``after`` hold what differs.
    """

    kind: str
    name: str
    action: str
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


def changes(plan: Plan, observed: Observed, *, purge: bool = False) -> list[Change]:
    """Everything to do, in the order networks, volumes, files, containers; empty when nothing differs.

    Args:
        plan: what is to be there; an empty plan removes the fleet.
        observed: what is there.
        purge: remove volumes too that the plan does not have.
    """
    networks = list(_network_changes(plan, observed))
    files = list(_file_changes(plan, observed))
    renewed = {f"network {c.name}" for c in networks if c.action == "recreate"}
    renewed |= {f"file {c.name}" for c in files if c.action == "write"}
    containers = list(_container_changes(plan, observed, renewed))
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
    for name, visitors in observed.visitors.items():
        yield Change("network", name, "disconnect", {"other_containers": visitors}, {"other_containers": []})


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


def _container_changes(plan: Plan, observed: Observed, renewed: set[str]) -> Iterator[Change]:
    for name, container in plan.containers.items():
        found = observed.containers.get(name)
        if found is None:
            yield Change("container", name, "create", after={**shown(container), "spec": spec_hash(container)})
            continue
        before, after = _differences(container, found, observed.limits)
        # A container holds on to the network and the inode of a single file that it was started with.
        parts = {f"network {net}" for net in container.networks} | {f"file {path}" for path in container.files}
        if because := sorted(parts & renewed):
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
    # An engine may be told to give every container more limits of its own; those are its business.
    own = replace(own, ulimits={name: own.ulimits[name] for name in container.ulimits.keys() & own.ulimits.keys()})
    wanted = found.image_defaults.taken_off(container)
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
    del data["files"]  # the engine knows nothing of them: the hash of the specification and the files themselves tell
    return data


def delta(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Only what differs of two nested dicts."""
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


def rendered_diff(todo: list[Change]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Show the changes as two nested dicts, before and after, that hold only what differs."""
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for change in todo:
        for side, content in ((before, change.before), (after, change.after)):
            if content:
                side.setdefault(f"{change.kind}s", {}).setdefault(change.name, {}).update(content)
    return before, after


def conflicts(plan: Plan, observed: Observed) -> list[str]:
    """One sentence for each thing on the engine that is in the way and not this fleet's to remove."""
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
