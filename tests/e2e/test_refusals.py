"""What must not work does not, and says in a sentence why: tokens, projects, paths, links out of a project."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcp.client.client import Client

from codebuddy_testing.clients import Connect
from codebuddy_testing.deployment import Deployment

pytestmark = pytest.mark.anyio

FILE_TOOLS: list[tuple[str, dict[str, Any]]] = [
    ("read_file", {}),
    ("list_directory", {}),
    ("write_file", {"content": "x"}),
    ("edit_file", {"edits": [{"old_text": "a", "new_text": "b"}]}),
]


async def failure(client: Client, tool: str, arguments: dict[str, Any]) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error, result.structured_content
    assert result.structured_content is not None
    assert result.structured_content["message"].endswith(".")
    return str(result.structured_content["code"])


@pytest.mark.parametrize(("tool", "arguments"), FILE_TOOLS)
@pytest.mark.parametrize(
    ("path", "codes"),
    [
        ("project-a/../project-b/README.md", {"invalid_path", "outside_project"}),
        ("/etc/passwd", {"invalid_path", "outside_project"}),
        ("project-z/README.md", {"unknown_project"}),
        ("project-a-evil/README.md", {"unknown_project"}),
        ("project-a/src/../../../etc/passwd", {"invalid_path", "outside_project"}),
        ("", {"invalid_path"}),
    ],
)
async def test_no_path_leads_out_of_a_project(
    client: Client, tool: str, arguments: dict[str, Any], path: str, codes: set[str]
) -> None:
    assert await failure(client, tool, {"path": path, **arguments}) in codes


LINKS = {
    "absolute": "/etc/hostname",
    "relative": "../../../etc/hostname",
    "secret": "/run/secrets/codebuddy/signing.pub",
    "sibling": "/workspaces/project-b/README.md",
    "magic": "/proc/self/root/etc/hostname",
    "directory": "/etc",
    "dangling": "/etc/no-such-file-yet",
}


@pytest.mark.parametrize("kind", LINKS)
@pytest.mark.parametrize("asked", FILE_TOOLS, ids=lambda asked: asked[0])
async def test_a_link_that_a_spoke_planted_leads_nowhere(
    fleet: Deployment,
    client: Client,
    scratch: Callable[[str], Path],
    asked: tuple[str, dict[str, Any]],
    kind: str,
) -> None:
    tool, arguments = asked
    scratch("project-a")
    assert fleet.run("project-a", "ln", "-s", LINKS[kind], "/workspace/scratch-e2e/link").code == 0
    for path in ("project-a/scratch-e2e/link", "project-a/scratch-e2e/link/hostname"):
        await failure(client, tool, {"path": path, **arguments})
    found = await client.call_tool("search_text", {"pattern": "PUBLIC KEY", "projects": ["project-a"]})
    assert found.structured_content is not None
    assert found.structured_content["matches"] == []
    assert fleet.run("hub", "ls", "/etc/no-such-file-yet").code != 0


async def test_a_token_sees_and_touches_only_its_own_projects(fleet: Deployment, connect: Connect) -> None:
    async with connect(token=fleet.token("project-b")) as client:
        listed = await client.call_tool("list_projects", {})
        searched = await client.call_tool("search_text", {"pattern": "processData"})
        ran = await client.call_tool("run_command", {"argv": ["true"]})
        assert await failure(client, "read_file", {"path": "project-a/README.md"}) == "unknown_project"
        assert await failure(client, "run_command", {"argv": ["id"], "projects": ["project-a"]}) == "unknown_project"
        place = {"path": "project-a/src/index.ts", "symbol": "report"}
        assert await failure(client, "find_references", place) == "unknown_project"
        assert await failure(client, "diagnostics", {"projects": ["project-a"]}) == "unknown_project"
    assert listed.structured_content is not None
    assert [project["id"] for project in listed.structured_content["projects"]] == ["project-b"]
    assert searched.structured_content is not None
    assert searched.structured_content["matches"] == []
    assert ran.structured_content is not None
    assert [result["project"] for result in ran.structured_content["results"]] == ["project-b"]


async def test_a_token_that_may_only_read_neither_writes_nor_runs(fleet: Deployment, connect: Connect) -> None:
    async with connect(token=fleet.token(scopes=("read",))) as client:
        assert not (await client.call_tool("read_file", {"path": "project-a/README.md"})).is_error
        write = {"path": "project-a/README.md", "content": "x"}
        assert await failure(client, "write_file", write) == "forbidden"
        assert await failure(client, "run_command", {"argv": ["id"]}) == "forbidden"
        assert await failure(client, "run_task", {"task": "test"}) == "forbidden"


@pytest.mark.parametrize(
    ("tool", "arguments", "code"),
    [
        ("read_file", {"path": "project-a/src"}, "is_a_directory"),
        ("list_directory", {"path": "project-a/README.md"}, "not_a_directory"),
        ("read_file", {"path": "project-a/nothing.ts"}, "not_found"),
        ("read_file", {"path": "project-a/README.md", "colour": "red"}, "invalid_arguments"),
        ("edit_file", {"path": "project-a/README.md", "edits": [{"old_text": "no such", "new_text": ""}]}, "no_match"),
        (
            "write_file",
            {"path": "project-a/README.md", "content": "x", "expected_hash": "sha256:" + "0" * 64},
            "conflict",
        ),
    ],
)
async def test_a_wrong_call_is_told_what_is_wrong(
    client: Client, tool: str, arguments: dict[str, Any], code: str
) -> None:
    assert await failure(client, tool, arguments) == code


async def test_an_unknown_task_names_those_that_are_declared(client: Client) -> None:
    one = await client.call_tool("run_task", {"task": "dance", "projects": ["project-a"]})
    assert one.is_error
    assert one.structured_content is not None
    assert one.structured_content["code"] == "unknown_task"
    assert "declared: build, check, install, test" in one.structured_content["message"]
    # Of many, those that have it run it: only project-a declares `build`.
    many = await client.call_tool("run_task", {"task": "build", "projects": ["project-a", "project-b"]})
    assert many.structured_content is not None
    reasons = {result["project"]: result["reason"] for result in many.structured_content["results"]}
    assert reasons == {"project-a": "exited", "project-b": "refused"}


async def test_a_program_that_is_not_there_is_told(client: Client) -> None:
    answer = await client.call_tool("run_command", {"argv": ["no-such-program"], "projects": ["project-a"]})
    assert answer.structured_content is not None
    assert answer.structured_content["results"][0]["reason"] == "not_started"


@pytest.mark.parametrize("argument", ["; touch /workspace/pwned", "$(id)", "a\nb", "--", "-rf"])
async def test_arguments_reach_the_program_unchanged(client: Client, argument: str) -> None:
    argv = ["python3", "-c", "import sys; print(ascii(sys.argv[1:]), end='')", argument]
    answer = await client.call_tool("run_command", {"argv": argv, "projects": ["project-b"]})
    assert answer.structured_content is not None
    assert answer.structured_content["results"][0]["output"] == ascii([argument])


async def test_a_spokes_own_token_opens_its_own_project_and_no_other(fleet: Deployment) -> None:
    own = fleet.run("project-a", "codebuddy", "call", "read_file", '{"path": "project-a/README.md"}')
    other = fleet.run("project-a", "codebuddy", "call", "read_file", '{"path": "project-b/README.md"}')
    assert own.code == 0
    assert other.code == 1
    assert "unknown_project" in other.output
