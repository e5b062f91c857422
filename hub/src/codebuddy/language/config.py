"""What a project declares about its language servers, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final, Literal, get_args

__all__ = ["FEATURES", "Feature", "ReadyBy", "ServerConfig", "read_server_configs"]

ReadyBy = Literal["immediate", "progress", "server_status"]

Feature = Literal["navigation", "hover", "completion", "diagnostics", "format", "actions", "rename"]
"""What a server can be declared for: a project may take its types from one and its formatting from another."""

FEATURES: Final[tuple[Feature, ...]] = get_args(Feature)


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
            ``experimental/serverStatus`` says quiescent).
        features: what it is asked for; left out: everything that it can.
        settings: answers to ``workspace/configuration``, by section.
        initialization_options: sent with ``initialize``.
        environment: set for the server, over the project's own.
    """

    name: str
    command: list[str]
    languages: dict[str, str]
    ready: ReadyBy = "immediate"
    features: Sequence[Feature] = FEATURES
    settings: dict[str, Any] = field(default_factory=dict)
    initialization_options: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

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
    name = item["name"]
    known = set(ServerConfig.__dataclass_fields__)
    if unknown := sorted(set(item) - known):
        raise ValueError(
            f"language server {name!r}: unknown {', '.join(unknown)}; it accepts {', '.join(sorted(known))}"
        )
    command, languages, ready = item.get("command"), item.get("languages"), item.get("ready", "immediate")
    if not isinstance(command, list) or not command or not all(isinstance(part, str) for part in command):
        raise ValueError(f"language server {name!r}: command must be a non-empty list of strings")
    if not _is_text_mapping(languages) or not languages:
        raise ValueError(f"language server {name!r}: languages must map file patterns to language ids")
    if ready not in get_args(ReadyBy):
        raise ValueError(f"language server {name!r}: ready must be one of {', '.join(get_args(ReadyBy))}")
    features = item.get("features", list(FEATURES))
    if not isinstance(features, list) or not features or not set(map(str, features)) <= set(FEATURES):
        raise ValueError(f"language server {name!r}: features must be a list of some of {', '.join(FEATURES)}")
    for key in ("settings", "initialization_options"):
        if not isinstance(item.get(key, {}), dict):
            raise ValueError(f"language server {name!r}: {key} must be a mapping")
    if not _is_text_mapping(item.get("environment", {})):
        raise ValueError(f"language server {name!r}: environment must map names to strings")
    return ServerConfig(**{**item, "environment": {**environment, **item.get("environment", {})}})


def _is_text_mapping(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(part, str) for pair in value.items() for part in pair)
