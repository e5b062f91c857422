"""Calls that must fail, each with a code and a sentence: tokens, projects, paths, links out of a project."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcp.client.client import Client

from codebuddy_testing.clients import Connect, answer, call, refused
from codebuddy_testing.deployment import Deployment

pytestmark = pytest.mark.anyio

FILE_TOOLS: list[tuple[str, dict[str, Any]]] = [
    ("read_file", {}),
    ("list_directory", {}),
    ("write_file", {"content": "x"}),
    ("edit_file", {"edits": [{"old_text": "a", "new_text": "b"}]}),
]


async def error_code(client: Client, tool: str, /, **arguments: Any) -> str:
    """Call a tool, which must fail with a sentence, or one that ends with a command; return the error's code."""
    error = await refused(client, tool, **arguments)
    assert error["message"].endswith(".") or "make one with: make token SCOPES=read" in error["message"]
    return str(error["code"])


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
    assert await error_code(client, tool, path=path, **arguments) in codes


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
async def test_no_tool_follows_a_link_that_leads_out_of_the_project(
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
        await error_code(client, tool, path=path, **arguments)
    _, found = await answer(client, "search_text", pattern="PUBLIC KEY", projects=["project-a"])
    assert found["matches"] == []
    assert fleet.run("hub", "ls", "/etc/no-such-file-yet").code != 0


async def test_a_token_gives_access_to_its_own_projects_only(fleet: Deployment, connect: Connect) -> None:
    async with connect(token=fleet.token("project-b")) as client:
        _, listed = await answer(client, "list_projects")
        _, searched = await answer(client, "search_text", pattern="processData")
        _, ran = await answer(client, "run_command", argv=["true"])
        assert await error_code(client, "read_file", path="project-a/README.md") == "unknown_project"
        assert await error_code(client, "run_command", argv=["id"], projects=["project-a"]) == "unknown_project"
        place = {"path": "project-a/src/index.ts", "symbol": "report"}
        assert await error_code(client, "find_references", **place) == "unknown_project"
        assert await error_code(client, "diagnostics", projects=["project-a"]) == "unknown_project"
    assert [project["id"] for project in listed["projects"]] == ["project-b"]
    assert searched["matches"] == []
    assert [result["project"] for result in ran["results"]] == ["project-b"]


async def test_a_token_with_read_scope_can_neither_write_nor_run(fleet: Deployment, connect: Connect) -> None:
    async with connect(token=fleet.token(scopes=("read",))) as client:
        await call(client, "read_file", path="project-a/README.md")
        write = {"path": "project-a/README.md", "content": "x"}
        assert await error_code(client, "write_file", **write) == "forbidden"
        assert await error_code(client, "run_command", argv=["id"]) == "forbidden"
        assert await error_code(client, "run_task", task="test") == "forbidden"


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
async def test_a_wrong_call_fails_with_its_own_code(
    client: Client, tool: str, arguments: dict[str, Any], code: str
) -> None:
    assert await error_code(client, tool, **arguments) == code


async def test_the_error_for_an_unknown_task_names_the_declared_tasks(client: Client) -> None:
    error = await refused(client, "run_task", task="dance", projects=["project-a"])
    assert error["code"] == "unknown_task"
    assert "declared: build, check, install, test" in error["message"]
    # Of several projects, those that declare a task run it: here only project-a declares `build`.
    _, several = await answer(client, "run_task", task="build", projects=["project-a", "project-b"])
    reasons = {result["project"]: result["reason"] for result in several["results"]}
    assert reasons == {"project-a": "exited", "project-b": "refused"}


async def test_a_program_that_does_not_exist_is_reported_as_not_started(client: Client) -> None:
    _, run = await answer(client, "run_command", argv=["no-such-program"], projects=["project-a"])
    assert run["results"][0]["reason"] == "not_started"


@pytest.mark.parametrize("argument", ["; touch /workspace/pwned", "$(id)", "a\nb", "--", "-rf"])
async def test_arguments_reach_the_program_unchanged(client: Client, argument: str) -> None:
    argv = ["python3", "-c", "import sys; print(ascii(sys.argv[1:]), end='')", argument]
    _, run = await answer(client, "run_command", argv=argv, projects=["project-b"])
    assert run["results"][0]["output"] == ascii([argument])


async def test_a_spokes_own_token_gives_access_to_its_own_project_only(fleet: Deployment) -> None:
    own = fleet.run("project-a", "codebuddy", "call", "read_file", '{"path": "project-a/README.md"}')
    other = fleet.run("project-a", "codebuddy", "call", "read_file", '{"path": "project-b/README.md"}')
    assert own.code == 0
    assert other.code == 1
    assert "unknown_project" in other.output
