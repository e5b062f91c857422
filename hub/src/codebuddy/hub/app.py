"""The hub's assembly: reads the configuration, joins the parts, opens the doors, and closes them in order."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
from pathlib import Path

import anyio
from anyio.to_thread import run_sync

from codebuddy.configuration import CONFIG_PATH, LINK_PORT, SECRETS, HubConfiguration, JournalLimits
from codebuddy.files.confinement import Workspaces
from codebuddy.hub.access import CLIENT_AUDIENCE, LINK_AUDIENCE, AccessPolicy, TokenVerifier
from codebuddy.hub.edits.editor import Editor, WriteFormatter, link_check, link_format
from codebuddy.hub.edits.engine import EditEngine
from codebuddy.hub.edits.journal import Journal
from codebuddy.hub.edits.recovery import recover
from codebuddy.hub.endpoint import link_app
from codebuddy.hub.health import Fleet
from codebuddy.hub.http import DRAIN_SECONDS, Door, client_app, http_sessions, listen, open_door
from codebuddy.hub.spokes import Links
from codebuddy.hub.tools.code import code_tools
from codebuddy.hub.tools.code_edits import action_tools, code_edit_tools, rename_tools
from codebuddy.hub.tools.edits import edit_tools
from codebuddy.hub.tools.files import file_tools
from codebuddy.hub.tools.projects import project_tools, server_tools
from codebuddy.hub.tools.runs import job_tools, run_tools
from codebuddy.schemas.code import FilesChangedResult
from codebuddy.tool import LOCAL, ToolError
from codebuddy.wire.jsonrpc import MAX_MESSAGE_BYTES
from codebuddy.wire.mcp_server import InFlight, build_server, serve_channel
from codebuddy.wire.stdio import HUB_SOCKET, LineChannel

WORKSPACES = Path("/workspaces")
JOURNAL = Path("/var/lib/codebuddy/journal")

TELL_SECONDS = 5.0
"""So long a write waits for the spoke to have told its language servers of the change."""

INSTRUCTIONS = """\
Every path begins with a project's id: project-a/src/utils.ts (but cwd is relative to the project). list_projects tells
which projects there are. Lines and columns are 1-based, columns count Unicode code points. Each project's commands and
tests run in that project's own container, which has no network unless its project declares an egress. An answer with
complete=false may lack something; its reason says why. Every write is an edit that undo_edit takes back."""

log = logging.getLogger(__name__)


class Hub:
    """Everything that the doors lead to.

    Args:
        configuration: the hub's configuration.
        journal: where edits are recorded.
        workspaces: where the projects are mounted.
    """

    def __init__(self, configuration: HubConfiguration, journal: Journal, workspaces: Path = WORKSPACES) -> None:
        self.configuration = configuration
        self.links = Links(configuration.projects)
        self.workspaces = Workspaces({project: workspaces / project for project in configuration.projects})
        self.fleet = Fleet(configuration.projects, self.links, self.workspaces)
        self.engine = EditEngine(self.workspaces, journal)
        formatting = [project for project, one in configuration.projects.items() if one.format_on_write]
        formatter = WriteFormatter(link_format(self.links), formatting, self.engine.max_file_bytes)
        editor = Editor(self.engine, self._tell_changed, link_check(self.links), formatter)
        projects = frozenset(configuration.projects)
        self.in_flight = InFlight()
        self.server = build_server(
            "codebuddy",
            [
                *project_tools(self.fleet),
                *file_tools(self.workspaces),
                *edit_tools(editor, configuration.journal),
                *rename_tools(self.links, editor),
                *code_edit_tools(self.links, editor),
                *action_tools(self.links, editor),
                *code_tools(self.links, projects),
                *run_tools(self.links, projects, configuration.run_width),
                *job_tools(self.links, projects),
                *server_tools(self.links, projects),
            ],
            INSTRUCTIONS,
            self.in_flight,
            "the hub's log",
        )
        self.stopping = anyio.Event()

    async def _tell_changed(self, project: str, paths: list[str]) -> None:
        """Tell a spoke what the hub wrote, and wait until its language servers have it. A write stands even so: a spoke
        that is offline reads the files when it starts.
        """
        with anyio.move_on_after(TELL_SECONDS) as limit:
            try:
                await self.links.call(project, "files_changed", {"paths": paths}, FilesChangedResult)
            except ToolError as error:
                log.info("%s was not told of a change: %s", project, error.message)
        if limit.cancelled_caught:
            log.warning("%s did not take the news of a change within %.0f s", project, TELL_SECONDS)

    async def serve_local(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection of the local socket."""

        async def end_at_stop() -> None:
            await self.stopping.wait()
            tasks.cancel_scope.cancel()

        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(end_at_stop)
                await serve_channel(self.server, LineChannel(reader, writer), LOCAL)
                tasks.cancel_scope.cancel()
        finally:
            writer.close()

    async def recover(self) -> None:
        """Bring every edit to an end that a crash left unfinished. Nothing may be served before."""
        ends = await run_sync(recover, self.workspaces, self.engine.journal)
        if ends:
            log.warning("a crash had left %d edits unfinished", len(ends))

    async def stop(self) -> None:
        """Let what runs finish for a moment, then end every connection and link with a reason."""
        with anyio.move_on_after(DRAIN_SECONDS):
            await self.in_flight.idle()
        self.stopping.set()


