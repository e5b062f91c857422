"""The table that ``make status`` prints, made of what the engine and the hub say. Pure: asks neither."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .egress import proxy_id

__all__ = ["Row", "rows", "table"]

_PROXY = proxy_id("")  # ends the name of a proxy, which begins with its project's id
_HEADINGS = ("", "CONTAINER", "LINK", "LANGUAGE SERVERS", "MOUNT", "READY")


@dataclass(frozen=True)
class Row:
    """One line: the hub, a project with its spoke, or a project's proxy.

    Args:
        name: ``hub``, the project's id, or the proxy's.
        container: what the engine says of it, e.g. ``Up 3 minutes (healthy)``.
        reason: why it is not ready; None when it is.
    """

    name: str
    container: str
    link: str = "-"
    language_servers: str = "-"
    mount: str = "-"
    reason: str | None = None

    @property
    def ready(self) -> bool:
        """Whether nothing is wrong with it."""
        return self.reason is None

    def cells(self) -> tuple[str, ...]:
        """Give the cells under the headings."""
        ready = "yes" if self.ready else f"no: {self.reason}"
        return (self.name, self.container, self.link, self.language_servers, self.mount, ready)


def rows(containers: Mapping[str, str], health: Mapping[str, Any] | None, silence: str) -> list[Row]:
    """Combine both views: the hub first, then the projects by id, each before its proxy.

    A project is told whether one side or both know of it.

    Args:
        containers: the engine's word for each container, by ``hub``, project id, or `proxy_id`.
        health: the hub's ``/health`` document as one sees it who may read all projects; None when it does not answer.
        silence: why it does not.
    """
    projects: Mapping[str, Mapping[str, Any]] = (health or {}).get("projects", {})
    proxies = {name: state for name, state in containers.items() if name.endswith(_PROXY)}
    containers = {name: state for name, state in containers.items() if name not in proxies}
    hub = Row("hub", containers.get("hub", "none"), reason=silence if health is None else None)
    ids = sorted((set(containers) | set(projects)) - {"hub"})
    spokes = [_row(one, containers.get(one, "none"), projects.get(one)) for one in ids]
    return [hub, *sorted([*spokes, *map(_proxy_row, proxies.items())], key=lambda row: row.name)]


def table(lines: Sequence[Row]) -> str:
    """Lay the rows out in columns, with their headings."""
    cells = [_HEADINGS, *(line.cells() for line in lines)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    padded = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in cells)
    return "\n".join("  ".join(line).rstrip() for line in padded)


def _proxy_row(found: tuple[str, str]) -> Row:
    name, container = found
    reason = (
        None
        if container.startswith("Up") and "unhealthy" not in container
        else "nothing outside can be reached through it"
    )
    return Row(name, container, reason=reason)


def _row(project: str, container: str, report: Mapping[str, Any] | None) -> Row:
    if report is None:
        return Row(project, container, reason="the hub tells nothing of it")
    servers = ", ".join(f"{server['name']} {server['state']}" for server in report.get("language_servers", [])) or "-"
    reason = None if report.get("ready") else str(report.get("reason", "unknown"))
    return Row(project, container, report.get("link", "-"), servers, report.get("mount", "-"), reason)
