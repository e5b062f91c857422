"""A client under test, and where it works."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codebuddy_testing.real_clients.packages import install, node


@dataclass(frozen=True)
class Command:
    """How a client is started: its command line, and its environment beside that of all clients."""

    words: Sequence[str]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Place:
    """Where a client is to work.

    Args:
        hub: the hub's address over HTTP, and ``token`` its key.
        process: the command line of the program that connects a client over stdio.
        model: the address of the scripted model.
    """

    home: Path
    hub: str
    token: str
    process: Sequence[str]
    model: str

    @property
    def bearer(self) -> str:
        return f"Bearer {self.token}"

    def write(self, path: str, document: Any) -> Path:
        """Write a file below the home: a text, or a JSON document."""
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(document if isinstance(document, str) else json.dumps(document, indent=2))
        return file


@dataclass(frozen=True)
class Deviation:
    """Why a scenario does not end well for a client, by the client's own making.

    Args:
        reason: a sentence for the table.
        seen: a pattern of what the model sees instead.
    """

    reason: str
    seen: str = ""


@dataclass(frozen=True)
class Client:
    """A client under test.

    Args:
        package: its folder in `packages.PINNED`.
        over_stdio: whether it starts the hub's program for stdio, or connects over HTTP.
        prefixed: see `script.ScriptedModel`.
        deviations: by the name of the scenario.
        progress: whether what it sees of a call has the progress of the call in it.
        cancels: whether an interrupt only cancels its call, after which it goes on.
        in_ci: whether it is among those that CI runs.
    """

    name: str
    package: str
    start: Callable[[Client, Place], Command]
    over_stdio: bool = False
    prefixed: bool = True
    deviations: Mapping[str, Deviation] = field(default_factory=dict)
    progress: bool = False
    cancels: bool = False
    in_ci: bool = False

    def program(self, name: str) -> str:
        """Return the path of one of its programs."""
        folder = install(self.package)
        programs = folder / "node_modules/.bin"
        return str((programs if programs.is_dir() else folder / "bin") / name)


def _node_path() -> str:
    return f"{node()}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def node_path() -> str:
    """Return a search path on which Node.js is the pinned one."""
    return f"{node()}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
