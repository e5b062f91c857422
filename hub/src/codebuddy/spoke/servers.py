"""The spoke's tool about its language servers themselves: restart them."""

from __future__ import annotations

import asyncio
from typing import Any

from codebuddy.language.servers import LanguageServers
from codebuddy.schemas.code import RestartArguments, ServerStates
from codebuddy.schemas.status import LanguageServerState
from codebuddy.spoke.code import reporter
from codebuddy.tool import Call, Tool

__all__ = ["server_tools"]


def server_tools(servers: LanguageServers) -> list[Tool[Any]]:
    """Give the tools of this family."""

    async def restart(call: Call, arguments: RestartArguments) -> ServerStates:
        deadline = asyncio.get_running_loop().time() + arguments.timeout_seconds
        states = await servers.restart(arguments.name, deadline, reporter(call))
        return ServerStates(language_servers=[LanguageServerState.model_validate(state) for state in states])

    return [
        Tool(
            "restart_language_server",
            "run",
            "Restart the language servers of this project, or the one that is named.",
            RestartArguments,
            ServerStates,
            restart,
        )
    ]
