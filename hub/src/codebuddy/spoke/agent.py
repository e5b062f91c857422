"""The agent's assembly: starts the language servers, serves this project's tools, keeps the link to the hub."""

from __future__ import annotations

import gc
import logging
import os
import signal
from pathlib import Path
from typing import Any

import anyio

from codebuddy.configuration import CONFIG_PATH, SECRETS, SpokeConfiguration
from codebuddy.language.config import read_server_configs
from codebuddy.language.servers import LanguageServers
from codebuddy.schemas.status import LanguageServerState, SpokeStatus, StatusArguments
from codebuddy.spoke.code import code_tools
from codebuddy.spoke.dial import dial_for_ever
from codebuddy.spoke.local import listen_locally
from codebuddy.spoke.orphans import Orphans
from codebuddy.spoke.runs import Commands, run_tools
from codebuddy.spoke.servers import server_tools
from codebuddy.telemetry.state import WRITE_SECONDS, write_state
from codebuddy.tool import Call, Tool
from codebuddy.wire.link import LINK_PATH, LinkServer
from codebuddy.wire.stdio import AGENT_SOCKET

__all__ = ["Agent", "serve_project"]

WORKSPACE = Path("/workspace")

log = logging.getLogger(__name__)


class Agent:
    """One project's agent: its language servers, its tools, its state. Nothing is started by making it.

    Args:
        configuration: the spoke's configuration.
        workspace: the project's directory.
    """

    def __init__(self, configuration: SpokeConfiguration, workspace: Path = WORKSPACE) -> None:
        self._project = configuration.project
        self._workspace = workspace
        self._link, self._link_reason = "disconnected", "not dialled yet"
        declared = read_server_configs(configuration.language_servers, configuration.environment)
        self.servers = LanguageServers(configuration.project, workspace, declared)
        self.commands = Commands(configuration, self.servers.tree)
        self.tools: list[Tool[Any]] = [
            *code_tools(self.servers),
            *run_tools(self.commands),
            *server_tools(self.servers),
            _status_tool(self),
        ]
        self.server = LinkServer(
            f"codebuddy-{configuration.project}", self.tools, f"the log of the spoke of {configuration.project}"
        )

    def status(self) -> SpokeStatus:
        """Tell how the spoke is."""
        found = os.stat(self._workspace)
        watch = self.servers.watching()
        return SpokeStatus(
            mount=f"{found.st_dev}:{found.st_ino}",
            watching=str(watch["mode"]) + (f": {watch['reason']}" if watch["reason"] else ""),
            language_servers=[LanguageServerState.model_validate(state) for state in self.servers.states()],
        )

    def on_link(self, state: str, reason: str | None) -> None:
        """Note how the link is, at once, for the health check."""
        self._link, self._link_reason = state, reason or ""
        self._write_state()

    async def write_states(self) -> None:
        """Leave the state where the health check reads it, again and again: that it is fresh shows that we live."""
        while True:
            self._write_state()
            await anyio.sleep(WRITE_SECONDS)

    def _write_state(self) -> None:
        try:
            status = self.status().model_dump(exclude_none=True)
            write_state({"project": self._project, "link": self._link, "link_reason": self._link_reason, **status})
        except OSError as error:  # what runs in the spoke may fill or spoil the place; the check then finds it stale
            log.warning("the agent's state cannot be written: %s", error)


def _status_tool(agent: Agent) -> Tool[Any]:
    async def spoke_status(_call: Call, _arguments: StatusArguments) -> SpokeStatus:
        return agent.status()

    return Tool(
        "spoke_status",
        "read",
        "Tell how this spoke and its servers are.",
        StatusArguments,
        SpokeStatus,
        spoke_status,
        for_hub=True,
    )


async def serve_project(config_path: Path = CONFIG_PATH, secrets: Path = SECRETS) -> None:
    """Run the agent until SIGTERM or SIGINT; whatever it started ends with it."""
    configuration = SpokeConfiguration.load(config_path)
    agent = Agent(configuration)
    url = os.environ["CODEBUDDY_URL"].rstrip("/") + LINK_PATH
    gc.freeze()  # what exists now stays; the collector need not walk it again, which keeps the slowest answers quick
    async with agent.commands.running(), anyio.create_task_group() as tasks:
        tasks.start_soon(agent.servers.run)
        tasks.start_soon(agent.write_states)
        tasks.start_soon(Orphans(agent.commands.runs.forks).run)
        tasks.start_soon(listen_locally, agent.server, configuration.project, AGENT_SOCKET)
        tasks.start_soon(dial_for_ever, url, secrets / "token", agent.server, configuration.project, agent.on_link)
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for number in signals:
                log.info("stopping on %s", signal.Signals(number).name)
                tasks.cancel_scope.cancel()
                break
