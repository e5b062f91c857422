"""What a command installs for the spoke's user is found by the next one, and stays; and git works in a spoke."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mcp.client.client import Client

from codebuddy_testing.clients import call
from codebuddy_testing.deployment import Deployment

pytestmark = pytest.mark.anyio

HOME = "/home/codebuddy"


async def run(client: Client, project: str, *argv: str, **options: Any) -> str:
    done = await call(client, "run_command", argv=list(argv), projects=[project], wait_seconds=300, **options)
    (result,) = done["results"]
    assert result["exit_code"] == 0, result
    return str(result["output"]).strip()


async def test_pip_installs_and_the_next_agent_keeps_it(client: Client, fleet: Deployment) -> None:
    def places() -> list[str]:
        """Return where programs are found, after what a new agent does first."""
        prepared = fleet.run("project-b", "/usr/local/lib/codebuddy/prepare-home")
        assert (prepared.code, prepared.output) == (0, "")
        return fleet.run("project-b", "which", "pip", "pytest", "cowsay").output.split()

    try:
        # Another version of what the image brings takes its place, and leaves the rest of the image's tools.
        await run(client, "project-b", "pip", "install", "cowsay", "pytest==8.4.2")
        assert places() == [f"{HOME}/.venv/bin/{name}" for name in ("pip", "pytest", "cowsay")]
        assert "hello" in await run(client, "project-b", "cowsay", "-t", "hello")
        for program in ("pytest", "python -m pytest"):
            assert await run(client, "project-b", *program.split(), "--version") == "pytest 8.4.2"
        for tool in ("pip", "pyflakes"):
            await run(client, "project-b", "python", "-m", tool, "--version")
    finally:
        fleet.run("project-b", "rm", "-rf", f"{HOME}/.venv")
        places()
    assert "pytest 8.4.2" not in await run(client, "project-b", "pytest", "--version")


async def test_npm_installs_for_all_projects_of_a_spoke(client: Client, fleet: Deployment) -> None:
    package = {"name": "scenario-tool", "version": "1.0.0", "bin": {"scenario-tool": "tool.js", "tsc": "tool.js"}}
    pack = (
        f"mkdir -p /tmp/tool && cd /tmp/tool && echo '{json.dumps(package)}' > package.json && "
        "printf '#!/usr/bin/env node\\nconsole.log(6 * 7)\\n' > tool.js && npm pack --silent"
    )
    await run(client, "project-a", "sh", "-c", pack)
    try:
        await run(client, "project-a", "npm", "install", "-g", "/tmp/tool/scenario-tool-1.0.0.tgz")
        assert await run(client, "project-a", "scenario-tool") == "42"
        assert await run(client, "project-a", "sh", "-c", "which tsc && tsc") == f"{HOME}/.local/bin/tsc\n42"
        # A program that has the name of a language server does not take its place.
        (states,) = (await call(client, "restart_language_server", projects=["project-a"]))["projects"]
        assert [server["state"] for server in states["language_servers"]] == ["ready"]
    finally:
        await run(client, "project-a", "npm", "uninstall", "-g", "scenario-tool")
        fleet.run("project-a", "rm", "-rf", "/tmp/tool")
    assert (await run(client, "project-a", "tsc", "--version")).startswith("Version ")


async def test_cargo_installs_programs_that_are_found(client: Client, fleet: Deployment) -> None:
    try:
        await run(client, "project-c", "cargo", "install", "--offline", "--path", ".")
        assert await run(client, "project-c", "which", "rust-cli") == f"{HOME}/.cargo/bin/rust-cli"
    finally:
        fleet.run("project-c", "rm", "-rf", f"{HOME}/.cargo/bin", f"{HOME}/.cargo/.crates.toml")


@pytest.mark.parametrize("project", ["project-a", "project-b", "project-c"])
async def test_the_spokes_user_has_a_name_and_commits_in_its_own(
    client: Client, fleet: Deployment, project: str
) -> None:
    entry = (
        "import getpass, os, pwd; print(getpass.getuser(), pwd.getpwuid(os.getuid()).pw_dir, os.path.expanduser('~'))"
    )
    assert await run(client, project, "/usr/bin/python3", "-c", entry) == f"codebuddy {HOME} {HOME}"
    assert await run(client, project, "whoami") == await run(client, project, "id", "-gn") == "codebuddy"
    commit = "git init -q . && git commit -q --allow-empty -m first && git log --format='%an <%ae>'"
    own = "git config user.name Own && git config user.email own@example.org"
    again = "git commit -q --allow-empty -m second && git log -1 --format='%an <%ae>'"
    done = fleet.run(project, "sh", "-c", f"mkdir /tmp/r && cd /tmp/r && {commit} && {own} && {again}; rm -rf /tmp/r")
    assert done.output.splitlines() == ["Scenario <scenario@example.org>", "Own <own@example.org>"]
