"""Variables of the inventory that look like misspelled settings, which would otherwise be ignored silently.

The prefixes ``codebuddy_`` and ``project_`` are reserved, so an unknown variable with one of them is an error. Any
other may be the user's own; if it is nearly a setting, that is only worth a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches

from .declaration import FLEET_SETTINGS

#: Settings of the fleet: those of this role, and those that other roles and the playbooks use.
FLEET_VARIABLES = FLEET_SETTINGS | {
    f"codebuddy_{name}" for name in ("certificates_dir", "docker_host", "health_timeout", "link_token_ttl", "profiles")
}
# Variables that the wiring or the Makefile computes from the settings.
_DERIVED = frozenset(
    f"codebuddy_{name}"
    for name in ("answer", "endpoint", "inventory", "issuer", "make_arguments", "projects", "state_path")
)
_OF_PROFILES = frozenset(
    (
        "base_image", "cpus", "egress", "encodings", "environment", "format_on_write", "git_author",
        "known_language_servers",
        "language_servers", "max_job_time", "max_jobs", "max_output", "max_run_time", "memory", "packages", "pids",
        "shm_size", "tasks",
    )
)  # fmt: skip
PROJECT_VARIABLES = (
    (_OF_PROFILES | {f"profile_{name}" for name in _OF_PROFILES})
    | {f"project_{name}" for name in ("environment", "path", "profile", "tasks")}
    | {
        "allow_root_owned",
        "cache_paths",
        "expect",
        "profile_offline_environment",
        "read_only_paths",
        "sample",
        "secrets",
    }
)
_RESERVED = ("codebuddy_", "project_")
_SIMILARITY = 0.8  # difflib's ratio: "memmory" and "memroy" reach it, "memory_limit" does not


def variable_problems(variables: Mapping[str, Sequence[str]]) -> list[str]:
    """Return one sentence for each unknown variable with a reserved prefix, and each setting of the fleet on a project.

    Args:
        variables: host to the names of its variables; ``all`` to those that every host has.
    """
    unknown = [
        f"{subject}: {name} is not a setting{_advice(name)}"
        for name, subject in _unknown(variables)
        if name.startswith(_RESERVED)
    ]
    return unknown + [
        f"{subject}: {name} is a setting of the fleet and has no effect on one project: move it to "
        f"all: {{vars: {{{name}: ...}}}}."
        for name, subject in _matching(
            variables, lambda host, name: host != "all" and name in FLEET_VARIABLES | _DERIVED
        )
    ]


def variable_warnings(variables: Mapping[str, Sequence[str]]) -> list[str]:
    """Return one question for each variable that is nearly a setting, but may be the user's own."""
    return [
        f"{subject}: {name} is not a setting and has no effect; did you mean {nearest[0]}?"
        for name, subject in _unknown(variables)
        if not name.startswith(_RESERVED)
        and (nearest := get_close_matches(name, sorted(PROJECT_VARIABLES), 1, _SIMILARITY))
    ]


def _unknown(variables: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    return _matching(variables, lambda _, name: name not in FLEET_VARIABLES | _DERIVED | PROJECT_VARIABLES)


def _matching(variables: Mapping[str, Sequence[str]], test: Callable[[str, str], bool]) -> Iterator[tuple[str, str]]:
    """Yield each name for which the test of host and name holds, once, with the hosts that have it."""
    owners: dict[str, list[str]] = {}
    for host, names in variables.items():
        for name in names:
            if test(host, name):
                owners.setdefault(name, []).append(host)
    for name, hosts in sorted(owners.items()):
        yield name, "fleet" if "all" in hosts else f"host{'s' if hosts[1:] else ''} {', '.join(hosts)}"


def _advice(name: str) -> str:
    prefix = next(prefix for prefix in _RESERVED if name.startswith(prefix))
    known = FLEET_VARIABLES if prefix == "codebuddy_" else PROJECT_VARIABLES
    # Only some settings of a project have the prefix, so names are compared without it. `tasks` and `environment` exist
    # in both forms; the one with the prefix is suggested.
    bare = {one.removeprefix(prefix): one for one in sorted(known, key=lambda one: (one.startswith(prefix), one))}
    if nearest := get_close_matches(name.removeprefix(prefix), bare, 1):
        return f"; did you mean {bare[nearest[0]]}?"
    choices = ", ".join(one for one in sorted(known) if one.startswith(prefix))
    return f": use one of {choices}, or give your own variable another prefix."
