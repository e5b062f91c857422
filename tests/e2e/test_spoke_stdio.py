"""A spoke without the hub: MCP over stdio for one project; and the memory of the agent."""

from __future__ import annotations

import re

import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

from codebuddy_testing.clients import call, refused
from codebuddy_testing.deployment import PROJECTS, Deployment

pytestmark = pytest.mark.anyio

ERAS = pytest.mark.parametrize("mode", ["legacy", "2026-07-28", "auto"])
AGENT_KIB = 60 * 1000
"""An agent without its language servers stays below 60 MB."""

AGENTS = """
for process in /proc/[0-9]*; do
  tr '\\0' ' ' < $process/cmdline | grep -q 'python -I -m codebuddy spoke $' || continue
  sed -n 's/^VmRSS:\\s*//p' $process/status
done
"""


def spoke(fleet: Deployment, project: str, mode: str) -> Client:
    command = ["exec", "-i", f"{fleet.name}-{project}", "codebuddy", "spoke", "--stdio"]
    return Client(StdioServerParameters(command="docker", args=command), mode=mode)


@ERAS
async def test_a_spoke_serves_its_own_project_over_stdio_and_no_other(fleet: Deployment, mode: str) -> None:
    source = (fleet.path("project-a") / "src" / "utils.ts").read_text().splitlines()
    line = next(number for number, text in enumerate(source, 1) if "function processData" in text)
    place = {"path": "project-a/src/utils.ts", "line": line, "text": "processData"}
    async with spoke(fleet, "project-a", mode) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        found = await call(client, "find_references", **place)
        other = await refused(client, "find_references", **{**place, "path": "project-b/x.py"})
    assert {"find_definition", "find_references", "diagnostics", "run_command", "run_task"} <= names
    assert not {"plan_rename", "files_changed", "spoke_status"} & names
    assert found["complete"]
    assert {"project-a/src/utils.ts", "project-a/src/index.ts"} <= {item["path"] for item in found["locations"]}
    assert other["code"] == "outside_project"


async def test_a_stdio_client_starts_no_second_set_of_language_servers(fleet: Deployment) -> None:
    def servers() -> int:
        return fleet.run("project-a", "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").output.count("--lsp")

    before = servers()
    async with spoke(fleet, "project-a", "legacy") as client:
        await client.call_tool("diagnostics", {"path": "project-a/src/utils.ts"})
        assert servers() == before


@pytest.mark.parametrize("project", PROJECTS)
def test_an_agent_needs_less_than_60_megabytes(fleet: Deployment, project: str) -> None:
    (size,) = re.findall(r"(\d+) kB", fleet.run(project, "sh", "-c", AGENTS).output)
    assert int(size) < AGENT_KIB
