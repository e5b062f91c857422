"""What the documentation of the code names exists."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import anyio
import pytest

from codebuddy_testing.listeners import open_listener, token

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
PACKAGE = ROOT / "hub/src/codebuddy"
FLEET = ROOT / "roles/fleet/module_utils/codebuddy_fleet"
SUPPORT = ROOT / "tests/support/codebuddy_testing"
_PATH = re.compile(r"`((?:[\w.-]+/)*[\w-]+\.py|(?:[\w.-]+/)+)`")
_LINK = re.compile(r"\]\(([^)#:]+)?(?:#([\w-]+))?\)")


@pytest.mark.parametrize("name", sorted(set(_PATH.findall((ROOT / "docs/development.md").read_text()))))
def test_files_that_the_guide_for_developers_names_exist(name: str) -> None:
    assert any((place / name).exists() for place in (ROOT, PACKAGE, FLEET, SUPPORT)), name


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.replace("`", "")).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target, anchor in _LINK.findall(page.read_text()):
        found = page if not target else (page.parent / target).resolve()
        assert found.exists(), f"{target} in {page.name}"
        if anchor and found.suffix == ".md":
            assert anchor in anchors(found), f"{target}#{anchor} in {page.name}"


@pytest.mark.anyio
async def test_the_program_that_the_page_about_clients_shows_runs() -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/clients.md").read_text(), re.MULTILINE | re.DOTALL)
    async with open_listener() as listener:
        program = program.replace(":3000/", f":{listener.port}/").replace(
            '"list_projects", {}', '"echo", {"text": "x1"}'
        )
        environment = {**os.environ, "CODEBUDDY_TOKEN": token(), "NO_PROXY": "127.0.0.1"}
        done = await anyio.run_process([sys.executable, "-c", program], env=environment, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert b"x1" in done.stdout
