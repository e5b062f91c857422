"""Arguments and answer of restart_language_server: what hub and spoke agree on."""

from __future__ import annotations

from pydantic import Field

from codebuddy.telemetry.models import LanguageServerState
from codebuddy.tool import Arguments, Result

__all__ = ["RestartArguments", "ServerStates"]


class RestartArguments(Arguments):
    """Which of a project's language servers to restart."""

    name: str | None = Field(
        None, description="Name of the language server, as list_projects gives it; left out: all of the project."
    )
    timeout_seconds: float = Field(30.0, gt=0, le=600, description="Seconds to wait until they have loaded.")


class ServerStates(Result):
    """How a project's language servers are."""

    language_servers: list[LanguageServerState]
