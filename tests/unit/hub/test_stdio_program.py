"""The program that connects a client over stdio and keeps the connection, with a hub that is restarted under it.

The hub serves its real socket in the test's process; `codebuddy start` is started by a stand-in for `docker`.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import json
import os
import runpy
import shlex
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

import codebuddy
from codebuddy.tool import LOCAL, Arguments, Call, Result, Tool, tool_of
from codebuddy.wire.jsonrpc import MAX_MESSAGE_BYTES, InputEnded
from codebuddy.wire.mcp_server import McpServer, serve_channel
from codebuddy.wire.stdio import LineChannel
from codebuddy_testing.clients import content_of

pytestmark = pytest.mark.anyio

PROGRAM = Path(__file__).parents[3] / "roles/hub/files/codebuddy-stdio.py"
ERAS = pytest.mark.parametrize("mode", ["legacy", "2026-07-28", "auto"])
HANDSHAKE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
STATELESS = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
T = TypeVar("T")
SECONDS = 30  # far more than anything here takes


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def soon(awaited: Awaitable[T]) -> T:
    return await asyncio.wait_for(awaited, SECONDS)


class Waiting(Arguments):
    wait: bool = False
    length: int = 0


class Answer(Result):
    said: str


class RestartableHub:
    """A hub in a container that does not run yet; ``docker`` in its directory ``bin`` executes programs in it."""

    def __init__(self, directory: Path) -> None:
        self.bin = directory / "bin"
        self._runs = directory / "runs"
        self._socket = directory / "hub.sock"
        self._listening: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._connected = asyncio.Event()
        self._deaf = False
        self.arguments = directory / "arguments"
        self.seen: asyncio.Queue[str] = asyncio.Queue()  # the methods, or names of tools, that a deaf hub received
        self.calls: Counter[str] = Counter()
        self.started = asyncio.Event()
        tools = [self._tool(name, scope) for name, scope in [("look", "read"), ("change", "write"), ("run", "run")]]
        self._server = McpServer("test", tools, "Test.", "the test's log")
        self._make_docker()

    def _make_docker(self) -> None:
        program = (
            "from pathlib import Path; from codebuddy.bridge import bridge_stdio; "
            f"raise SystemExit(bridge_stdio(Path({str(self._socket)!r})))"
        )
        source = Path(codebuddy.__file__).parents[1]
        self.bin.mkdir()
        (self.bin / "docker").write_text(
            "#!/bin/sh\n"
            f'echo "$*" >> {shlex.quote(str(self.arguments))}\n'
            f"[ -e {shlex.quote(str(self._runs))} ] || "
            "{ echo 'Error response from daemon: No such container: hub' >&2; exit 1; }\n"
            f"PYTHONPATH={shlex.quote(str(source))} exec {sys.executable} -c {shlex.quote(program)}\n"
        )
        (self.bin / "docker").chmod(0o755)

    def _tool(self, name: str, scope: Any) -> Tool[Any]:
        async def handle(call: Call, arguments: Waiting) -> Answer:
            self.calls[name] += 1
            self.started.set()
            if arguments.wait and self.calls[name] == 1:
                await call.progress(1.0)
                await asyncio.Event().wait()
            return Answer(said=name + "x" * arguments.length)

        handle.__name__ = name
        handle.__annotations__ = {"call": Call, "arguments": Waiting, "return": Answer}
        return tool_of(handle, scope)

    def create(self) -> None:
        """Start the container, in which the hub does not listen yet."""
        self._runs.touch()

    async def start(self, *, deaf: bool = False) -> None:
        """Start the hub; a deaf one answers pings only."""
        self._deaf = deaf
        self._listening = await asyncio.start_unix_server(self._serve, self._socket, limit=MAX_MESSAGE_BYTES)
        self.create()

    async def stop(self, last_words: bytes = b"") -> None:
        """End the container, and with it all that was executed in it."""
        self._runs.unlink()
        if self._listening is not None:
            self._listening.close()
            self._listening = None
            self._socket.unlink()
        self._last_words = last_words
        for task in [*self._connections]:
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections)

    async def stay_away(self) -> None:
        """End the container, until the client has noticed."""
        attempts = self.attempts()
        await self.stop()
        while self.attempts() == attempts:
            await asyncio.sleep(0.01)

    def attempts(self) -> int:
        """Return how often ``docker`` was started."""
        return len(self.arguments.read_text().splitlines()) if self.arguments.exists() else 0

    async def restart(self) -> None:
        """End the container and start it again, until the client is connected again."""
        await self.stop()
        self._connected.clear()
        await self.start()
        await soon(self._connected.wait())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self._connected.set()
        channel = LineChannel(reader, writer)
        try:
            await (self._hear(channel) if self._deaf else serve_channel(self._server, channel, LOCAL))
        except InputEnded:
            pass
        except asyncio.CancelledError:
            writer.write(self._last_words)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _hear(self, channel: LineChannel) -> None:
        while True:
            message = json.loads(await channel.receive())
            if message["method"] == "ping":
                await channel.send(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {}}))
            else:
                self.seen.put_nowait(message.get("params", {}).get("name", message["method"]))


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[RestartableHub]:
    hub = RestartableHub(tmp_path)
    yield hub
    if (tmp_path / "runs").exists():
        await hub.stop()


def connected(hub: RestartableHub, mode: str) -> Client:
    command = StdioServerParameters(
        command=sys.executable, args=["-I", str(PROGRAM), "hub", "--tools", "lean"], env={"PATH": str(hub.bin)}
    )
    return Client(command, mode=mode)


class RawClient:
    """Sends and receives single messages; ``errors`` is what the program said, once it has ended."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    def send(self, **members: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **members}).encode() + b"\n")

    def call(self, number: int, tool: str, era: dict[str, Any] = STATELESS, **arguments: Any) -> None:
        params = {"name": tool, "arguments": arguments, **({"_meta": era} if era else {})}
        self.send(id=number, method="tools/call", params=params)

    async def receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = await soon(self.process.stdout.readline())
        assert line, "the program ended"
        return dict(json.loads(line))

    async def handshake(self) -> dict[str, Any]:
        self.send(id=0, method="initialize", params=HANDSHAKE)
        answer = await self.receive()
        self.send(method="notifications/initialized")
        return answer

    async def end(self) -> tuple[int, list[dict[str, Any]], str]:
        """End the input; return the exit status, the messages that remain, and what stands on standard error."""
        output, errors = await soon(self.process.communicate(b""))
        assert self.process.returncode is not None
        return self.process.returncode, [json.loads(line) for line in output.splitlines()], errors.decode()


