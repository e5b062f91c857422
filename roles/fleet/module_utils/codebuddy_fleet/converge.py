"""The states of the fleet module that need an engine: gathered, overridden, deleted."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.module_utils.codebuddy_engine.client import socket_path

from . import engine
from .declaration import Fleet, parse_fleet
from .differ import Change, Observed, changes, conflicts
from .engine_errors import port_taken
from .errors import EngineUnreachable, FleetError
from .executor import Executor, missing_images
from .files import make_directory, read_files
from .generations import Generations
from .health import wait_for_health
from .host_facts import HostFacts, read_host_facts
from .plan import Plan
from .planner import DIRECTORY_LABEL, render
from .project_paths import is_inside
from .stale_mounts import project_mounts, stale_mounts
from .summary import diff_text, removal_summary, rendered_diff, summary

Result = dict[str, Any]

_WITH_PORTS = frozenset({"running", "paused", "restarting"})  # the states in which a container holds its ports


def gather_fleet(docker_host: str, fleet: Mapping[str, Any]) -> Result:
    """Return what exists, in the schema of the plan."""
    observed = _observe(docker_host, str(fleet["name"]), _state_dir(fleet), lenient=False)[1]
    found = Plan(
        fleet=str(fleet["name"]),
        networks={name: network for name, (network, _) in sorted(observed.networks.items())},
        volumes=dict(sorted(observed.volumes.items())),
        files=dict(sorted(observed.files.items())),
        containers={name: item.own for name, item in sorted(observed.containers.items())},
    ).as_dict()
    for name, (_, spec) in observed.networks.items():
        found["networks"][name]["spec"] = spec
    for name, item in observed.containers.items():
        found["containers"][name] |= {"spec": item.spec, "state": item.state, "health": item.health}
    return {"changed": False, "gathered": found}


def override(
    docker_host: str,
    fleet: Mapping[str, Any],
    projects: Sequence[Mapping[str, Any]],
    *,
    health_timeout: float,
    purge: bool,
    check_mode: bool,
) -> Result:
    """Make the engine hold exactly the declared fleet.

    Raises:
        FleetError: the declaration is wrong, there is a conflict with other objects of the engine, a change failed, or
            a container is not healthy.
    """
    declared = parse_fleet(fleet, projects)
    plan, state_dir = render(declared, _host_facts(docker_host, declared)), Path(declared.state_dir)
    with _exclusive_lock(state_dir, check_mode):
        client, observed = _observe(docker_host, plan.fleet, state_dir, lenient=check_mode)
        if client is not None and socket_path(docker_host) is not None:
            observed = _with_stale_mounts(client, declared, plan, observed)
        if problems := conflicts(plan, observed):
            raise FleetError("\n".join(problems))
        todo = changes(plan, observed, purge=purge)
        generations = Generations(state_dir)
        new = not generations.holds(plan)
        if new:
            number = {"number": generations.latest()}, {"number": generations.next()}
            todo.append(Change("generation", "latest", "keep", *number))
        result = {**_result(todo), "plan": plan.as_dict(), "summary": summary(plan, todo, done=not check_mode)}
        if check_mode:
            return {**result, "generation": generations.latest()}
        if socket_path(docker_host) is not None:  # the engine's host is this one
            _require_sources(plan)
            _require_ports(plan, observed, todo)
        _apply(client, plan, observed, state_dir, todo)
        if new:
            generations.keep(plan)
        _require_health(client, plan, todo, health_timeout)
        return {**result, "generation": generations.latest()}


def _host_facts(docker_host: str, fleet: Fleet) -> HostFacts:
    return HostFacts() if socket_path(docker_host) is None else read_host_facts(fleet)


def _with_stale_mounts(client: Any, fleet: Fleet, plan: Plan, observed: Observed) -> Observed:
    """Note in the labels of the running containers which projects' directories are others on the host by now."""
    running = {
        name: project_mounts({target: mount["source"] for target, mount in plan.containers[name].mounts.items()})
        for name, found in observed.containers.items()
        if found.state == "running" and name in plan.containers
    }
    projects = {project.path: project.id for project in fleet.projects}
    containers = dict(observed.containers)
    for name, paths in stale_mounts(client, running).items():
        found = containers[name]
        stale = {f"{DIRECTORY_LABEL}.{projects[path]}": "another directory" for path in paths}
        noted = replace(found.container, labels={**found.container.labels, **stale})
        containers[name] = replace(found, container=noted)
    return replace(observed, containers=containers)


def delete(
    docker_host: str,
    fleet: Mapping[str, Any],
    projects: Sequence[Mapping[str, Any]],
    *,
    purge: bool,
    check_mode: bool,
) -> Result:
    """Remove the fleet's containers and networks; with ``purge`` its volumes and state too; never a project."""
    name, state_dir = str(fleet["name"]), _state_dir(fleet)
    nothing = Plan(fleet=name)
    client, observed = _observe(docker_host, name, None, lenient=check_mode)
    todo = changes(nothing, observed, purge=purge)
    purge_state = purge and state_dir.exists()
    if purge_state:
        _require_own_directory(state_dir, [Path(str(project.get("path"))) for project in projects])
        todo.append(Change("state", str(state_dir), "remove", before={"exists": True}, after={"exists": False}))
    removed = {change.name for change in todo if change.kind == "volume"}
    volumes = [volume for volume in sorted(observed.volumes) if volume not in removed]
    kept = str(state_dir) if state_dir.exists() and not purge else None
    result = {**_result(todo), "summary": removal_summary(name, todo, volumes, kept, done=not check_mode)}
    if not check_mode:
        _apply(client, nothing, observed, state_dir, todo)
        if purge_state:
            shutil.rmtree(state_dir)
    return result


