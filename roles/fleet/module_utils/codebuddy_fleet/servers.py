"""The language servers of a project: chosen by name among those that its profile knows, or described whole.

What is accepted here is what the spoke accepts (``codebuddy.language.config``); a test makes the two meet.
"""

from __future__ import annotations

import os.path
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from . import values
from .reading import Reader

__all__ = ["FEATURES", "LIMITS", "READINESS", "REFRESH", "read_language_servers"]

READINESS = ("immediate", "progress", "server_status", "log")
LIMITS = ("searched_files", "parsed_files", "shortest_name")
REFRESH = ("notify", "show", "search", "reload", "restart")
FEATURES = ("navigation", "hover", "completion", "diagnostics", "format", "actions", "rename")
Description = Mapping[str, Any]


def read_language_servers(reader: Reader, chosen: Any, known: Any) -> tuple[dict[str, Any], ...]:
    """Give the chosen servers as the spoke reads them, in their order.

    Args:
        reader: takes what is wrong.
        chosen: a list whose items are the name of a known server; or a mapping whose ``name`` is known, which is laid
            over its description by key; or the whole description of another server.
        known: name to description.
    """
    catalogue = _catalogue(reader, known)
    described = [_described(reader, item, catalogue) for item in reader.items("language_servers", chosen)]
    servers = tuple(_server(reader, one) for one in described if one is not None)
    for name, count in Counter(server["name"] for server in servers).items():
        if count > 1:
            reader.say(f"language server {name} is declared {count} times: give each a name of its own.")
    return servers


def _catalogue(reader: Reader, known: Any) -> dict[str, Description]:
    if known is None:
        return {}
    if not isinstance(known, dict) or not all(isinstance(one, dict) for one in known.values()):
        reader.say("known_language_servers must map the name of each server to its description.")
        return {}
    return {str(name): {**description, "name": str(name)} for name, description in known.items()}


def _described(reader: Reader, item: Any, catalogue: Mapping[str, Description]) -> Description | None:
    name = item.get("name") if isinstance(item, dict) else item
    if not isinstance(item, (str, dict)) or not isinstance(name, (str, type(None))):
        reader.say("each of language_servers must be the name of a known server, or a mapping with a name.")
        return None
    if name is not None and name in catalogue:
        return _laid_over(catalogue[name], {} if isinstance(item, str) else item)
    if isinstance(item, dict) and (name is None or {"command", "languages"} & set(item)):
        return item
    choices = ", ".join(sorted(catalogue)) or "none"
    reader.say(
        f"language server {name!r} is unknown: use one of the known ones ({choices}), "
        "or describe it with a name, a command and languages."
    )
    return None


def _laid_over(below: Description, above: Description) -> dict[str, Any]:
    """Merge by key, in depth; a list or a single value replaces what was there."""
    return {
        **below,
        **{
            key: _laid_over(below[key], value)
            if isinstance(value, dict) and isinstance(below.get(key), dict)
            else value
            for key, value in above.items()
        },
    }


def _server(reader: Reader, value: Description) -> dict[str, Any]:
    argv = reader.read("language_servers: command", values.command, value.get("command"), ["?"])
    name = str(value.get("name") or os.path.basename(argv[0]))
    if unknown := sorted(set(map(str, value)) - _KEYS):
        accepted = ", ".join(sorted(_KEYS))
        reader.say(f"language server {name} has {', '.join(unknown)}, which is not known: use {accepted}.")
    result: dict[str, Any] = {"name": name, "command": argv}
    for key, (parse, otherwise) in _ALWAYS.items():
        given = value.get(key)
        result[key] = reader.read(
            f"language server {name}: {key}", parse, otherwise if given is None else given, otherwise
        )
    # A key that is not set is not written: the spoke has the default.
    for key, (written, parse) in _WHEN_SET.items():
        if value.get(key) is not None:
            result[written] = reader.read(f"language server {name}: {key}", parse, value[key], None)
    if (result["ready"] == "log") != ("ready_log" in result):
        reader.say(f"language server {name}: ready: log and ready_log, the line that tells it, go together.")
    if result.get("refresh") == "search" and result["ready"] != "log":
        reader.say(f"language server {name}: refresh: search needs ready: log, which tells when a search has ended.")
    return result


def _languages(value: Any) -> dict[str, str]:
    if (
        not isinstance(value, dict)
        or not value
        or not all(isinstance(text, str) for pair in value.items() for text in pair)
    ):
        raise ValueError("must map file patterns to languages, like {'*.py': python}")
    return dict(value)


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("must be a mapping")
    return value


def _one_of(choices: tuple[str, ...]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"is unknown: use one of {', '.join(choices)}")
        return str(value)

    return read


def _features(value: Any) -> list[str]:
    if not isinstance(value, list) or not value or not all(one in FEATURES for one in value):
        raise ValueError(f"must be a list of some of {', '.join(FEATURES)}")
    return value


def _limits(value: Any) -> dict[str, int]:
    if not isinstance(value, dict) or not all(
        key in LIMITS and type(number) is int and number > 0 for key, number in value.items()
    ):
        raise ValueError(f"must map some of {', '.join(LIMITS)} to whole numbers over 0")
    return dict(value)


_ALWAYS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "languages": (_languages, {}),
    "settings": (_mapping, {}),
    "initialization_options": (_mapping, {}),
    "environment": (values.environment, {}),
    "ready": (_one_of(READINESS), READINESS[0]),
}
# Key of the inventory to key of the configuration.
_WHEN_SET: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "features": ("features", _features),
    "ready_log": ("ready_log", values.pattern),
    "load_seconds": ("load_seconds", values.seconds),
    "memory": ("memory", values.memory_bytes),
    "idle_stop": ("idle_seconds", values.duration_seconds),
    "refresh": ("refresh", _one_of(REFRESH)),
    "limits": ("limits", _limits),
}
_KEYS = frozenset({"name", "command", *_ALWAYS, *_WHEN_SET})