def _raise_limit_of_files() -> None:
    """Use what the container allows: an edit of many directories holds all of them open."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def serve(config_path: Path = CONFIG_PATH, secrets: Path = SECRETS) -> None:
    """Run the hub until SIGTERM or SIGINT."""
    _raise_limit_of_files()
    configuration = HubConfiguration.load(config_path)
    verifier = TokenVerifier.load(secrets / "signing.pub", configuration.fleet)
    hub = Hub(configuration, await run_sync(open_journal, configuration.journal))
    try:
        await hub.recover()
        await _serve(hub, configuration, verifier)
    finally:
        await run_sync(hub.engine.close)


async def _serve(hub: Hub, configuration: HubConfiguration, verifier: TokenVerifier) -> None:
    published = configuration.client.published
    client_policy = AccessPolicy(
        verifier, CLIENT_AUDIENCE, [f"{name}:{published}" for name in ("127.0.0.1", "localhost", "[::1]")]
    )
    link_policy = AccessPolicy(verifier, LINK_AUDIENCE, [f"codebuddy:{LINK_PORT}"])
    sessions = http_sessions(hub.server)
    clients = open_door(client_app(hub.server, sessions, hub.fleet.health, client_policy, hub.stopping))
    listens = {project.listen: name for name, project in configuration.projects.items()}
    spokes = open_door(link_app(hub.server, hub.links, link_policy, listens, hub.stopping), for_spokes=True)

    client_socket = listen(configuration.client.address, configuration.client.port)
    spoke_sockets = [listen(address, LINK_PORT) for address in listens]
    HUB_SOCKET.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    HUB_SOCKET.unlink(missing_ok=True)
    local = await asyncio.start_unix_server(hub.serve_local, HUB_SOCKET, limit=MAX_MESSAGE_BYTES)
    gc.freeze()  # what exists now stays; the collector need not walk it again, which keeps the slowest answers quick

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_close_at_signal, hub, clients, spokes, local)
        async with sessions.run(), anyio.create_task_group() as doors:
            doors.start_soon(clients.serve, [client_socket])
            doors.start_soon(spokes.serve, spoke_sockets)
            log.info("serving %d projects on port %d", len(listens), published)
        tasks.cancel_scope.cancel()


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
            "disk with room, and that no other hub uses; mend that and start the hub again, or run make up.",
            directory,
            error,
            os.geteuid(),
        )
        raise SystemExit(1) from None


async def _close_at_signal(hub: Hub, clients: Door, spokes: Door, local: asyncio.Server) -> None:
    """Close in order: no new connections; what runs finishes or is cancelled; then the connections and the links."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log.info("stopping on %s", signal.Signals(number).name)
            break
    for listener in (local, *clients.servers, *spokes.servers):
        listener.close()
    await hub.stop()
    clients.should_exit = spokes.should_exit = True
