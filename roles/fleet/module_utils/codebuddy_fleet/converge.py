"""The states of the fleet module that need an engine: gathered, overridden, deleted."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import engine
from .declaration import Fleet, parse_fleet
from .diff_text import diff_text
from .differ import Change, Observed, changes, conflicts, rendered_diff
from .errors import EngineUnreachable, FleetError
from .executor import Executor, missing_images
from .files import make_directory, read_files
from .generations import Generations
from .ground import Ground, look
from .health import wait_for_health
from .plan import Plan
from .planner import render
from .sentences import port_taken
from .sites import inside
from .summary import removal_summary, summary

__all__ = ["delete", "gather_fleet", "override"]

Result = dict[str, Any]

_HOLDING = frozenset({"running", "paused", "restarting"})  # the states in which a container has its ports


def gather_fleet(docker_host: str, fleet: Mapping[str, Any]) -> Result:
    """Tell what is there, in the schema of the plan."""
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
        FleetError: the declaration is wrong, something foreign is in the way, something failed or is not healthy.
    """
    declared = parse_fleet(fleet, projects)
    plan, state_dir = render(declared, _ground(docker_host, declared)), Path(declared.state_dir)
    with _alone(state_dir, check_mode):
        client, observed = _observe(docker_host, plan.fleet, state_dir, lenient=check_mode)
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
        _require_sources(docker_host, plan)
        _require_ports(docker_host, plan, observed, todo)
        _apply(client, plan, observed, state_dir, todo)
        if new:
            generations.keep(plan)
        _require_health(client, plan, todo, health_timeout)
        return {**result, "generation": generations.latest()}


def _ground(docker_host: str, fleet: Fleet) -> Ground:
    """Look at this host, if it is the engine's too."""
    return look(fleet) if engine.socket_of(docker_host) is not None else Ground()


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
    if purge and state_dir.exists():
        _require_own_directory(state_dir, [Path(str(project.get("path"))) for project in projects])
        todo.append(Change("state", str(state_dir), "remove", before={"exists": True}, after={"exists": False}))
    going = {change.name for change in todo if change.kind == "volume"}
    volumes = [volume for volume in sorted(observed.volumes) if volume not in going]
    kept = str(state_dir) if state_dir.exists() and not purge else None
    result = {**_result(todo), "summary": removal_summary(name, todo, volumes, kept, done=not check_mode)}
    if not check_mode:
        _apply(client, nothing, observed, state_dir, todo)
        if purge and state_dir.exists():
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
    """Connect, and read what is there. Where no engine answers, a check (lenient) sees an empty fleet."""
    files = {} if state_dir is None else read_files(state_dir)
    try:
        client = engine.connect(docker_host)
    except EngineUnreachable:
        if not lenient:
            raise
        return None, Observed(files=files)
    return client, engine.gather(client, name, files)


@contextmanager
def _alone(state_dir: Path, check_mode: bool) -> Iterator[None]:
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


def _require_sources(docker_host: str, plan: Plan) -> None:
    """Nothing is changed while a directory is missing: the engine would only say so when the old container is gone."""
    if engine.socket_of(docker_host) is None:
        return
    missing = {
        f"{name}: {mount['source']}, which it mounts at {target}, does not exist: create it "
        "(project directories, keys, tokens, secrets and the journal come from the other roles)."
        for name, container in plan.containers.items()
        for target, mount in container.mounts.items()
        if mount["type"] == "bind" and not _written_by_us(plan, mount["source"]) and not os.path.exists(mount["source"])
    }
    if missing:
        raise FleetError("\n".join(sorted(missing)))


def _require_ports(docker_host: str, plan: Plan, observed: Observed, todo: list[Change]) -> None:
    """Nothing is changed while another program has a port: the old hub would be gone before the engine said so."""
    if engine.socket_of(docker_host) is None:
        return
    for change in todo:
        if change.kind != "container" or change.name not in plan.containers:
            continue
        found = observed.containers.get(change.name)
        own = found.own.ports.values() if found is not None and found.state in _HOLDING else ()
        for published in plan.containers[change.name].ports.values():
            if published not in own and _is_taken(published):
                taken = port_taken(published.rpartition(":")[2])
                raise FleetError(f"Container {change.name}: {taken}. Nothing was changed.")


def _is_taken(published: str) -> bool:
    address, _, port = published.rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that are just gone hold no port
        try:
            probe.bind((address, int(port)))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def _written_by_us(plan: Plan, source: str) -> bool:
    return any(path == source or os.path.dirname(path) == source for path in plan.files)


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
    if unhealthy := wait_for_health(client, commands, timeout, ask_anyway=commands if hub_touched else touched):
        raise FleetError("\n".join(str(item) for item in unhealthy), changed=bool(todo))


def _require_own_directory(state_dir: Path, projects: list[Path]) -> None:
    """Refuse to remove a tree that does not look like a state directory, or that holds anything of the user's."""
    real, home = Path(os.path.realpath(state_dir)), Path.home()
    holds = [path for path in (home, *projects) if inside(Path(os.path.realpath(path)), real)]
    if holds or state_dir.is_symlink() or not {"keys", "config", "generations"} & set(os.listdir(state_dir)):
        reason = f"it holds {holds[0]}" if holds else "it does not look like one"
        raise FleetError(f"codebuddy_state_dir {state_dir} is not removed, because {reason}: remove it yourself.")
