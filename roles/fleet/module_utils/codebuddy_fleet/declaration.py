"""The declared fleet, typed, and every problem of a declaration that can be found without looking at the host."""

from __future__ import annotations

import ipaddress
import os.path
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ansible.module_utils.codebuddy_arguments import duration_seconds

from . import addresses, egress, parsers
from .errors import FleetError
from .language_servers import read_language_servers
from .mounts import Expectation
from .problem_collector import ProblemCollector, options, setting
from .secret_files import read_secrets

RESERVED_IDS = frozenset({"hub"})
REPORT = "{report}"  # in an argument of a task: the file that the task writes its report to
REPORT_FORMATS = (
    "junit", "go-test", "cargo-test", "tap", "pytest", "tsc", "mypy", "ruff", "cargo", "go", "gcc", "pyflakes", "black",
    "ty", "pyright", "basedpyright", "eslint", "biome",
)  # fmt: skip


@dataclass(frozen=True)
class Task:
    """A command that a project declares under a name, and the formats of its report, if it has one."""

    argv: list[str]
    formats: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limits:
    """The limits of a container."""

    memory: int = setting(parsers.memory_bytes, "2g")  # bytes, swap included
    cpus: float = setting(parsers.cpu_count, 2)
    pids: int = setting(parsers.process_count, 512)  # processes and threads
    shm_size: int = setting(parsers.shared_memory_bytes, "64m")  # bytes of /dev/shm, which count as memory


@dataclass(frozen=True)
class RunLimits:
    """The limits of the commands that run in a project."""

    max_run_time: int = setting(duration_seconds, "1h")
    max_job_time: int = setting(duration_seconds, "7d")
    max_jobs: int = setting(parsers.parallel_count, 8)
    max_output: int = setting(parsers.output_bytes, "64m")  # bytes that are kept


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
    format_on_write: bool
    encodings: tuple[tuple[str, str], ...]  # globs and the encodings of their files
    egress: egress.Egress
    secrets: tuple[str, ...]  # names only
    git_author: str  # "": the fleet's
    expect: Expectation | None  # what must be mounted at the path


@dataclass(frozen=True)
class Fleet:
    """The whole declaration.

    The fields with a parser are the settings of the fleet, ``codebuddy_<field>`` in the inventory. To add one, add it
    here, to ``inventory/defaults.yml`` and ``wiring.yml``, and to the configuration that the planner writes.
    """

    projects: tuple[Project, ...]
    hub_image: str
    hub_limits: Limits
    proxy_image: str
    address_pool: ipaddress.IPv4Network
    name: str = setting(parsers.identifier, name="codebuddy_fleet_name")
    state_dir: str = setting(parsers.directory, name="codebuddy_state_dir")
    uid: int = setting(parsers.user_number, name="codebuddy_uid")
    gid: int = setting(parsers.user_number, name="codebuddy_gid")
    port: int = setting(parsers.port, name="codebuddy_port")
    journal_size: int = setting(parsers.journal_bytes, name="codebuddy_journal_size")
    journal_age: int = setting(duration_seconds, name="codebuddy_journal_age")  # seconds
    run_width: int = setting(parsers.parallel_count, name="codebuddy_run_width")  # projects that one call runs in
    git_author: str = setting(parsers.git_author, "", name="codebuddy_git_author")
    egress_networks: tuple[str, ...] = setting(egress.read_networks, [], name="codebuddy_egress_networks")


#: The variables of the inventory that are settings of :class:`Fleet`.
FLEET_SETTINGS = frozenset(item.metadata["name"] for item in fields(Fleet) if item.metadata) | {
    "codebuddy_address_pool"
}
#: The ``argument_spec`` of a declared fleet.
FLEET_OPTIONS: dict[str, Any] = {
    **options(Fleet),
    "name": {"type": "str", "required": True},
    "state_dir": {"type": "path", "required": True},
    "egress_networks": {"type": "list", "elements": "str"},
    "address_pool": {"type": "str"},
    "proxy_image": {"type": "str"},
    "hub": {"type": "dict", "options": {"image": {"type": "str"}, **options(Limits)}},
}


