"""A Python package that is made while the server runs is known to the next question; so is what ignore files hide."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from mcp.client.client import Client

from codebuddy_testing.case_projects import chosen_projects
from codebuddy_testing.clients import call

pytestmark = pytest.mark.anyio

SERVERS = [name for name in ("py-ty", "py-mixed", "py-basedpyright", "py-pylsp") if name in chosen_projects()]
CORE = "def two() -> int:\n    return 2\n"


@asynccontextmanager
async def written(client: Client, project: str, files: Mapping[str, str]) -> AsyncIterator[None]:
    """Write files through the hub, one by one, and undo that."""
    edits = []
    try:
        for path, content in files.items():
            edits.append(await call(client, "write_file", path=f"{project}/{path}", content=content))
        yield
    finally:
        for edit in reversed(edits):
            await call(client, "undo_edit", edit_id=edit["edit_id"])


async def places(client: Client, path: str, line: int, column: int) -> list[str]:
    found = await call(client, "find_references", path=path, line=line, column=column)
    assert found["complete"], found
    return sorted(f"{one['path']}:{one['line']}:{one['column']}" for one in found["locations"])


@pytest.mark.parametrize("project", SERVERS)
@pytest.mark.parametrize("order", ["declared first", "used first"])
@pytest.mark.parametrize("place", ["", "shop/", "shop/deep/"])
async def test_a_package_that_is_made_while_the_server_runs_is_known(
    project: str, order: str, place: str, client: Client
) -> None:
    package = f"{place}later"
    module = package.replace("/", ".")
    use = f"from {module}.core import two\n\nresult = two()\n"
    files = {f"{package}/__init__.py": "", f"{package}/core.py": CORE, f"{package}/use.py": use}
    async with written(client, project, files if order == "declared first" else dict(reversed(files.items()))):
        core, used = f"{project}/{package}/core.py", f"{project}/{package}/use.py"
        column = len(f"from {module}.core import ") + 1
        assert await places(client, core, 1, 5) == [f"{core}:1:5", f"{used}:1:{column}", f"{used}:3:10"]
        shown = await call(client, "diagnostics", path=used)
        assert shown["diagnostics"] == []
        preview = await call(client, "rename_symbol", path=core, line=1, column=5, new_name="three", preview=True)
        assert sorted(file["path"] for file in preview["files"]) == [core, used]


@pytest.mark.parametrize("project", [name for name in SERVERS if name != "py-pylsp"])
async def test_an_import_of_a_package_that_is_gone_is_an_error(project: str, client: Client) -> None:
    use = {"user.py": "from later.core import two\n\nresult = two()\n"}
    async with written(client, project, {"later/core.py": CORE, **use}):
        assert (await call(client, "diagnostics", path=f"{project}/user.py"))["diagnostics"] == []
    async with written(client, project, use):
        assert (await call(client, "diagnostics", path=f"{project}/user.py"))["diagnostics"]


@pytest.mark.parametrize("project", SERVERS)
async def test_what_ignore_files_hide_and_what_is_in_dist_is_asked_about(project: str, client: Client) -> None:
    use = "from later import two\n\nresult = two()\n"
    hidden = {".ignore": "hidden/\n", "hidden/made.py": use, "dist/made.py": use}
    async with written(client, project, {"later.py": CORE, **hidden}):
        found = await places(client, f"{project}/later.py", 1, 5)
        assert found == sorted(
            [f"{project}/later.py:1:5"]
            + [f"{project}/{place}/made.py:{at}" for place in ("hidden", "dist") for at in ("1:19", "3:10")]
        )
