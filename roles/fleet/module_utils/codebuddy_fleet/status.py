"""The table that ``make status`` prints, from the answers of engine and hub. Pure: asks neither."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .egress import proxy_id
from .text_safety import one_line

_LONGEST_CELL = 1000
_PROXY_SUFFIX = proxy_id("")
# The engine's health check is some seconds older than the hub's answer, which READY tells: only one of them is shown.
_CHECKED = re.compile(r" \((healthy|unhealthy|health: starting)\)")
_HEADINGS = ("", "CONTAINER", "LINK", "LANGUAGE SERVERS", "MOUNT", "READY")


@dataclass(frozen=True)
class Row:
    """One line: the hub, a project with its spoke, or a project's proxy."""

    name: str  # ``hub``, the project's id, or the proxy's
    container: str  # the engine's description, such as ``Up 3 minutes (healthy)``
    link: str = "-"
    language_servers: str = "-"
    mount: str = "-"
    reason: str | None = None  # why it is not ready; None when it is

    @property
    def ready(self) -> bool:
        return self.reason is None

    def cells(self) -> tuple[str, ...]:
        """Return the cells under the headings."""
        ready = "yes" if self.ready else f"no: {self.reason}"
        container = _CHECKED.sub("", self.container)
        cells = (self.name, container, self.link, self.language_servers, self.mount, ready)
        return tuple(one_line(cell, _LONGEST_CELL) for cell in cells)


def rows(
    containers: Mapping[str, str],
    health: Mapping[str, Any] | None,
    hub_error: str,
    stale: Mapping[str, str] | None = None,
) -> list[Row]:
    """Combine the two answers: the hub first, then the projects by id, each before its proxy.

    A project has a row even if only one of engine and hub knows it.

    Args:
        containers: the engine's description of each container, by ``hub``, project id, or `proxy_id`.
        health: the hub's ``/health`` document with all projects; None if the hub does not answer.
        hub_error: why it does not.
        stale: project id to its path on the host, where its containers see another directory.
    """
    projects: Mapping[str, Mapping[str, Any]] = (health or {}).get("projects", {})
    proxies = {name: state for name, state in containers.items() if name.endswith(_PROXY_SUFFIX)}
    containers = {name: state for name, state in containers.items() if name not in proxies}
    hub = Row("hub", containers.get("hub", "none"), reason=hub_error if health is None else None)
    ids = (set(containers) | set(projects)) - {"hub"}
    found = [_project_row(one, containers.get(one, "none"), projects.get(one), (stale or {}).get(one)) for one in ids]
    found += [_proxy_row(name, state) for name, state in proxies.items()]
    return [hub, *sorted(found, key=lambda row: row.name)]


def table(lines: Sequence[Row]) -> str:
    """Return the rows in columns, with their headings."""
    cells = [_HEADINGS, *(line.cells() for line in lines)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    padded = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in cells)
    return "\n".join("  ".join(line).rstrip() for line in padded)


def _proxy_row(name: str, container: str) -> Row:
    healthy = container.startswith("Up") and "unhealthy" not in container
    return Row(name, container, reason=None if healthy else "nothing outside can be reached through it")


def _project_row(project: str, container: str, report: Mapping[str, Any] | None, stale: str | None) -> Row:
    if report is None:
        return Row(project, container, reason="the hub reports nothing about it")
    servers = ", ".join(f"{server['name']} {server['state']}" for server in report.get("language_servers", [])) or "-"
    reason = None if report.get("ready") else str(report.get("reason", "unknown"))
    mount = report.get("mount", "-")
    if stale is not None and mount == "same":
        mount = "stale"
        own = f"its containers see another directory than the one that is at {stale} now; run: make up"
        reason = own if reason is None else f"{reason}; {own}"
    return Row(project, container, report.get("link", "-"), servers, mount, reason)
