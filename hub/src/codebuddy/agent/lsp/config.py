"""What a project declares about its language servers, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from codebuddy.schemas.server_description import (
    FEATURES,
    RULES,
    Feature,
    ReadyBy,
    Refresh,
    combination_problems,
    value_problems,
)

LOAD_SECONDS: Final = 300.0


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
    if unknown := sorted(set(item) - set(RULES)):
        raise ValueError(
            f"language server {name!r}: unknown {', '.join(unknown)}; it accepts {', '.join(sorted(RULES))}"
        )
    if problems := value_problems(item) + combination_problems(item):
        raise ValueError(f"language server {name!r}: {problems[0]}")
    return ServerConfig(**{**item, "environment": {**environment, **item.get("environment", {})}})
