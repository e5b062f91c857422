"""What a project declares about its language servers, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final, Literal, get_args

ReadyBy = Literal["immediate", "progress", "server_status", "log"]

Refresh = Literal["notify", "show", "search", "reload", "restart"]

LOAD_SECONDS: Final = 300.0

Feature = Literal["navigation", "hover", "completion", "diagnostics", "format", "actions", "rename"]
"""What a server can be declared for: a project may take its types from one and its formatting from another."""

FEATURES: Final[tuple[Feature, ...]] = get_args(Feature)

LIMITS: Final = ("searched_files", "parsed_files", "shortest_name")
"""What of a project a server may leave out without saying so."""

_MAPPINGS: Final = ("settings", "initialization_options")
_NUMBERS: Final = ("load_seconds", "memory", "idle_seconds")


@dataclass(frozen=True)
class ServerConfig:
    """One language server as declared.

    Args:
        name: what it is called in answers and in health.
        command: program and arguments; it speaks LSP on stdin and stdout.
        languages: file pattern to LSP language id. A pattern without ``/`` is matched with the file's name, one with
            ``/`` with its path in the project; the first that matches counts.
        ready: how it is known that it has loaded the project: ``immediate`` (it answers completely as soon as it is
            initialized), ``progress`` (its ``$/progress`` has ended), ``server_status`` (rust-analyzer's
            ``experimental/serverStatus`` says quiescent), ``log`` (it wrote a line that ``ready_log`` matches: for one
            that has nothing better).
        ready_log: a regular expression, searched in each line of its standard error output and in what it sends as
            ``window/logMessage`` and ``window/showMessage``.
        load_seconds: how long it may take to load the project before it counts as degraded.
        memory: the most bytes of memory that it and all that it started may use; over it, it is restarted.
        idle_seconds: it is ended when it was asked nothing for so long, and started again when it is asked.
        refresh: what makes it know files that changed, before the next question: ``notify`` (being told of them),
            ``show`` (their texts), ``search`` (their texts, and that a search of its own for new files has ended, which
            it logs as ``ready_log`` says), ``reload`` (being told, or a new process when more than a few changed or a
            directory is new), ``restart`` (a new process, when files are gone or more than a few changed).
        features: what it is asked for; left out: everything that it can.
        settings: answers to ``workspace/configuration``, by section.
        initialization_options: sent with ``initialize``.
        environment: set for the server, over the project's own.
        limits: what it silently leaves out when it looks for a name in the project: it opens ``searched_files`` files
            at most and looks closely at ``parsed_files`` with the name, and a name of fewer characters than
            ``shortest_name`` it looks for in its own file only.
    """

    name: str
    command: list[str]
    languages: dict[str, str]
    ready: ReadyBy = "immediate"
    features: Sequence[Feature] = FEATURES
    settings: dict[str, Any] = field(default_factory=dict)
    initialization_options: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    ready_log: str | None = None
    refresh: Refresh = "show"
    load_seconds: float = LOAD_SECONDS
    memory: int | None = None
    idle_seconds: float | None = None
    limits: Mapping[str, int] = field(default_factory=dict)

    def language_of(self, path: str) -> str | None:
        """Give the language id of a file, by its path in the project; None when the server does not serve it."""
        name = path.rpartition("/")[2]
        for pattern, language in self.languages.items():
            if fnmatchcase(path if "/" in pattern else name, pattern):
                return language
        return None


def read_server_configs(raw: Any, environment: Mapping[str, str] | None = None) -> list[ServerConfig]:
    """Check the ``language_servers`` of a spoke's configuration.

    Args:
        raw: the list as it stands in the configuration file.
        environment: the project's environment; each server's own is laid over it.

    Raises:
        ValueError: one sentence that names the server and what is wrong.
    """
    if not isinstance(raw, list):
        raise ValueError("language_servers must be a list")
    configs = [_read(item, environment or {}) for item in raw]
    names = [config.name for config in configs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"language_servers: two servers are called {name!r}; give each its own name")
    return configs


def _read(item: Any, environment: Mapping[str, str]) -> ServerConfig:
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        raise ValueError("language_servers: each item must be a mapping with a name")
    name, item = item["name"], {key: value for key, value in item.items() if value is not None}
    known = set(ServerConfig.__dataclass_fields__)
    if unknown := sorted(set(item) - known):
        raise ValueError(
            f"language server {name!r}: unknown {', '.join(unknown)}; it accepts {', '.join(sorted(known))}"
        )
    if problem := _problem(item):
        raise ValueError(f"language server {name!r}: {problem}")
    return ServerConfig(**{**item, "environment": {**environment, **item.get("environment", {})}})


def _problem(item: dict[str, Any]) -> str | None:
    """Say what is wrong with the values of a declaration; None when nothing is."""
    ready, languages = item.get("ready", "immediate"), item.get("languages")
    features = item.get("features", list(FEATURES))
    checks = {
        "command must be a non-empty list of strings": _is_text_list(item.get("command")),
        "languages must map file patterns to language ids": _is_text_mapping(languages) and bool(languages),
        f"ready must be one of {', '.join(get_args(ReadyBy))}": ready in get_args(ReadyBy),
        f"refresh must be one of {', '.join(get_args(Refresh))}": item.get("refresh", "show") in get_args(Refresh),
        "ready: log and ready_log go together; give both or none": (ready == "log") == ("ready_log" in item),
        "refresh: search needs ready: log, which says when a search has ended": item.get("refresh") != "search"
        or ready == "log",
        "ready_log must be a regular expression": _is_pattern(item.get("ready_log", "")),
        f"features must be a list of some of {', '.join(FEATURES)}": _is_text_list(features)
        and set(features) <= set(FEATURES),
        "environment must map names to strings": _is_text_mapping(item.get("environment", {})),
        f"limits must map some of {', '.join(LIMITS)} to whole numbers over 0": _are_limits(item.get("limits", {})),
        **{f"{key} must be a mapping": isinstance(item.get(key, {}), dict) for key in _MAPPINGS},
        **{f"{key} must be a number over 0": _is_number(item.get(key, 1)) for key in _NUMBERS},
    }
    return next((sentence for sentence, holds in checks.items() if not holds), None)


def _is_text_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(part, str) for part in value)


def _is_text_mapping(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(part, str) for pair in value.items() for part in pair)


def _are_limits(value: Any) -> bool:
    return isinstance(value, dict) and all(
        key in LIMITS and type(number) is int and number > 0 for key, number in value.items()
    )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and value > 0


def _is_pattern(value: Any) -> bool:
    try:
        return isinstance(value, str) and re.compile(value) is not None
    except re.error:
        return False
