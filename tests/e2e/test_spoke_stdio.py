"""A spoke by itself: MCP over stdio for one project, through the agent that runs there; and how large that agent is."""

from __future__ import annotations

import re

import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

from codebuddy_testing.deployment import PROJECTS, Deployment

pytestmark = pytest.mark.anyio

ERAS = pytest.mark.parametrize("mode", ["legacy", "2026-07-28", "auto"])
AGENT_KIB = 60 * 1000
"""An agent without its language servers is to stay below 60 MB."""

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
async def test_a_spoke_answers_by_itself_for_its_project_only(fleet: Deployment, mode: str) -> None:
    source = (fleet.path("project-a") / "src" / "utils.ts").read_text().splitlines()
    line = next(number for number, text in enumerate(source, 1) if "function processData" in text)
    place = {"path": "project-a/src/utils.ts", "line": line, "text": "processData"}
    async with spoke(fleet, "project-a", mode) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        found = (await client.call_tool("find_references", place)).structured_content
        other = (await client.call_tool("find_references", {**place, "path": "project-b/x.py"})).structured_content
    assert {"find_definition", "find_references", "diagnostics", "run_command", "run_task"} <= names
    assert not {"plan_rename", "files_changed", "spoke_status"} & names
    assert found["complete"]
    assert {"project-a/src/utils.ts", "project-a/src/index.ts"} <= {item["path"] for item in found["locations"]}
    assert other["code"] == "outside_project"


async def test_no_second_set_of_language_servers_is_started(fleet: Deployment) -> None:
    def servers() -> int:
        return fleet.run("project-a", "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").output.count("--lsp")

    before = servers()
    async with spoke(fleet, "project-a", "legacy") as client:
        await client.call_tool("diagnostics", {"path": "project-a/src/utils.ts"})
        assert servers() == before


@pytest.mark.parametrize("project", PROJECTS)
def test_an_agent_is_small(fleet: Deployment, project: str) -> None:
    (size,) = re.findall(r"(\d+) kB", fleet.run(project, "sh", "-c", AGENTS).output)
    assert int(size) < AGENT_KIB
