"""The agent of one project: its tools, served over the link to the hub and on a local socket."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio

from codebuddy.agent.code_tools import code_tools, reporter
from codebuddy.agent.lsp.config import read_server_configs
from codebuddy.agent.lsp.servers import LanguageServers
from codebuddy.agent.preparation import prepare
from codebuddy.agent.run_tools import RunTools, run_tools
from codebuddy.agent.runs.process import ForkServer
from codebuddy.agent.runs.supervisor import stop_and_kill
from codebuddy.configuration import CONFIG_PATH, SECRETS, SpokeConfiguration
from codebuddy.files.confinement import Workspaces
from codebuddy.files.search import use_encodings
from codebuddy.health_check import WRITE_SECONDS, write_state
from codebuddy.process_tree import ProcessId, Stat, become_subreaper, is_marked_root, zombies
from codebuddy.schemas.code import RestartArguments, ServerStates
from codebuddy.schemas.spoke_tools import SPOKE_TOOLS
from codebuddy.schemas.status import LanguageServerState, SpokeStatus, StatusArguments
from codebuddy.tool import ALL_SCOPES, Call, Principal, Tool, ToolError
from codebuddy.wire.jsonrpc import MAX_MESSAGE_BYTES
from codebuddy.wire.link import LINK_PATH, LinkServer, maintain_link
from codebuddy.wire.stdio import AGENT_SOCKET, LineChannel

WORKSPACE = Path("/workspace")

_SWEEP_SECONDS: Final = 1.5

# Runs that were begun can be looked at and stopped, whatever became of the workspace.
_OF_JOBS: Final = frozenset({"list_jobs", "job_output", "cancel_job", "attach_run", "claim_runs"})

log = logging.getLogger(__name__)


def local_principal(project: str) -> Principal:
    """Return the principal of callers inside the container: anyone who may execute programs there is trusted."""
    return Principal("local", frozenset({project}), ALL_SCOPES)


async def serve_local_socket(server: LinkServer, project: str, path: Path) -> None:
    """Serve ``codebuddy spoke --stdio`` on a socket that only this user can open, until cancelled.

    What an earlier agent left at its path is replaced.
    """
    principal = local_principal(project)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await server.serve(LineChannel(reader, writer), principal)
        finally:
            writer.close()

    try:
        _clear_path(path)
        before = os.umask(0o177)  # it is never open to others, not even between two calls
        try:
            listener = await asyncio.start_unix_server(serve, path, limit=MAX_MESSAGE_BYTES)
        finally:
            os.umask(before)
    except OSError as error:
        # The agent can do without: `codebuddy spoke --stdio` then starts language servers of its own.
        log.warning("cannot listen on %s: %s", path, error.strerror)
        return
    async with listener:
        await listener.serve_forever()


def _clear_path(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)


class OrphanReaper:
    """Adopts processes that lost their parent, reaps them, and kills those that a killed fork server left behind."""

    def __init__(self, fork_server: ForkServer) -> None:
        self._fork_server = fork_server
        self._ended: set[ProcessId] = set()

    async def run(self) -> None:
        """Sweep at intervals until cancelled."""
        become_subreaper()
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self._reap()
            own = {self._fork_server.poll(), *self._fork_server.supervisors}
            if self._fork_server.was_killed:
                stop_and_kill(partial(_is_stray, own))  # not in a thread: the agent starts nothing meanwhile

    def _reap(self) -> None:
        """Reap what had already ended at the last sweep: code that starts a process here takes its status at once."""
        # One system call while there is nothing: beside a run that forks as fast as it can, there is no time for more.
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # there is no child
            found = None
        ended = set[ProcessId]() if found is None else zombies()
        for process in ended & self._ended:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process.pid, os.WNOHANG)
        self._ended = ended


def _is_stray(own: Collection[int | None], process: ProcessId, stat: Stat) -> bool:
    return stat.parent == os.getpid() and process.pid not in own and not is_marked_root(process)


def server_tools(servers: LanguageServers) -> list[Tool[Any]]:
    """Return the tools for the language servers themselves."""

    async def restart(call: Call, arguments: RestartArguments) -> ServerStates:
        deadline = asyncio.get_running_loop().time() + arguments.timeout_seconds
        states = await servers.restart(arguments.name, deadline, reporter(call))
        return ServerStates(language_servers=[LanguageServerState.model_validate(state) for state in states])

    return [SPOKE_TOOLS["restart_language_server"].bind(restart)]


class Agent:
    """One project's agent: its language servers, its tools, its state. Creating it starts nothing."""

    def __init__(self, configuration: SpokeConfiguration, workspace: Path = WORKSPACE) -> None:
        self._project = configuration.project
        expected = {configuration.project: configuration.expect}
        self._workspaces = Workspaces({configuration.project: workspace}, expected=expected)
        self._link, self._link_reason = "disconnected", "not dialled yet"
        use_encodings(configuration.project, configuration.encodings)
        declared = read_server_configs(configuration.language_servers, configuration.environment)
        self.servers = LanguageServers(configuration.project, workspace, declared)
        self.run_tools = RunTools(configuration, self.servers.tree)
        tools = [*code_tools(self.servers), *run_tools(self.run_tools), *server_tools(self.servers)]
        self.tools: list[Tool[Any]] = [*map(self._guarded, tools), self._status_tool()]
        self.server = LinkServer(
            f"codebuddy-{configuration.project}", self.tools, f"the log of the spoke of {configuration.project}"
        )

    def _guarded(self, tool: Tool[Any]) -> Tool[Any]:
        """Refuse a tool that looks at the workspace, while that is not there or not what is expected there."""
        if tool.name in _OF_JOBS:
            return tool

        async def handle(call: Call, arguments: Any) -> Any:
            self._workspaces.root(self._project)
            return await tool.handler(call, arguments)

        return tool.bind(handle)

    def status(self) -> SpokeStatus:
        """Return the state of the spoke."""
        try:
            mount, unavailable = self._workspaces.identity(self._project), None
        except ToolError as error:
            mount, unavailable = "", error.message
        watch = self.servers.watching()
        return SpokeStatus(
            mount=mount,
            unavailable=unavailable,
            watching=str(watch["mode"]) + (f": {watch['reason']}" if watch["reason"] else ""),
            language_servers=[LanguageServerState.model_validate(state) for state in self.servers.states()],
        )

    def on_link(self, state: str, reason: str | None) -> None:
        """Record the state of the link, at once, for the health check."""
        self._link, self._link_reason = state, reason or ""
        self._write_state()

    async def write_states(self) -> None:
        """Write the state for the health check at intervals: a fresh one shows that the agent is alive."""
        while True:
            self._write_state()
            await anyio.sleep(WRITE_SECONDS)

    def _write_state(self) -> None:
        try:
            status = self.status().model_dump(exclude_none=True)
            write_state({"project": self._project, "link": self._link, "link_reason": self._link_reason, **status})
        except OSError as error:  # a program in the spoke may fill the disk; the check then finds the state stale
            log.warning("the agent's state cannot be written: %s", error)

    def _status_tool(self) -> Tool[Any]:
        async def spoke_status(_call: Call, _arguments: StatusArguments) -> SpokeStatus:
            return self.status()

        return SPOKE_TOOLS["spoke_status"].bind(spoke_status)


async def run_agent(config_path: Path = CONFIG_PATH, secrets: Path = SECRETS) -> None:
    """Run the agent until SIGTERM or SIGINT; whatever it started ends with it."""
    configuration = SpokeConfiguration.load(config_path)
    agent = Agent(configuration)
    await prepare(WORKSPACE)
    url = os.environ["CODEBUDDY_URL"].rstrip("/") + LINK_PATH
    gc.freeze()  # what exists now stays; that the collector skips it keeps the slowest answers quick
    async with agent.run_tools.running(), anyio.create_task_group() as tasks:
        tasks.start_soon(agent.servers.run)
        tasks.start_soon(agent.write_states)
        tasks.start_soon(OrphanReaper(agent.run_tools.runs.fork_server).run)
        tasks.start_soon(serve_local_socket, agent.server, configuration.project, AGENT_SOCKET)
        tasks.start_soon(maintain_link, url, secrets / "token", agent.server, configuration.project, agent.on_link)
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for number in signals:
                log.info("stopping on %s", signal.Signals(number).name)
                await agent.run_tools.end_all()  # while the hub can still be told
                tasks.cancel_scope.cancel()
                break
