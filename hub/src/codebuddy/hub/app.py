"""The hub's process: builds its parts from the configuration, opens its listeners, and closes them in order."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
from anyio.to_thread import run_sync

from codebuddy.bridge import HUB_SOCKET, LEAN_SOCKET
from codebuddy.configuration import CONFIG_PATH, LINK_PORT, SECRETS, HubConfiguration, JournalLimits
from codebuddy.files.confinement import Workspaces
from codebuddy.files.search import use_encodings
from codebuddy.hub.access import CLIENT_AUDIENCE, LINK_AUDIENCE, AccessPolicy, TokenVerifier
from codebuddy.hub.edits.editor import Editor, WriteFormatter, link_check, link_format
from codebuddy.hub.edits.engine import EditEngine
from codebuddy.hub.edits.journal import Journal
from codebuddy.hub.edits.recovery import recover
from codebuddy.hub.health import FleetHealth
from codebuddy.hub.http import DRAIN_SECONDS, Listener, bind, make_client_listener, make_listener
from codebuddy.hub.spokes import Links
from codebuddy.hub.streamable_http import StreamableHttp
from codebuddy.hub.tools.code import code_tools
from codebuddy.hub.tools.code_edits import action_tools, code_edit_tools, rename_tools
from codebuddy.hub.tools.edits import edit_tools
from codebuddy.hub.tools.files import file_tools
from codebuddy.hub.tools.moves import move_tools
from codebuddy.hub.tools.projects import project_tools, server_tools
from codebuddy.hub.tools.runs import job_tools, run_tools
from codebuddy.hub.websocket import link_app
from codebuddy.schemas.code import FilesChangedResult
from codebuddy.schemas.spoke_tools import CODE_ARGUMENTS
from codebuddy.tool import LOCAL, Principal, ToolError
from codebuddy.wire.jsonrpc import MAX_MESSAGE_BYTES
from codebuddy.wire.mcp_server import McpServer, serve_channel
from codebuddy.wire.stdio import LineChannel

WORKSPACES = Path("/workspaces")
JOURNAL = Path("/var/lib/codebuddy/journal")

SWITCH_SECONDS = 0.0005
"""How long a thread that only computes, like a diff, may hold up the event loop each time; a tenth of Python's own."""

NOTIFY_SECONDS = 5.0
"""How long a write waits for the spoke to notify its language servers."""

INSTRUCTIONS = """\
Every path begins with a project's id: project-a/src/utils.ts (but cwd is relative to the project). list_projects lists
the projects. Each project's commands and tests run in that project's own container, which has no network unless its
project declares an egress. An answer with complete=false may be incomplete; its reason says why. Every write is an edit
that undo_edit can undo.
""" + (
    CODE_ARGUMENTS
    + """
- projects: ids of projects; left out: all.
- preview: only show what would change. expected_hash: from read_file; refused if the file changed since; "absent":
  only create.
- diagnostics: also report the errors and warnings that the edit introduced or fixed, in the edited "files" and those
  that may use them, or in all of their "projects"."""
)

log = logging.getLogger(__name__)