@asynccontextmanager
async def raw_client(hub: RestartableHub, limit: float = SECONDS) -> AsyncIterator[RawClient]:
    program = f"import runpy, sys; sys.exit(runpy.run_path({str(PROGRAM)!r})['main'](['hub'], {limit}))"
    pipe = subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-Ic",
        program,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        env={"PATH": str(hub.bin)},
        limit=MAX_MESSAGE_BYTES,
    )
    try:
        yield RawClient(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@ERAS
async def test_an_idle_client_notices_nothing_of_a_restart(hub: RestartableHub, mode: str) -> None:
    await hub.start()
    async with connected(hub, mode) as client:
        before = await client.list_tools()
        await hub.restart()
        assert (await client.call_tool("change", {})).structured_content == {"said": "change"}
        await hub.restart()
        assert await client.list_tools() == before
    assert set(hub.arguments.read_text().splitlines()) == {"exec -i hub codebuddy start --tools lean"}


@ERAS
async def test_a_call_that_only_reads_is_repeated(hub: RestartableHub, mode: str) -> None:
    await hub.start()
    async with connected(hub, mode) as client, anyio.create_task_group() as tasks:
        results: list[Any] = []

        async def look() -> None:
            results.append(await client.call_tool("look", {"wait": True}))

        tasks.start_soon(look)
        await soon(hub.started.wait())
        await hub.restart()
    assert [result.structured_content for result in results] == [{"said": "look"}]
    assert hub.calls["look"] == 2


@ERAS
@pytest.mark.parametrize("tool", ["change", "run"])
async def test_a_call_that_may_change_something_is_not_repeated_but_answered(
    hub: RestartableHub, mode: str, tool: str
) -> None:
    await hub.start()
    async with connected(hub, mode) as client, anyio.create_task_group() as tasks:
        results: list[Any] = []

        async def call() -> None:
            results.append(await client.call_tool(tool, {"wait": True}))

        tasks.start_soon(call)
        await soon(hub.started.wait())
        await hub.restart()
    assert content_of(results[0])["code"] == "hub_restarted"
    assert (
        results[0].content[0].text.startswith("hub_restarted: The hub was restarted while it worked on this; look at")
    )
    assert hub.calls[tool] == 1


@pytest.mark.parametrize("era", [{}, STATELESS], ids=["handshake", "stateless"])
async def test_without_a_list_of_tools_the_program_asks_for_it_itself(hub: RestartableHub, era: dict[str, Any]) -> None:
    await hub.start()
    async with raw_client(hub) as client:
        if not era:
            await client.handshake()
        for number, tool in enumerate(["look", "change"]):
            hub.started.clear()
            client.call(number, tool, era, wait=True)
            await soon(hub.started.wait())
        await hub.restart()
        answers = {answer["id"]: answer["result"] for answer in [await client.receive(), await client.receive()]}
        assert await client.end() == (0, [], "")
    assert answers[0]["structuredContent"] == {"said": "look"}
    assert answers[1]["_meta"]["codebuddy/error"]["code"] == "hub_restarted"
    assert [answer.get("resultType") for answer in answers.values()] == ["complete" if era else None] * 2
    assert hub.calls == {"look": 2, "change": 1}


@pytest.mark.parametrize("method", ["initialize", "logging/setLevel", "tools/list", "server/discover"])
async def test_other_requests_in_flight_are_repeated(hub: RestartableHub, method: str) -> None:
    params = HANDSHAKE if method == "initialize" else {"_meta": STATELESS}
    await hub.start(deaf=True)
    async with raw_client(hub) as client:
        client.send(id="a", method=method, params=params)
        assert await soon(hub.seen.get()) == method
        await hub.restart()
        answer = await client.receive()
        assert answer["id"] == "a"
        if method == "initialize":
            assert answer["result"]["serverInfo"]["name"] == "test"
            client.send(method="notifications/initialized")
            client.call(1, "look", {})
            assert (await client.receive())["result"]["structuredContent"] == {"said": "look"}


async def test_what_was_cancelled_meanwhile_is_not_repeated(hub: RestartableHub) -> None:
    await hub.start(deaf=True)
    async with raw_client(hub) as client:
        client.call(1, "look")
        assert await soon(hub.seen.get()) == "look"
        await hub.stay_away()
        client.call(2, "look")
        for number in (1, 2):
            client.send(method="notifications/cancelled", params={"requestId": number})
        client.send(id=3, method="tools/list", params={"_meta": STATELESS})
        await hub.start()
        assert (await client.receive())["id"] == 3
    assert not hub.calls


async def test_what_was_not_sent_yet_waits_for_the_hub_even_if_it_changes_something(hub: RestartableHub) -> None:
    await hub.start()
    async with raw_client(hub) as client:
        await client.handshake()
        await hub.stay_away()
        client.call(1, "change", {})
        await hub.start()
        assert (await client.receive())["result"]["structuredContent"] == {"said": "change"}
    assert hub.calls == {"change": 1}


async def test_a_restart_between_the_handshakes_two_messages_is_not_noticed(hub: RestartableHub) -> None:
    await hub.start()
    async with raw_client(hub) as client:
        client.send(id=0, method="initialize", params=HANDSHAKE)
        await client.receive()
        await hub.stay_away()
        client.send(method="notifications/initialized")
        client.call(1, "look", {})
        await hub.start()
        assert (await client.receive())["result"]["structuredContent"] == {"said": "look"}


async def test_a_hub_that_is_still_starting_is_waited_for(hub: RestartableHub) -> None:
    hub.create()
    async with raw_client(hub) as client:
        client.send(id=0, method="initialize", params=HANDSHAKE)
        while hub.attempts() < 2:
            await asyncio.sleep(0.01)
        await hub.start()
        assert (await client.receive())["id"] == 0


async def test_when_the_hub_stays_away_what_is_open_is_answered_and_the_program_ends(hub: RestartableHub) -> None:
    await hub.start(deaf=True)
    async with raw_client(hub, limit=0.5) as client:
        client.send(id=1, method="tools/list", params={"_meta": STATELESS})
        client.call(2, "change")
        assert {await soon(hub.seen.get()), await soon(hub.seen.get())} == {"tools/list", "change"}
        await hub.stay_away()
        client.call(3, "change")
        answers = {answer["id"]: answer for answer in [await client.receive() for _ in range(3)]}
        status, others, errors = await client.end()
    assert answers[1]["error"]["message"].startswith("The hub does not answer")
    assert answers[2]["result"]["_meta"]["codebuddy/error"]["code"] == "hub_restarted"
    assert answers[3]["result"]["content"][0]["text"].startswith("hub_away: ")
    assert (status, others) == (1, [])
    assert "did not come back" in errors
    assert "No such container: hub" in errors
    assert "make status" in errors


async def test_an_engine_that_hangs_is_not_waited_for(hub: RestartableHub) -> None:
    (hub.bin / "docker").write_text("#!/bin/sh\nexec sleep 1000\n")
    async with raw_client(hub, limit=0.5) as client:
        client.send(id=0, method="initialize", params=HANDSHAKE)
        assert (await client.receive())["error"]["message"].startswith("The hub does not answer")
        status, _, errors = await client.end()
    assert status == 1
    assert "no answer" in errors


@pytest.mark.parametrize(("cause", "words"), [("container", "No such container: hub"), ("docker", "No such file")])
async def test_when_there_is_no_hub_the_program_says_so_at_once(
    hub: RestartableHub, cause: str, words: str, tmp_path: Path
) -> None:
    """It would wait for longer than the test may take."""
    program = [sys.executable, "-I", str(PROGRAM), "hub"]
    if cause == "docker":
        module = f"import runpy; m = runpy.run_path({str(PROGRAM)!r}); m['SEARCH_PATH'].clear(); m['main'](['hub'])"
        program = [sys.executable, "-Ic", f"{module} == 1 or exit(9); exit(1)"]
        hub.bin = tmp_path / "nothing"
    run = await anyio.run_process(program, check=False, env={"PATH": str(hub.bin)})
    assert (run.returncode, run.stdout) == (1, b"")
    assert words in run.stderr.decode()
    assert "`make up` starts the fleet" in run.stderr.decode()


async def test_at_the_end_of_its_input_it_ends_when_the_hub_has_answered(hub: RestartableHub, tmp_path: Path) -> None:
    await hub.start()
    lines = [
        {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HANDSHAKE},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "look", "arguments": {}}},
        [],
    ]
    (tmp_path / "input").write_text("\n".join(map(json.dumps, lines)))
    with (tmp_path / "input").open() as file:
        done = await anyio.run_process(
            [sys.executable, "-I", str(PROGRAM), "hub"], stdin=file, check=False, env={"PATH": str(hub.bin)}
        )
    assert (done.returncode, done.stderr) == (0, b"")
    assert sorted(str(json.loads(line)["id"]) for line in done.stdout.splitlines()) == ["0", "1", "None"]