def network_ids(projects: Iterable[Project]) -> list[str]:
    """Return the ids of all networks but the hub's: one for each project, and one for each proxy."""
    declared = list(projects)
    proxies = [egress.proxy_id(project.id) for project in declared if project.egress != egress.NONE]
    return [project.id for project in declared] + proxies


def read_project(declared: Mapping[str, Any]) -> tuple[Project, list[str]]:
    """Return the typed project, and the problems of its values; with problems, it must not be used."""
    name = declared.get("id")
    collector = ProblemCollector(f"host {name}")
    project_id = collector.parse("the name", parsers.identifier, name, "")
    if name in RESERVED_IDS:
        collector.add(f"the name '{name}' is reserved: name the host differently.")
    _check_path(collector, declared.get("path"))
    for key in declared.get("unsupported") or []:
        collector.add(f"{key} is not supported yet: remove it from the inventory.")
    collector.parse("allow_root_owned", parsers.flag, declared.get("allow_root_owned", False), False)
    if declared.get("sample") is not None:
        collector.parse("sample", parsers.flag, declared["sample"], False)
    for item in collector.items("packages", declared.get("packages")):
        collector.parse("packages", parsers.package, item, "")
    if declared.get("base_image") is not None:
        collector.parse("base_image", parsers.image_reference, declared["base_image"], "")
    no_egress: egress.Egress = egress.NONE
    project = Project(
        id=project_id,
        path=str(declared.get("path") or ""),
        profile=str(declared.get("profile") or ""),
        image=str(declared.get("image") or ""),
        language_servers=read_language_servers(
            collector, declared.get("language_servers"), declared.get("known_language_servers")
        ),
        tasks=_tasks(collector, declared.get("tasks") or {}),
        environment=collector.parse("environment", parsers.environment, declared.get("environment") or {}, {}),
        limits=Limits(**collector.settings(Limits, declared)),
        run_limits=RunLimits(**collector.settings(RunLimits, declared)),
        format_on_write=collector.parse("format_on_write", parsers.flag, declared.get("format_on_write", False), False),
        encodings=collector.parse("encodings", parsers.encodings, declared.get("encodings") or {}, ()),
        egress=collector.parse("egress", egress.read_egress, declared.get("egress", egress.NONE), no_egress),
        secrets=tuple(sorted(read_secrets(collector, declared.get("secrets") or {}))),
        git_author=collector.parse("git_author", parsers.git_author, declared.get("git_author"), ""),
        expect=collector.parse("expect", parsers.expectation, declared.get("expect"), None),
    )
    return project, collector.problems


def _check_path(collector: ProblemCollector, path: Any) -> None:
    if not isinstance(path, str) or not path:
        collector.add("project_path is missing: set it to the absolute path of the project's directory.")
    elif not os.path.isabs(path):
        collector.add(f"project_path '{path}' is relative: give the absolute path (or one that begins with ~).")
    elif "\0" in path or "\n" in path:
        collector.add(f"project_path {path!r} has a line break or NUL character in it: rename the directory.")


def _tasks(collector: ProblemCollector, value: Any) -> dict[str, Task]:
    if not isinstance(value, dict):
        collector.add("project_tasks must map the name of a task to its command.")
        return {}
    for name in value:
        collector.parse("the name of task", parsers.identifier, name, "")
    return {str(name): _task(collector, str(name), item) for name, item in value.items()}


def _task(collector: ProblemCollector, name: str, value: Any) -> Task:
    """Read a task: a command line, or a mapping with the command line as ``argv`` and the report's ``format``."""
    if not isinstance(value, dict):
        return Task(collector.parse(f"task {name}", parsers.command, value, []))
    for key in sorted(set(map(str, value)) - {"argv", "format"}):
        collector.add(f"task {name} has the key {key!r}: a task has argv and format.")
    argv: list[str] = collector.parse(f"task {name}: argv", parsers.command, value.get("argv"), [])
    given = value.get("format")
    formats = tuple(given) if isinstance(given, (list, tuple)) else () if given is None else (given,)
    if unknown := [one for one in formats if one not in REPORT_FORMATS]:
        collector.add(f"task {name}: format {unknown[0]!r} is unknown: use one of {', '.join(REPORT_FORMATS)}.")
    elif formats and ("junit" in formats) != any(REPORT in word for word in argv):
        mismatch = "junit needs" if "junit" in formats else f"{formats[0]} does not use"
        collector.add(
            f"task {name}: the format {mismatch} the file {REPORT}: junit is read from the file that the task "
            f"writes there, like --junitxml={REPORT}; all others are read from the task's output."
        )
    return Task(argv, formats)