class Hub:
    """The parts that all listeners share: files, edits, links to spokes, and the tools that use them."""

    def __init__(self, configuration: HubConfiguration, journal: Journal, workspaces: Path = WORKSPACES) -> None:
        self.links = Links()
        self.workspaces = Workspaces(
            {project: workspaces / project for project in configuration.projects},
            expected={project: one.expect for project, one in configuration.projects.items()},
        )
        for project, one in configuration.projects.items():
            use_encodings(project, one.encodings)
        self.fleet = FleetHealth(configuration.projects, self.links, self.workspaces)
        self.engine = EditEngine(self.workspaces, journal)
        formatting = [project for project, one in configuration.projects.items() if one.format_on_write]
        formatter = WriteFormatter(link_format(self.links), formatting, self.engine.max_file_bytes)
        editor = Editor(self.engine, self._notify_spoke, link_check(self.links), formatter)
        projects = frozenset(configuration.projects)
        self.server = McpServer(
            "codebuddy",
            [
                *project_tools(self.fleet),
                *file_tools(self.workspaces),
                *edit_tools(editor, configuration.journal),
                *move_tools(self.links, editor),
                *rename_tools(self.links, editor),
                *code_edit_tools(self.links, editor),
                *action_tools(self.links, editor),
                *code_tools(self.links, projects),
                *run_tools(self.links, projects, configuration.run_width),
                *job_tools(self.links, projects),
                *server_tools(self.links, projects),
            ],
            INSTRUCTIONS,
            "the hub's log",
            frozenset(project for project, one in configuration.projects.items() if one.has_egress),
        )
        self.streamable_http = StreamableHttp(self.server)
        self.stopping = anyio.Event()

    async def _notify_spoke(self, project: str, paths: list[str]) -> None:
        """Tell a spoke which files changed, and wait until its language servers know.

        A failure does not undo the write: a spoke that is offline reads the files when it starts.
        """
        with anyio.move_on_after(NOTIFY_SECONDS) as limit:
            try:
                await self.links.call(project, "files_changed", {"paths": paths}, FilesChangedResult)
            except ToolError as error:
                log.info("%s was not notified of a change: %s", project, error.message)
        if limit.cancelled_caught:
            log.warning("%s did not confirm a change within %.0f s", project, NOTIFY_SECONDS)

    async def serve_local(
        self, principal: Principal, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve one connection of a local socket until it ends or the hub stops."""

        async def cancel_at_stop() -> None:
            await self.stopping.wait()
            tasks.cancel_scope.cancel()

        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(cancel_at_stop)
                await serve_channel(self.server, LineChannel(reader, writer), principal)
                tasks.cancel_scope.cancel()
        finally:
            writer.close()

    async def recover(self) -> None:
        """Finish or revert every edit that a crash left unfinished; must be called before anything is served."""
        ends = await run_sync(recover, self.workspaces, self.engine.journal)
        if ends:
            log.warning("a crash had left %d edits unfinished", len(ends))

    async def stop(self, clients: Listener) -> None:
        """Wait up to ``DRAIN_SECONDS`` for calls to finish, end every connection of a client, and then the links.

        The links come last, so that each cancelled call can cancel what runs in a spoke.
        """
        with anyio.move_on_after(DRAIN_SECONDS):
            await self.server.in_flight.idle()
        self.stopping.set()
        self.streamable_http.stop()
        clients.should_exit = True
        with anyio.move_on_after(2 * DRAIN_SECONDS):
            await self.server.in_flight.idle()
        self.links.stopping.set()


async def serve(config_path: Path = CONFIG_PATH, secrets: Path = SECRETS) -> None:
    """Run the hub until SIGTERM or SIGINT."""
    # Use as many descriptors as the container allows: an edit of many directories keeps all of them open.
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
    sys.setswitchinterval(SWITCH_SECONDS)
    configuration = HubConfiguration.load(config_path)
    verifier = TokenVerifier.load(secrets / "signing.pub", configuration.fleet)
    hub = Hub(configuration, await run_sync(open_journal, configuration.journal))
    try:
        await hub.recover()
        await _serve(hub, configuration, verifier)
    finally:
        await run_sync(hub.engine.close)


def open_journal(limits: JournalLimits, directory: Path = JOURNAL) -> Journal:
    """Open the journal of edits.

    Raises:
        SystemExit: it cannot be opened; without it no edit could be applied safely, and none could be undone.
    """
    try:
        return Journal(directory, limits.max_bytes, limits.max_age_seconds, alone=True)
    except (OSError, ValueError) as error:
        log.critical(
            "The journal of edits at %s cannot be opened (%s). It must be a directory that user %d may write, on a "
            "disk with free space, and that no other hub uses; fix that and start the hub again, or run make up.",
            directory,
            error,
            os.geteuid(),
        )
        raise SystemExit(1) from None


async def _serve(hub: Hub, configuration: HubConfiguration, verifier: TokenVerifier) -> None:
    published = configuration.client.published
    client_hosts = [f"{name}:{published}" for name in ("127.0.0.1", "localhost", "[::1]")]
    client_policy = AccessPolicy(verifier, CLIENT_AUDIENCE, client_hosts)
    link_policy = AccessPolicy(verifier, LINK_AUDIENCE, [f"codebuddy:{LINK_PORT}"])
    clients = make_client_listener(hub.server, hub.streamable_http, hub.fleet.health, client_policy, hub.stopping)
    addresses = {project.listen: name for name, project in configuration.projects.items()}
    spokes = make_listener(link_app(hub.server, hub.links, link_policy, addresses, hub.stopping), for_spokes=True)

    client_socket = bind(configuration.client.address, configuration.client.port)
    spoke_sockets = [bind(address, LINK_PORT) for address in addresses]
    HUB_SOCKET.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    local = []
    for path, principal in ((HUB_SOCKET, LOCAL), (LEAN_SOCKET, replace(LOCAL, tools="lean"))):
        path.unlink(missing_ok=True)
        served = partial(hub.serve_local, principal)
        local.append(await asyncio.start_unix_server(served, path, limit=MAX_MESSAGE_BYTES))
    gc.freeze()  # what exists now stays; the collector need not visit it again, which shortens the slowest answers

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_close_on_signal, hub, clients, spokes, local)
        async with anyio.create_task_group() as listeners:
            listeners.start_soon(clients.serve, [client_socket])
            listeners.start_soon(spokes.serve, spoke_sockets)
            log.info("serving %d projects on port %d", len(addresses), published)
        tasks.cancel_scope.cancel()


async def _close_on_signal(hub: Hub, clients: Listener, spokes: Listener, local: list[asyncio.Server]) -> None:
    """On a signal, refuse new connections, let calls finish or cancel them, then end connections and links."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log.info("stopping on %s", signal.Signals(number).name)
            break
    for server in (*local, *clients.servers, *spokes.servers):
        server.close()
    await hub.stop(clients)
    spokes.should_exit = True