async def test_after_its_input_has_ended_it_ends_with_the_hubs_connection(hub: RestartableHub) -> None:
    """The hub cancels what lasts too long then, and closes."""
    await hub.start(deaf=True)
    async with raw_client(hub) as client:
        client.call(1, "look")
        assert await soon(hub.seen.get()) == "look"
        assert await client.end() == (0, [], "")


async def test_what_is_open_when_its_input_ends_while_the_hub_is_away_is_still_answered(hub: RestartableHub) -> None:
    await hub.start()
    async with raw_client(hub) as client:
        client.call(1, "look", wait=True)
        await soon(hub.started.wait())
        await hub.stay_away()
        assert client.process.stdin is not None
        client.process.stdin.close()
        await hub.start()
        status, (answer,), _ = await client.end()
    assert status == 0
    assert answer["result"]["structuredContent"] == {"said": "look"}


async def test_a_long_answer_arrives_whole_and_a_torn_one_not_at_all(hub: RestartableHub) -> None:
    await hub.start()
    async with raw_client(hub) as client:
        client.call(1, "look", length=900_000)
        whole = await client.receive()
        hub.started.clear()
        client.call(2, "run", wait=True)
        await soon(hub.started.wait())
        await hub.stop(last_words=b'{"jsonrpc":"2.0","id":2,"result":{"content":[')
        await hub.start()
        torn = await client.receive()
    assert len(whole["result"]["structuredContent"]["said"]) == 900_004
    assert torn["result"]["isError"]


