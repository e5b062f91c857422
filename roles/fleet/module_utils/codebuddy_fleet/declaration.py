"""The declared fleet, typed; and everything that can be wrong with a declaration without looking at the host."""

from __future__ import annotations

import ipaddress
import os.path
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import addresses, egress, values
from .declared_secrets import read_secrets
from .errors import FleetError
from .reading import Reader
from .servers import read_language_servers
from .tasks import Task, read_tasks

__all__ = [
    "Fleet",
    "Journal",
    "Limits",
    "Project",
    "RunLimits",
    "fleet_problems",
    "network_ids",
    "parse_fleet",
    "project_problems",
    "read_project",
]

RESERVED_IDS = frozenset({"hub"})
DEFAULT_LIMITS = {"memory": "2g", "cpus": 2, "pids": 512}
DEFAULT_RUN_LIMITS = {"max_run_time": "1h", "max_job_time": "7d", "max_jobs": 8, "max_output": "64m"}


@dataclass(frozen=True)
class Limits:
    """What a container may use: bytes of memory (swap included), CPUs, processes and threads."""

    memory: int
    cpus: float
    pids: int


@dataclass(frozen=True)
class RunLimits:
    """What the runs of a project may take: seconds, jobs at a time, bytes of output that are kept."""

    max_run_time: int
    max_job_time: int
    max_jobs: int
    max_output: int


@dataclass(frozen=True)
class Project:
    """One declared project."""

    id: str
    path: str
    profile: str
    image: str
    language_servers: tuple[dict[str, Any], ...]
    tasks: dict[str, Task]
    environment: dict[str, str]
    limits: Limits
    run_limits: RunLimits
    format_on_write: bool = False
    egress: egress.Egress = egress.NONE
    secrets: tuple[str, ...] = ()  # names; what is in them is nobody's business here


@dataclass(frozen=True)
class Journal:
    """How much of the hub's journal of edits is kept: bytes, and seconds since an edit."""

    max_bytes: int
    max_age: int


@dataclass(frozen=True)
class Fleet:
    """The whole declaration."""

    name: str
    state_dir: str
    uid: int
    gid: int
    pool: ipaddress.IPv4Network
    port: int
    hub_image: str
    proxy_image: str
    hub_limits: Limits
    journal: Journal
    run_width: int
    egress_networks: tuple[str, ...]
    projects: tuple[Project, ...]


def network_ids(projects: Iterable[Project]) -> list[str]:
    """Give what each network but the hub's is for: a project, or the way out of its proxy."""
    declared = list(projects)
    ways_out = [egress.proxy_id(project.id) for project in declared if project.egress != egress.NONE]
    return [project.id for project in declared] + ways_out


def read_project(declared: Mapping[str, Any]) -> tuple[Project, list[str]]:
    """Type a project; the sentences say what is wrong with its values (then it is not to be used)."""
    name = declared.get("id")
    reader = Reader(f"host {name}")
    project_id = reader.read("the name", values.identifier, name, "")
    if name in RESERVED_IDS:
        reader.say(f"the name '{name}' is reserved: name the host differently.")
    path = declared.get("path")
    if not isinstance(path, str) or not path:
        reader.say("project_path is missing: set it to the absolute path of the project's directory.")
    elif not os.path.isabs(path):
        reader.say(f"project_path '{path}' is relative: give the absolute path (or one that begins with ~).")
    elif "\0" in path or "\n" in path:
        reader.say(f"project_path {path!r} has a line break or NUL character in it: rename the directory.")
    for key in declared.get("unsupported") or []:
        reader.say(f"{key} is not supported yet: remove it from the inventory.")
    reader.read("allow_root_owned", values.flag, declared.get("allow_root_owned", False), False)
    for item in reader.items("packages", declared.get("packages")):
        reader.read("packages", values.package, item, "")
    if declared.get("base_image") is not None:
        reader.read("base_image", values.image_reference, declared["base_image"], "")
    project = Project(
        id=project_id,
        path=str(path or ""),
        profile=str(declared.get("profile") or ""),
        image=str(declared.get("image") or ""),
        language_servers=read_language_servers(
            reader, declared.get("language_servers"), declared.get("known_language_servers")
        ),
        tasks=read_tasks(reader, declared.get("tasks") or {}),
        environment=reader.read("environment", values.environment, declared.get("environment") or {}, {}),
        limits=_limits(reader, declared),
        run_limits=_run_limits(reader, declared),
        format_on_write=reader.read("format_on_write", values.flag, declared.get("format_on_write", False), False),
        egress=_egress(reader, declared.get("egress", egress.NONE)),
        secrets=tuple(sorted(read_secrets(reader, declared.get("secrets") or {}))),
    )
    return project, reader.problems


def project_problems(projects: Sequence[Mapping[str, Any]], profiles: Iterable[str] | None) -> list[str]:
    """One sentence for each thing that is wrong with the values of the projects; paths on the host are not looked at.

    Args:
        projects: as ``declared_projects`` gives them.
        profiles: the known profiles; None: not checked.
    """
    problems: list[str] = []
    known = None if profiles is None else sorted(profiles)
    for declared in projects:
        project, found = read_project(declared)
        problems += found
        if known is None:
            continue
        if len(several := [group for group in known if group in (declared.get("groups") or ())]) > 1:
            problems.append(
                f"host {declared.get('id')}: it is in the groups of {len(several)} profiles, {' and '.join(several)}: "
                "leave it in one of them."
            )
        if project.profile in known:
            continue
        choices = ", ".join(known) or "none"
        what = f"the profile '{project.profile}' is unknown" if project.profile else "it has no profile"
        problems.append(f"host {declared.get('id')}: {what}: put the host in the group of one of these: {choices}.")
    for name, count in Counter(str(project.get("id")) for project in projects).items():
        if count > 1:
            problems.append(f"host {name}: it is declared {count} times: keep one.")
    return problems


