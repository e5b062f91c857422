"""The declaration of a project's language servers, and its validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from codebuddy.schemas.server_description import (
    FEATURES,
    RULES,
    Feature,
    Modules,
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
        name: its name in answers and in health.
        command: program and arguments; it speaks LSP on stdin and stdout.
        languages: file pattern to LSP language id; the first match counts. A pattern with ``/`` is matched against the
            path in the project, one without against the file's name.
        ready: what shows that the project is loaded: ``immediate`` (answers are complete once the server is
            initialized), ``progress`` (its ``$/progress`` has ended), ``server_status`` (rust-analyzer's
            ``experimental/serverStatus`` says quiescent), ``log`` (it wrote a line that matches ``ready_log``: for a
            server that has nothing better).
        ready_log: a regular expression, searched in each line of stderr and in the texts of ``window/logMessage`` and
            ``window/showMessage``.
        load_seconds: how long loading may take before the server counts as degraded.
        memory: the bytes of memory that the server and its children may use together; over it, it is restarted.
        idle_seconds: the server is stopped after so long without a request, and started by the next one.
        refresh: how the server learns of changed files before the next request: ``notify`` (by notifications),
            ``show`` (by their texts), ``search`` (by their texts, and a search of its own for new files, whose end it
            logs as ``ready_log`` says), ``reload`` (by notifications; by a new process if more than a few files
            changed or a directory is new), ``restart`` (by a new process if files are gone or more than a few changed).
        features: what the server is used for; default: everything that it supports.
        modules: ``commonjs``: it is asked about CommonJS modules only, before other servers, and started by the first
            question about one.
        settings: answers to ``workspace/configuration``, by section.
        initialization_options: sent with ``initialize``.
        environment: variables of the server, over those of the project.
        limits: what the server silently leaves out when it looks for a name in the project: it opens at most
            ``searched_files`` files, examines at most ``parsed_files`` that contain the name, and looks for a name
            of fewer than ``shortest_name`` characters only in the name's own file.
    """

    name: str
    command: list[str]
    languages: dict[str, str]
    ready: ReadyBy = "immediate"
    features: Sequence[Feature] = FEATURES
    modules: Modules | None = None
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
        """Return the language id of a path in the project; None if the server does not serve it."""
        name = path.rpartition("/")[2]
        for pattern, language in self.languages.items():
            if fnmatchcase(path if "/" in pattern else name, pattern):
                return language
        return None


def read_server_configs(raw: Any, environment: Mapping[str, str] | None = None) -> list[ServerConfig]:
    """Validate the ``language_servers`` of a spoke's configuration; their environments extend the project's.

    Raises:
        ValueError: one sentence that names the server and the problem.
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