def children(process: int) -> set[int]:
    return {int(one) for one in Path(f"/proc/{process}/task/{process}/children").read_text().split()}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_ends_it_with_its_child(hub: RestartableHub, number: signal.Signals) -> None:
    await hub.start()
    async with raw_client(hub) as client:
        await client.handshake()
        (child,) = children(client.process.pid)
        entry = anyio.Path(f"/proc/{child}")
        client.process.send_signal(number)
        assert await soon(client.process.wait()) == 128 + number
        assert not await entry.exists()


async def test_a_client_that_goes_away_takes_the_child_with_it(hub: RestartableHub) -> None:
    await hub.start()
    read, write = os.pipe()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", str(PROGRAM), "hub", stdin=subprocess.PIPE, stdout=write, env={"PATH": str(hub.bin)}
    )
    os.close(write)
    os.close(read)
    assert process.stdin is not None
    process.stdin.write(b"{}\n")
    assert await soon(process.wait()) == 0
    process.stdin.close()


def test_it_needs_nothing_but_python_3_9() -> None:
    tree = ast.parse(PROGRAM.read_text(), feature_version=(3, 9))
    imported = [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    imported += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names


# What the session itself does, where only many restarts, or a message out of turn, would show it.


@pytest.fixture(scope="module")
def program() -> dict[str, Any]:
    return runpy.run_path(str(PROGRAM))


def line(**members: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **members}).encode() + b"\n"


