"""Code actions for a file that the server has not seen before."""

from __future__ import annotations

from typing import Any

import pytest
from mcp.client.client import Client

from codebuddy_testing.case_projects import chosen_projects
from codebuddy_testing.clients import call
from codebuddy_testing.deployment import Deployment

pytestmark = pytest.mark.anyio

TIMES = 3
TEXT = "const circle: Circle = new Circle(1);\nexport const area = circle.area();\n"


@pytest.mark.parametrize("project", [name for name in ("ts-tsc", "ts-tls") if name in chosen_projects()])
async def test_the_first_answer_with_source_actions_is_already_complete(
    project: str, fleet: Deployment, client: Client
) -> None:
    def titles(content: dict[str, list[dict[str, str]]]) -> list[str]:
        return sorted(action["title"] for action in content["actions"])

    asked: dict[str, Any] = {"line": 1, "column": 1, "kinds": ["source"]}
    for number in range(TIMES):
        path = f"{project}/src/first{number}.ts"
        written = await call(client, "write_file", path=path, content=TEXT)
        try:
            first = await call(client, "code_actions", path=path, **asked)
            assert first["complete"], first
            again = await call(client, "code_actions", path=path, **asked)
            assert titles(first) == titles(again) != []
        finally:
            await call(client, "undo_edit", edit_id=written["edit_id"])