def parse_fleet(fleet: Mapping[str, Any], projects: Sequence[Mapping[str, Any]]) -> Fleet:
    """Type the declaration.

    Raises:
        FleetError: with one sentence a line for everything that is wrong.
    """
    reader = Reader("fleet")
    reader.problems += project_problems(projects, profiles=None)
    hub = fleet.get("hub") or {}
    if not hub.get("image"):
        reader.say("hub.image is missing: it is the reference that the images role gives for the hub.")
    typed = [read_project(declared)[0] for declared in projects]
    for project in typed:
        if not project.image:
            reader.problems.append(
                f"host {project.id}: image is missing: it is the reference that the images role gives."
            )
    result = _read_fleet(reader, fleet, typed)
    if not result.proxy_image and any(project.egress != egress.NONE for project in typed):
        reader.say("proxy_image is missing: it is the reference that the images role gives for the proxies.")
    if reader.problems:
        raise FleetError("\n".join(reader.problems))
    return result


def fleet_problems(fleet: Mapping[str, Any], projects: Sequence[Mapping[str, Any]]) -> list[str]:
    """One sentence for each thing that is wrong with what belongs to the fleet as a whole; images are left out."""
    reader = Reader("fleet")
    _read_fleet(reader, fleet, [read_project(declared)[0] for declared in projects])
    return reader.problems


def _read_fleet(reader: Reader, fleet: Mapping[str, Any], projects: Sequence[Project]) -> Fleet:
    hub_reader = Reader("hub")
    hub = fleet.get("hub") or {}
    result = Fleet(
        name=reader.read("codebuddy_fleet_name", values.identifier, fleet.get("name"), ""),
        state_dir=reader.read("codebuddy_state_dir", _absolute, fleet.get("state_dir"), ""),
        uid=reader.read("codebuddy_uid", _user, fleet.get("uid"), 0),
        gid=reader.read("codebuddy_gid", _user, fleet.get("gid"), 0),
        pool=_pool(reader, str(fleet.get("address_pool")), network_ids(projects)),
        port=reader.read("codebuddy_port", _port, fleet.get("port"), 0),
        hub_image=str(hub.get("image") or ""),
        proxy_image=str(fleet.get("proxy_image") or ""),
        hub_limits=_limits(hub_reader, hub),
        journal=Journal(
            max_bytes=reader.read("codebuddy_journal_size", values.journal_bytes, fleet.get("journal_size"), 0),
            max_age=reader.read("codebuddy_journal_age", values.duration_seconds, fleet.get("journal_age"), 0),
        ),
        run_width=reader.read("codebuddy_run_width", values.small_count, fleet.get("run_width", 8), 0),
        egress_networks=reader.read(
            "codebuddy_egress_networks", egress.read_networks, fleet.get("egress_networks") or [], ()
        ),
        projects=tuple(sorted(projects, key=lambda project: project.id)),
    )
    reader.problems += hub_reader.problems
    return result


def _absolute(value: Any) -> str:
    if not isinstance(value, str) or not os.path.isabs(value) or os.path.normpath(value) == "/":
        raise ValueError("must be an absolute path of a directory of its own")
    return os.path.normpath(value)


def _user(value: Any) -> int:
    number = values.whole(value)
    if number is None or not 0 < number < 2**31:
        raise ValueError("must be the number of a user or group other than root, like 1000")
    return number


def _port(value: Any) -> int:
    number = values.whole(value)
    if number is None or not 0 < number < 65536:
        raise ValueError("must be a port, 1 to 65535")
    return number


def _pool(reader: Reader, text: str, ids: list[str]) -> ipaddress.IPv4Network:
    try:
        pool = addresses.parse_pool(text)
        addresses.allocate(pool, ids)
    except addresses.PoolError as error:
        reader.problems.append(str(error))
        return ipaddress.IPv4Network("10.213.0.0/16")
    return pool


def _limits(reader: Reader, source: Mapping[str, Any]) -> Limits:
    given = {key: default if source.get(key) is None else source[key] for key, default in DEFAULT_LIMITS.items()}
    return Limits(
        memory=reader.read("memory", values.memory_bytes, given["memory"], 0),
        cpus=reader.read("cpus", values.cpu_count, given["cpus"], 0.0),
        pids=reader.read("pids", values.process_count, given["pids"], 0),
    )


def _egress(reader: Reader, value: Any) -> egress.Egress:
    nothing: egress.Egress = egress.NONE
    return reader.read("egress", egress.read_egress, value, nothing)


def _run_limits(reader: Reader, source: Mapping[str, Any]) -> RunLimits:
    given = {key: default if source.get(key) is None else source[key] for key, default in DEFAULT_RUN_LIMITS.items()}
    return RunLimits(
        max_run_time=reader.read("max_run_time", values.duration_seconds, given["max_run_time"], 0),
        max_job_time=reader.read("max_job_time", values.duration_seconds, given["max_job_time"], 0),
        max_jobs=reader.read("max_jobs", values.small_count, given["max_jobs"], 0),
        max_output=reader.read("max_output", values.output_bytes, given["max_output"], 0),
    )
