"""The language servers of a project: chosen by name among those of its profile, or described in full."""

from __future__ import annotations

import os.path
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from ansible.module_utils.codebuddy_arguments import duration_seconds

from . import parsers
from .problem_collector import ProblemCollector
from .server_description import RULES, combination_problems

Description = Mapping[str, Any]


def read_language_servers(collector: ProblemCollector, chosen: Any, known: Any) -> tuple[dict[str, Any], ...]:
    """Return the chosen servers as the agent reads them, in the declared order.

    Args:
        collector: collects what is wrong.
        chosen: a list. An item is the name of a known server; or a mapping whose ``name`` is known, which is merged
            into that server's description; or the full description of another server.
        known: name to description.
    """
    catalogue = _catalogue(collector, known)
    described = [_description(collector, item, catalogue) for item in collector.items("language_servers", chosen)]
    servers = tuple(_server(collector, one) for one in described if one is not None)
    for name, count in Counter(server["name"] for server in servers).items():
        if count > 1:
            collector.add(f"language server {name} is declared {count} times: give each a name of its own.")
    return servers


def _catalogue(collector: ProblemCollector, known: Any) -> dict[str, Description]:
    if known is None:
        return {}
    if not isinstance(known, dict) or not all(isinstance(one, dict) for one in known.values()):
        collector.add("known_language_servers must map the name of each server to its description.")
        return {}
    return {str(name): {**description, "name": str(name)} for name, description in known.items()}


def _description(collector: ProblemCollector, item: Any, catalogue: Mapping[str, Description]) -> Description | None:
    name = item.get("name") if isinstance(item, dict) else item
    if not isinstance(item, (str, dict)) or not isinstance(name, (str, type(None))):
        collector.add("each of language_servers must be the name of a known server, or a mapping with a name.")
        return None
    if name is not None and name in catalogue:
        return _merged(catalogue[name], {} if isinstance(item, str) else item)
    if isinstance(item, dict) and (name is None or {"command", "languages"} & set(item)):
        return item
    choices = ", ".join(sorted(catalogue)) or "none"
    collector.add(
        f"language server {name!r} is unknown: use one of the known ones ({choices}), "
        "or describe it with a name, a command and languages."
    )
    return None


def _merged(below: Description, above: Description) -> dict[str, Any]:
    """Merge mappings recursively; any other value, also a list, replaces what was there."""
    return {
        **below,
        **{
            key: _merged(below[key], value) if isinstance(value, dict) and isinstance(below.get(key), dict) else value
            for key, value in above.items()
        },
    }


def _server(collector: ProblemCollector, declared: Description) -> dict[str, Any]:
    argv = collector.parse("language_servers: command", parsers.command, declared.get("command"), ["?"])
    name = str(declared.get("name") or os.path.basename(argv[0]))
    if unknown := sorted(set(map(str, declared)) - _KEYS):
        accepted = ", ".join(sorted(_KEYS))
        collector.add(f"language server {name} has {', '.join(unknown)}, which is not known: use {accepted}.")
    # A key that is not declared is not written, so that the agent's default holds; except for these.
    given: dict[str, Any] = {"languages": None, "settings": {}, "initialization_options": {}, "environment": {}}
    given["ready"] = "immediate"
    given |= {key: declared[key] for key in sorted(_KEYS) if declared.get(key) is not None}
    result: dict[str, Any] = {"name": name, "command": argv}
    for key, value in given.items():
        if key not in result:
            written, parse = _CONVERTED.get(key) or (key, _rule(key))
            result[written] = collector.parse(f"language server {name}: {key}", parse, value, value)
    for problem in combination_problems(result):
        collector.add(f"language server {name}: {problem}.")
    return result


def _rule(key: str) -> Callable[[Any], Any]:
    requirement, holds = RULES[key]

    def parse(value: Any) -> Any:
        if not holds(value):
            raise ValueError(requirement)
        return value

    return parse


# The keys that an inventory writes in another form than the agent's configuration: how that names and holds them.
_CONVERTED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "environment": ("environment", parsers.environment),
    "load_seconds": ("load_seconds", parsers.seconds_up_to_a_day),
    "memory": ("memory", parsers.memory_bytes),
    "idle_stop": ("idle_seconds", duration_seconds),
}
_KEYS = frozenset(RULES) - {"idle_seconds"} | {"idle_stop"}
