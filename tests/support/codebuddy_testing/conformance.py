"""Runs the official conformance suite (npm: @modelcontextprotocol/conformance) against a server of ours."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import yaml
from anyio.abc import ByteReceiveStream, ByteSendStream, SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from codebuddy_testing.node import ROOT, node_environment, npm_packages

SUITE = "node_modules/@modelcontextprotocol/conformance"
MAX_HEAD = 64 * 1024


async def run_suite(port: int, token: str, revision: str, output: Path) -> dict[str, str]:
    """Run all scenarios of a revision of the protocol, and return what did not pass.

    The keys are ``scenario: check``, with the check's status behind it when it warned (a SHOULD of the specification)
    or was skipped; the values are the suite's words. Scenarios of extensions are left out: an extension is optional,
    and the hub advertises none.
    """
    packages = await anyio.to_thread.run_sync(npm_packages, ROOT / "tests/conformance")
    # The suite sends no token, so it connects to a proxy that adds one.
    async with add_token(port, token) as url:
        command = ["node", str(packages / SUITE / "dist/index.js"), "server", "--url", url]
        done = await anyio.run_process(
            [*command, "--requirements", revision, "--output-dir", str(output)], check=False, env=node_environment()
        )
    scenarios = yaml.safe_load((packages / SUITE / f"requirements/{revision}.yaml").read_text())
    unscored = {entry["scenario"]: entry["reason"] for entry in scenarios["not_scored"] if entry["leg"] == "server"}
    reports = _reports(output)
    assert reports.keys() == {*scenarios["server"], *unscored}, done.stdout.decode() + done.stderr.decode()
    marks = {"FAILURE": "", "WARNING": " (warning)", "SKIPPED": " (skipped)"}
    return {
        f"{scenario}: {check['id']}{marks[check['status']]}": str(check.get("errorMessage"))
        for scenario, checks in reports.items()
        if unscored.get(scenario) != "extension"
        for check in checks
        if check["status"] in marks
    }


def _reports(output: Path) -> dict[str, list[dict[str, Any]]]:
    """Read what the suite wrote, by scenario; the names of its directories are ``server-SCENARIO-TIME``."""
    return {
        re.sub(r"^server-|-\d{4}-\d\d-\d\dT.*", "", path.parent.name): json.loads(path.read_text())
        for path in output.glob("*/checks.json")
    }


@asynccontextmanager
async def add_token(port: int, token: str) -> AsyncIterator[str]:
    """Forward HTTP to a port of loopback, with a token added to each request; yields the URL to use instead.

    Host and Origin are passed on, but that the proxy's own port becomes that of the server.
    """
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        own = listener.extra(SocketAttribute.local_port)

        async def forward(client: SocketStream) -> None:
            async with client, await anyio.connect_tcp("127.0.0.1", port) as server, anyio.create_task_group() as both:
                both.start_soon(_copy, server, client)
                with suppress(anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
                    await _requests(BufferedByteReceiveStream(client), server)
                both.cancel_scope.cancel()

        async def _requests(client: BufferedByteReceiveStream, server: ByteSendStream) -> None:
            while True:
                head = await client.receive_until(b"\r\n\r\n", MAX_HEAD)
                length = re.search(rb"(?im)^content-length: *(\d+)", head)
                head = re.sub(rb"(?im)^((?:host|origin): .*:)%d(?=\r?$)" % own, rb"\g<1>%d" % port, head)
                body = await client.receive_exactly(int(length[1])) if length else b""
                await server.send(head + f"\r\nAuthorization: Bearer {token}\r\n\r\n".encode() + body)

        tasks.start_soon(listener.serve, forward)
        yield f"http://127.0.0.1:{own}/mcp"
        tasks.cancel_scope.cancel()


async def _copy(source: ByteReceiveStream, target: SocketStream) -> None:
    with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
        while True:
            await target.send(await source.receive())
