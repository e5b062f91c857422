"""What `make client-config` prints is what the client itself reads: address, token from the environment, settings.

The client is pointed at a listener of the test in place of the hub. Nothing answers it there; what counts is that it
comes, and with which token.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from codebuddy_testing.deployment import Deployment
from codebuddy_testing.real_clients import agents
from codebuddy_testing.real_clients.client import Command
from codebuddy_testing.real_clients.packages import install, node
from codebuddy_testing.real_clients.running import running_client
from codebuddy_testing.waiting import wait_until

TOKEN = "a-token-of-the-test"
SECONDS = 90


@dataclass
class Listener:
    """Keeps who came to the address of the hub: the method of the message and the token."""

    port: int = 0
    seen: list[tuple[str, str]] = field(default_factory=list)

    def has(self, token: str) -> bool:
        return any(bearer == f"Bearer {token}" for _, bearer in self.seen)


@pytest.fixture
def listener() -> Iterator[Listener]:
    found = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path == "/mcp":
                found.seen.append((json.loads(body)["method"], self.headers.get("Authorization", "")))
            self.send_error(404)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass(frozen=True)
class Agent:
    """An agent, and how it is made to connect.

    Args:
        package: its folder in ``tests/clients/packages``, and its name for `make client-config`.
        program: its program.
        file: where its configuration goes, below its home; its working directory is ``work``.
        words: arguments with which it connects.
        beside: other files that it needs, below its home; ``{fleet}`` is the server's name.
        environment: variables beside the token; ``{model}`` is an address at which no model answers.
        shell: a command to be run before, with its program as ``$0``.
        reads_environment: whether it takes the token from the environment.
        shown: what it tells about the server, as far as the configuration says it, when asked ``mcp get``.
    """

    package: str
    program: str
    file: str
    words: tuple[str, ...]
    beside: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    shell: str = "true"
    reads_environment: bool = True
    shown: tuple[str, ...] = ()


AGENTS = [
    Agent(
        "claude-code",
        "claude",
        "work/.mcp.json",
        ("mcp", "list"),
        {".claude/settings.json": '{{"enabledMcpjsonServers": ["{fleet}"]}}'},
    ),
    Agent(
        "codex",
        "codex",
        ".codex/config.toml",
        (
            "exec",
            "--skip-git-repo-check",
            "-c",
            'model="none"',
            "-c",
            'model_provider="none"',
            "-c",
            'model_providers.none={{name="none", base_url="{model}", wire_api="responses"}}',
            "Say something.",
        ),
        shown=("tool_timeout_sec: 600", "startup_timeout_sec: 30", "default_tools_approval_mode: auto"),
    ),
    Agent(
        "gemini",
        "gemini",
        ".gemini/settings.json",
        ("mcp", "list"),
        {".gemini/trustedFolders.json": '{{"{home}/work": "TRUST_FOLDER"}}'},
    ),
    Agent(
        "opencode",
        "opencode",
        "work/opencode.json",
        ("mcp", "list"),
        environment={"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"},
    ),
    Agent(
        "copilot",
        "copilot",
        ".copilot/mcp-config.json",
        ("-p", "Say something."),
        environment={
            "COPILOT_PROVIDER_BASE_URL": "{model}",
            "COPILOT_PROVIDER_API_KEY": "none",
            "COPILOT_MODEL": "none",
            "COPILOT_OFFLINE": "true",
        },
        shown=("Timeout: 600000ms", "Tools: * (all)"),
    ),
    Agent(
        "cline",
        "cline",
        ".cline/data/settings/cline_mcp_settings.json",
        ("Say something, please.",),
        shell='"$0" auth -p openai-compatible -k none -m none -b {model}',
        reads_environment=False,
    ),
]


def chosen() -> list[Agent]:
    """Return those of the clients that are tested which have a configuration here (see conftest.py)."""
    wanted = os.environ.get("CODEBUDDY_TEST_CLIENTS", "")
    tested = {
        client.package
        for client in agents.AGENTS
        if wanted == "all" or (any(word in client.name for word in wanted.split(",")) if wanted else client.in_ci)
    }
    return [agent for agent in AGENTS if agent.package in tested]


@pytest.mark.parametrize("agent", chosen(), ids=lambda agent: agent.package)
def test_the_client_connects_with_the_printed_configuration(
    agent: Agent, fleet: Deployment, listener: Listener, tmp_path: Path
) -> None:
    printed = fleet.make("-s", "client-config", CLIENT=agent.package)
    assert printed.returncode == 0, printed.stderr
    values = {"fleet": fleet.name, "home": str(tmp_path), "model": f"http://127.0.0.1:{listener.port}/model"}
    files = {name: text.format_map(values) for name, text in agent.beside.items()}
    files[agent.file] = printed.stdout.replace(f"127.0.0.1:{fleet.port}", f"127.0.0.1:{listener.port}")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    # A token of our own in the environment; one that lies in the configuration is that.
    token = TOKEN if agent.reads_environment else printed.stdout.partition("Bearer ")[2].partition('"')[0]
    program = str(install(agent.package) / "node_modules/.bin" / agent.program)
    words = [word.format_map(values) for word in agent.words]
    environment = {name: value.format_map(values) for name, value in agent.environment.items()}
    environment |= {"CODEBUDDY_TOKEN": TOKEN, "PATH": f"{node()}:/usr/bin:/bin"}
    shell = f'{agent.shell.format_map(values)} && exec "$0" "$@"'
    with running_client(Command(["sh", "-c", shell, program, *words], environment), tmp_path) as client:
        wait_until(lambda: listener.has(token) or client.wait(0) is not None, "it connects", SECONDS)
        assert listener.has(token), (listener.seen, client.output())
        assert listener.seen[0][0] in ("server/discover", "initialize")
    if agent.shown:
        with running_client(Command([program, "mcp", "get", fleet.name], environment), tmp_path) as client:
            assert client.wait(SECONDS) == 0, client.output()
            assert [line for line in agent.shown if line not in client.output()] == [], client.output()