def sent_by(session: Any) -> Iterator[dict[str, Any]]:
    while session.outgoing:
        if (taken := session.take()) is not None:
            yield json.loads(taken)


def come_up(program: dict[str, Any], session: Any) -> list[dict[str, Any]]:
    assert session.from_hub(line(id=program["PING"], result={})) == []
    return list(sent_by(session))


def test_a_request_at_which_the_hub_ends_each_time_is_answered_in_the_end(program: dict[str, Any]) -> None:
    session = program["Session"]()
    session.from_client(line(id=1, method="tools/list"))
    for _ in range(program["MAX_SENT"]):
        assert [message["method"] for message in come_up(program, session)] == ["tools/list"]
        answers = session.on_down()
    assert json.loads(answers[0])["error"]["message"].startswith("The hub was restarted")
    assert come_up(program, session) == []


def test_progress_of_an_answered_request_is_dropped(program: dict[str, Any]) -> None:
    session = program["Session"]()
    progress = line(method="notifications/progress", params={"progressToken": "t", "progress": 1})
    call = {"name": "look", "_meta": {"progressToken": "t"}}
    session.from_client(line(id=1, method="tools/call", params=call))
    come_up(program, session)
    assert session.from_hub(progress) == [progress]
    answer = b'{"jsonrpc":"2.0","id":1,"result":{}}\n'
    assert session.from_hub(answer) == [answer]
    assert session.from_hub(progress) == []
    other = line(method="notifications/tools/list_changed")
    assert session.from_hub(other) == [other]


def test_the_second_answer_to_a_handshake_is_not_the_clients(program: dict[str, Any]) -> None:
    session = program["Session"]()
    session.from_client(line(id=1, method="initialize", params=HANDSHAKE))
    session.from_client(line(method="notifications/initialized"))
    come_up(program, session)
    assert session.from_hub(line(id=1, result={})) != []
    session.on_down()
    again, initialized = come_up(program, session)
    assert (again["method"], again["params"]) == ("initialize", HANDSHAKE)
    assert initialized["method"] == "notifications/initialized"
    assert session.from_hub(line(id=again["id"], result={})) == []


def test_a_name_of_a_tool_that_is_no_name_ends_nothing(program: dict[str, Any]) -> None:
    session = program["Session"]()
    session.from_client(line(id=1, method="tools/list"))
    session.from_client(line(id=2, method="tools/call", params={"name": ["run"]}))
    come_up(program, session)
    session.from_hub(line(id=1, result={"tools": [{"name": "look", "annotations": {"readOnlyHint": True}}]}))
    (failed,) = session.on_down()
    assert json.loads(failed)["id"] == 2


@pytest.mark.parametrize("number", [b'"\xff"', b'"\t"', b"007"])
def test_an_id_that_is_none_ends_nothing(program: dict[str, Any], number: bytes) -> None:
    answer = b'{"jsonrpc":"2.0","id":' + number + b',"result":{}}\n'
    assert program["Session"]().from_hub(answer) == [answer]


def test_ids_that_differ_in_type_only_are_two_requests(program: dict[str, Any]) -> None:
    session = program["Session"]()
    for number in (1, "1"):
        session.from_client(line(id=number, method="tools/call", params={"name": "run"}))
    come_up(program, session)
    session.from_hub(line(id="1", result={}))
    session.on_down()
    (asked,) = come_up(program, session)
    (failed,) = session.from_hub(line(id=asked["id"], error={"code": -32601, "message": "none"}))
    assert json.loads(failed)["id"] == 1
