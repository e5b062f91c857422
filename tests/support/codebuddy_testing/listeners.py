"""A hub's client listener on a free loopback port, with a tool of the tests behind it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from codebuddy.hub.access import CLIENT_AUDIENCE, AccessPolicy, TokenVerifier
from codebuddy.hub.http import Listener, bind, make_client_listener
from codebuddy.hub.streamable_http import StreamableHttp
from codebuddy.tool import Arguments, Call, Principal, Result, Tool, ToolError
from codebuddy.wire.mcp_server import InFlight, McpServer

KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def token(key: Any = KEY, algorithm: str = "EdDSA", **changes: Any) -> str:
    """Sign a client's token; ``changes`` overrides claims, None removes one."""
    now = int(time.time())
    claims = {
        "iss": "codebuddy:test",
        "aud": CLIENT_AUDIENCE,
        "sub": "tester",
        "projects": ["*"],
        "scopes": ["read", "write", "run"],
        "iat": now,
        "nbf": now,
        "exp": now + 600,
        **changes,
    }
    return jwt.encode({k: v for k, v in claims.items() if v is not None}, key, algorithm=algorithm)


class EchoArguments(Arguments):
    text: str
    fail: bool = False
    crash: bool = False
    wait: bool = False


class Echo(Result):
    text_back: str
    subject: str


class Probe:
    """Sees what happened to a call."""

    def __init__(self) -> None:
        self.started = anyio.Event()
        self.cancelled = anyio.Event()


def echo_tool(probe: Probe) -> Tool[Any]:
    async def echo(call: Call, arguments: EchoArguments) -> Echo:
        if arguments.fail:
            raise ToolError("asked_to_fail", "It was asked to fail; ask it not to.", "p/a.txt")
        if arguments.crash:
            raise RuntimeError("a secret inside")
        if arguments.wait:
            probe.started.set()
            try:
                await anyio.sleep_forever()
            finally:
                probe.cancelled.set()
        await call.progress(1.0, 2.0, "half")
        return Echo(text_back=arguments.text, subject=call.principal.subject)

    return Tool("echo", "write", "Says it back.", EchoArguments, Echo, echo)


@dataclass
class RunningListener:
    port: int
    probe: Probe
    stopping: anyio.Event
    in_flight: InFlight
    streamable_http: StreamableHttp
    server: Listener


@asynccontextmanager
async def open_listener(server: McpServer | None = None) -> AsyncIterator[RunningListener]:
    """Serve a server, or else one with the fixture tool, on a free port until the block ends."""
    bound = bind("127.0.0.1", 0)
    port = bound.getsockname()[1]
    probe, stopping = Probe(), anyio.Event()
    server = server or McpServer("test", [echo_tool(probe)], "Test.", "the test's log")

    async def health(principal: Principal | None) -> dict[str, Any]:
        return {"status": "ok"} if principal is None else {"status": "degraded", "hub": "ok"}

    hosts = [f"{name}:{port}" for name in ("127.0.0.1", "localhost")]
    policy = AccessPolicy(TokenVerifier(PUBLIC, "test"), CLIENT_AUDIENCE, hosts)
    streamable_http = StreamableHttp(server)
    listener = make_client_listener(server, streamable_http, health, policy, stopping)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, [bound])
        try:
            yield RunningListener(port, probe, stopping, server.in_flight, streamable_http, listener)
        finally:
            stopping.set()
            listener.should_exit = True