def project_problems(projects: Sequence[Mapping[str, Any]], profiles: Iterable[str] | None) -> list[str]:
    """Return one sentence for each problem of the projects' values.

    Args:
        projects: as the filter ``declared_projects`` returns them.
        profiles: the known profiles; None: profiles are not checked.
    """
    problems: list[str] = []
    known = None if profiles is None else sorted(profiles)
    for declared in projects:
        problems += read_project(declared)[1]
        if known is not None:
            problems += _profile_problems(declared, known)
    for name, count in Counter(str(project.get("id")) for project in projects).items():
        if count > 1:
            problems.append(f"host {name}: it is declared {count} times: keep one.")
    return problems


def _profile_problems(declared: Mapping[str, Any], known: list[str]) -> list[str]:
    collector = ProblemCollector(f"host {declared.get('id')}")
    if len(several := [group for group in known if group in (declared.get("groups") or ())]) > 1:
        collector.add(
            f"it is in the groups of {len(several)} profiles, {' and '.join(several)}: leave it in one of them."
        )
    if (profile := str(declared.get("profile") or "")) not in known:
        what = f"the profile '{profile}' is unknown" if profile else "it has no profile"
        choices = ", ".join(known) or "none"
        collector.add(f"{what}: put the host in the group of one of these: {choices}.")
    return collector.problems


def parse_fleet(fleet: Mapping[str, Any], projects: Sequence[Mapping[str, Any]]) -> Fleet:
    """Return the typed declaration.

    Raises:
        FleetError: with one sentence a line for each problem.
    """
    result, problems = read_fleet(fleet, projects)
    collector = ProblemCollector("fleet")
    collector.problems += project_problems(projects, profiles=None)
    if not result.hub_image:
        collector.add("hub.image is missing: it is the reference that the images role returns for the hub.")
    for project in result.projects:
        if not project.image:
            collector.problems.append(
                f"host {project.id}: image is missing: it is the reference that the images role returns."
            )
    collector.problems += problems
    if not result.proxy_image and any(project.egress != egress.NONE for project in result.projects):
        collector.add("proxy_image is missing: it is the reference that the images role returns for the proxies.")
    if collector.problems:
        raise FleetError("\n".join(collector.problems))
    return result


def read_fleet(fleet: Mapping[str, Any], projects: Sequence[Mapping[str, Any]]) -> tuple[Fleet, list[str]]:
    """Return the typed declaration, and the problems of the fleet's own settings; images may be missing."""
    collector, hub_collector = ProblemCollector("fleet"), ProblemCollector("hub")
    hub = fleet.get("hub") or {}
    typed = [read_project(declared)[0] for declared in projects]
    result = Fleet(
        projects=tuple(sorted(typed, key=lambda project: project.id)),
        hub_image=str(hub.get("image") or ""),
        hub_limits=Limits(**hub_collector.settings(Limits, hub)),
        proxy_image=str(fleet.get("proxy_image") or ""),
        address_pool=_address_pool(collector, str(fleet.get("address_pool")), network_ids(typed)),
        **collector.settings(Fleet, fleet),
    )
    return result, collector.problems + hub_collector.problems


def _address_pool(collector: ProblemCollector, text: str, ids: list[str]) -> ipaddress.IPv4Network:
    try:
        pool = addresses.parse_pool(text)
        addresses.allocate(pool, ids)
    except addresses.PoolError as error:
        collector.problems.append(str(error))
        return ipaddress.IPv4Network("10.213.0.0/16")
    return pool
