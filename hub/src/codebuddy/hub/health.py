"""The health of each project: its link, language servers and mount, with a reason for what is not ready."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import anyio
from pydantic import BaseModel

from codebuddy.configuration import HubProject
from codebuddy.files.confinement import Workspaces
from codebuddy.hub.spokes import Links
from codebuddy.schemas.status import LanguageServerState, SpokeStatus
from codebuddy.tool import Principal, ToolError

STATUS_SECONDS = 2.0
"""How long a spoke may take to report its status."""


class ProjectHealth(BaseModel):
    """One project's part of the health document.

    The project is ready when everything works; otherwise ``reason`` says why. A degraded language server makes it not
    ready, because its answers may be incomplete. One that is loading, or stopped until it is needed, does not.
    """

    ready: bool
    link: Literal["connected", "offline", "silent"]  # offline: no spoke has connected; silent: it does not answer
    mount: Literal["same", "differs", "missing"] | None = None  # same: hub and spoke see one directory
    watching: str | None = None  # how the spoke notices changes
    language_servers: list[LanguageServerState] = []
    reason: str | None = None


class FleetHealth:
    """Asks the spokes for their status, and compares their mounts with the hub's own."""

    def __init__(self, projects: Mapping[str, HubProject], links: Links, workspaces: Workspaces) -> None:
        self.projects = projects
        self._links = links
        self._workspaces = workspaces

    async def health(self, principal: Principal | None) -> dict[str, Any]:
        """Return the overall status, and for a principal also the projects that it covers."""
        reports = await self.project_health(self.projects)
        ready = all(report.ready for report in reports.values())
        document: dict[str, Any] = {"status": "ok" if ready else "degraded"}
        if principal is not None:
            document["hub"] = "ok"
            document["projects"] = {
                project: reports[project].model_dump(mode="json", exclude_none=True)
                for project in principal.visible(reports)
            }
        return document

    async def project_health(self, projects: Iterable[str]) -> dict[str, ProjectHealth]:
        """Ask the spokes of these projects concurrently."""
        reports: dict[str, ProjectHealth] = {}

        async def ask(project: str) -> None:
            reports[project] = await self._ask(project)

        async with anyio.create_task_group() as tasks:
            for project in projects:
                tasks.start_soon(ask, project)
        return dict(sorted(reports.items()))

    async def _ask(self, project: str) -> ProjectHealth:
        try:
            with anyio.fail_after(STATUS_SECONDS):
                status = await self._links.call(project, "spoke_status", {}, SpokeStatus)
        except ToolError as error:
            return ProjectHealth(ready=False, link="offline", reason=error.message)
        except TimeoutError:
            reason = f"The spoke of {project} does not report its status; see its log."
            return ProjectHealth(ready=False, link="silent", reason=reason)
        return self._judge(project, status)

    def _judge(self, project: str, status: SpokeStatus) -> ProjectHealth:
        reasons = [
            f"language server {server.name}: {server.reason or server.state}"
            for server in status.language_servers
            if server.state in ("dead", "degraded")
        ]
        mount: Literal["same", "differs", "missing"] = "same"
        try:
            identity = self._workspaces.identity(project)
            if status.unavailable is not None:
                mount = "missing"
                reasons.append(f"its spoke says: {status.unavailable}")
            elif identity != status.mount:
                mount = "differs"
                reasons.append(
                    "hub and spoke see different directories: the project's was moved or replaced; run: make up"
                )
        except ToolError as error:
            mount = "missing"
            reasons.append(error.message)
        return ProjectHealth(
            ready=not reasons,
            link="connected",
            mount=mount,
            watching=status.watching,
            language_servers=status.language_servers,
            reason="; ".join(reasons) or None,
        )
