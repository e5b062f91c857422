"""The names of all settings, and those that an inventory seems to misspell: what nobody reads would change nothing.

The prefixes ``codebuddy_`` and ``project_`` are ours, so an unknown name with one of them is refused. Any other may be
a variable of the user's own: one that is nearly a setting is only asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches

__all__ = ["FLEET", "PROJECT", "setting_doubts", "setting_problems"]

FLEET = frozenset(
    f"codebuddy_{name}"
    for name in (
        "address_pool", "certificates_dir", "docker_host", "egress_networks", "fleet_name", "gid", "health_timeout",
        "journal_age", "journal_size", "link_token_ttl", "port", "profiles", "run_width", "state_dir", "uid",
    )
)  # fmt: skip
# What the wiring makes of them: nothing to set, but nothing to complain about either.
_DERIVED = frozenset(
    f"codebuddy_{name}"
    for name in ("answer", "endpoint", "inventory", "issuer", "make_arguments", "projects", "state_path")
)
_OF_PROFILES = frozenset(
    (
        "base_image", "cpus", "egress", "environment", "format_on_write", "known_language_servers", "language_servers",
        "max_job_time", "max_jobs", "max_output", "max_run_time", "memory", "packages", "pids", "tasks",
    )
)  # fmt: skip
PROJECT = (
    (_OF_PROFILES | {f"profile_{name}" for name in _OF_PROFILES})
    | {f"project_{name}" for name in ("environment", "path", "profile", "tasks")}
    | {"allow_root_owned", "cache_paths", "profile_offline_environment", "read_only_paths", "secrets"}
)
_OURS = ("codebuddy_", "project_")
_CLOSE = 0.8  # of difflib's ratio: "memmory" and "memroy" are, "memory_limit" is not


def setting_problems(variables: Mapping[str, Sequence[str]]) -> list[str]:
    """One sentence for each unknown name that begins like a setting, and each setting of the fleet at a project.

    Args:
        variables: host to the names of its variables; ``all`` to those that every host has.
    """
    unknown = [
        f"{subject}: {name} is not a setting{_advice(name)}"
        for name, subject in _unknown(variables)
        if name.startswith(_OURS)
    ]
    return unknown + [
        f"{subject}: {name} is a setting of the fleet, and changes nothing for one project: move it to "
        f"all: {{vars: {{{name}: ...}}}}."
        for name, subject in _named(variables, lambda host, name: host != "all" and name in FLEET | _DERIVED)
    ]


def setting_doubts(variables: Mapping[str, Sequence[str]]) -> list[str]:
    """One question for each name that is nearly a setting, but may be a variable of the user's own."""
    return [
        f"{subject}: {name} is not a setting and changes nothing; did you mean {nearest[0]}?"
        for name, subject in _unknown(variables)
        if not name.startswith(_OURS) and (nearest := get_close_matches(name, sorted(PROJECT), 1, _CLOSE))
    ]


def _unknown(variables: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    return _named(variables, lambda _, name: name not in FLEET | _DERIVED | PROJECT)


def _named(variables: Mapping[str, Sequence[str]], wanted: Callable[[str, str], bool]) -> Iterator[tuple[str, str]]:
    """Give each name that is wanted once, with whose it is."""
    owners: dict[str, list[str]] = {}
    for host, names in variables.items():
        for name in names:
            if wanted(host, name):
                owners.setdefault(name, []).append(host)
    for name, hosts in sorted(owners.items()):
        yield name, "fleet" if "all" in hosts else f"host{'s' if hosts[1:] else ''} {', '.join(hosts)}"


def _advice(name: str) -> str:
    prefix = next(prefix for prefix in _OURS if name.startswith(prefix))
    known = FLEET if prefix == "codebuddy_" else PROJECT
    # Some settings of a project have the prefix and some have not, so compared is what comes after it; `tasks` is there
    # in both forms, of which the one with the prefix is meant.
    bare = {one.removeprefix(prefix): one for one in sorted(known, key=lambda one: (one.startswith(prefix), one))}
    if nearest := get_close_matches(name.removeprefix(prefix), bare, 1):
        return f"; did you mean {bare[nearest[0]]}?"
    choices = ", ".join(one for one in sorted(known) if one.startswith(prefix))
    return f": use one of {choices}, or give a variable of your own another beginning."