def _result(todo: list[Change]) -> Result:
    before, after = rendered_diff(todo)
    return {
        "changed": bool(todo),
        "changes": [f"{change.action} {change.kind} {change.name}" for change in todo],
        "diff": {"before": diff_text(before), "after": diff_text(after)},
    }


def _state_dir(fleet: Mapping[str, Any]) -> Path:
    path = fleet.get("state_dir")
    if not path or not os.path.isabs(str(path)):
        raise FleetError("codebuddy_state_dir must be an absolute path of a directory of its own.")
    return Path(os.path.normpath(str(path)))


def _observe(docker_host: str, name: str, state_dir: Path | None, *, lenient: bool) -> tuple[Any, Observed]:
    """Return a client, and what exists. If no engine answers, a lenient call returns no client and an empty fleet."""
    files = {} if state_dir is None else read_files(state_dir)
    try:
        client = engine.connect_to_engine(docker_host)
    except EngineUnreachable:
        if not lenient:
            raise
        return None, Observed(files=files)
    return client, engine.observe(client, name, files)


@contextmanager
def _exclusive_lock(state_dir: Path, check_mode: bool) -> Iterator[None]:
    """Keep a second run from changing the same fleet at the same time."""
    if check_mode:
        yield
        return
    try:
        state_dir.parent.mkdir(parents=True, exist_ok=True)
        make_directory(state_dir, 0o700)
        lock = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise FleetError(f"codebuddy_state_dir {state_dir} cannot be used: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FleetError("Another run is changing this fleet: wait until it has ended.") from None
        yield
    finally:
        os.close(lock)


def _require_sources(plan: Plan) -> None:
    """Stop before any change if a mounted directory is missing: the engine would report it after the old container."""
    missing = {
        f"{name}: {mount['source']}, which it mounts at {target}, does not exist: create it "
        "(project directories, keys, tokens, secrets and the journal come from the other roles)."
        for name, container in plan.containers.items()
        for target, mount in container.mounts.items()
        if mount["type"] == "bind" and not _is_planned(plan, mount["source"]) and not os.path.exists(mount["source"])
    }
    if missing:
        raise FleetError("\n".join(sorted(missing)))


def _is_planned(plan: Plan, source: str) -> bool:
    return any(path == source or os.path.dirname(path) == source for path in plan.files)


def _require_ports(plan: Plan, observed: Observed, todo: list[Change]) -> None:
    """Stop before any change if another program has a port: the engine would report it after removing the old hub."""
    for change in todo:
        if change.kind != "container" or change.name not in plan.containers:
            continue
        found = observed.containers.get(change.name)
        own = found.own.ports.values() if found is not None and found.state in _WITH_PORTS else ()
        for published in plan.containers[change.name].ports.values():
            if published not in own and _is_taken(published):
                taken = port_taken(published.rpartition(":")[2])
                raise FleetError(f"Container {change.name}: {taken}. Nothing was changed.")


def _is_taken(published: str) -> bool:
    address, _, port = published.rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closed connections do not keep a port taken
        try:
            probe.bind((address, int(port)))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def _apply(client: Any, plan: Plan, observed: Observed, state_dir: Path, todo: list[Change]) -> None:
    images = {
        plan.containers[c.name].image for c in todo if c.kind == "container" and c.action in ("create", "recreate")
    }
    if missing := missing_images(client, images):
        raise FleetError(
            "\n".join(f"Image {image} is not there: build it first (the images role does)." for image in missing)
        )
    if failures := Executor(client, plan, observed, state_dir).apply(todo):
        raise FleetError("\n".join(failures), changed=True)


def _require_health(client: Any, plan: Plan, todo: list[Change], timeout: float) -> None:
    touched = {change.name for change in todo if change.kind == "container"}
    hub_touched = any(plan.containers[name].project == "" for name in touched & plan.containers.keys())
    commands = {name: list(container.health_check["command"]) for name, container in plan.containers.items()}
    if unhealthy := wait_for_health(client, commands, timeout, always_ask=commands if hub_touched else touched):
        names = ", ".join(item.name for item in unhealthy)
        others = len(commands) - len(unhealthy)
        waited = f"Waited for {names}; the other {others} of {len(commands)} containers are healthy."
        raise FleetError("\n".join([waited, *map(str, unhealthy)]), changed=bool(todo))


def _require_own_directory(state_dir: Path, projects: list[Path]) -> None:
    """Refuse to remove a directory that does not look like a state directory, or that contains the user's files."""
    resolved, home = Path(os.path.realpath(state_dir)), Path.home()
    contained = [path for path in (home, *projects) if is_inside(Path(os.path.realpath(path)), resolved)]
    if contained or state_dir.is_symlink() or not {"keys", "config", "generations"} & set(os.listdir(state_dir)):
        reason = f"it holds {contained[0]}" if contained else "it does not look like one"
        raise FleetError(f"codebuddy_state_dir {state_dir} is not removed, because {reason}: remove it yourself.")
