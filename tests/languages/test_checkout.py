"""Another branch is checked out on the host with git, and the very next answers at the hub are for it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from mcp.client.client import Client

from codebuddy_testing.branches import MANY, Bulk, differing
from codebuddy_testing.case_projects import PROFILES, cases_of, folder_of, refill
from codebuddy_testing.deployment import Deployment
from codebuddy_testing.judging import Answer, judge
from codebuddy_testing.language_cases import Case, arguments_of

from .conftest import chosen_projects

pytestmark = pytest.mark.anyio

MAIN, OTHER = "main", "other"
ROUNDS = (OTHER, MAIN, OTHER, MAIN)
SECONDS = 300
WORD = re.compile(r"\b[Ss]hout\b")
MARKED = r"⟦\g<0>⟧"
WRONG = re.compile(r"\b(no_such_name|noSuchName)\b")

BULKS = {
    "typescript": Bulk(
        "src/bulk",
        ".ts",
        'import {{ shout }} from "@shop/text";\nexport const f{number} = shout;\n',
        "export const f{number} = {number};\n",
        "// moved\n",
        "export const f{number} = no_such_name;\n",
    ),
    "python": Bulk(
        "shop/bulk",
        ".py",
        "from words import shout\n\nf{number} = shout\n",
        "f{number} = {number}\n",
        "# moved\n",
        "f{number} = no_such_name\n",
    ),
    "rust": Bulk(
        "src/bulk",
        ".rs",
        "pub fn f{number}() {{\n    let _ = words::shout;\n}}\n",
        "pub fn f{number}() {{}}\n",
        "// moved\n",
        "pub fn f{number}() {{\n    let _ = no_such_name;\n}}\n",
    ),
    "go": Bulk(
        "bulk",
        ".go",
        'package {place}\n\nimport "example.com/words"\n\nvar F{number} = words.Shout\n',
        "package {place}\n\nvar F{number} = {number}\n",
        "// Moved.\n\n",
        "package {place}\n\nvar F{number} = noSuchName\n",
    ),
    "cpp": Bulk(
        "src/bulk",
        ".cpp",
        '#include "loud.hpp"\n\nauto f{number} = words::shout;\n',
        "int f{number} = {number};\n",
        "// moved\n",
        "int f{number} = no_such_name;\n",
    ),
}


@dataclass(frozen=True)
class Repository:
    """A git repository in a project's directory, with two branches.

    Args:
        root: the directory on the host.
        bulk: what the branches differ in.
        texts: the texts of both, by branch.
    """

    root: Path
    bulk: Bulk
    texts: Mapping[str, Mapping[str, str]]

    def git(self, *arguments: str) -> None:
        """Run git, without this machine's settings; the directory may belong to the spoke's user."""
        settings = ("safe.directory=*", "user.name=test", "user.email=test@example.com", "gc.auto=0")
        done = subprocess.run(
            ["git", *(part for setting in settings for part in ("-c", setting)), *arguments],
            cwd=self.root,
            env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"git {arguments[0]}: {done.stderr}"

    def make(self) -> None:
        """Make it, with the first branch checked out."""
        self.git("init", "-q", "-b", MAIN)
        written: Mapping[str, str] = {}
        for branch, texts in self.texts.items():
            if branch != MAIN:
                self.git("checkout", "-q", "-b", branch)
            for path in written.keys() - texts.keys():
                (self.root / path).unlink()
            for path, text in texts.items():
                if written.get(path) != text:
                    (self.root / path).parent.mkdir(parents=True, exist_ok=True)
                    (self.root / path).write_text(text)
            self.git("add", "--all", "--", *{Path(path).parts[0] for path in texts})
            self.git("commit", "-q", "-m", branch)
            written = texts
        self.git("checkout", "-q", MAIN)

    def remove(self) -> None:
        """Remove it, and all that its branches brought."""
        shutil.rmtree(self.root / ".git", ignore_errors=True)
        shutil.rmtree(self.root / self.bulk.folder, ignore_errors=True)


def texts_of_branch(profile: str, bulk: Bulk, texts: Mapping[str, str], other: bool) -> dict[str, str]:
    """Give the texts of a branch: the bulk, and the project's own files that name it."""
    found = bulk.branch(other)
    if profile == "rust":
        found["src/lib.rs"] = texts["src/lib.rs"] + "\npub mod bulk;\n"
    if profile == "cpp":
        commands = json.loads(texts["compile_commands.json"])
        files = [path for path in sorted(found) if path.endswith(".cpp")]
        commands += [
            {"directory": "/workspace", "command": f"c++ -std=c++20 -Iwords -c {path} -o /tmp/bulk.o", "file": path}
            for path in files
        ]
        found["compile_commands.json"] = json.dumps(commands, indent=1) + "\n"
    return found


# 2,000 files of difference; and so few that a server has no time to find the new ones by itself meanwhile.
COUNTS = {MANY: 2000, 60: 66}


@pytest.fixture(
    params=[pytest.param((name, count), id=f"{name}-{count}") for name in chosen_projects() for count in COUNTS]
)
def repository(
    request: pytest.FixtureRequest, fleet: Deployment, texts: dict[str, dict[str, str]]
) -> Iterator[tuple[str, Repository]]:
    """A project and the repository in its directory, which is as before afterwards."""
    assert shutil.which("git"), "git is missing on this machine: install it"
    project, count = request.param
    profile = PROFILES[project]
    bulk = replace(BULKS[profile], count=count)
    branches = {branch: texts_of_branch(profile, bulk, texts[profile], branch == OTHER) for branch in (MAIN, OTHER)}
    assert differing(branches[MAIN], branches[OTHER]) >= COUNTS[count]
    made = Repository(fleet.path(project), bulk, branches)
    try:
        made.make()
        yield project, made
    finally:
        made.remove()
        refill(made.root, folder_of(profile))


def marked(path: str, text: str, words: re.Pattern[str]) -> list[str]:
    """Write down the places of a word in a file, if it is there."""
    return [f"{path} | {words.sub(MARKED, text)}"] if words.search(text) else []


def questions(project: str, made: Repository, branch: str) -> list[Case]:
    """Give what is right in a branch: all uses, what one of them is of, and the errors of a file that is changed."""
    profile, there, other = PROFILES[project], made.texts[branch], branch == OTHER
    about = {case.tool: case for case in cases_of(profile) if case.name == "workspace package"}
    within = {path: text for path, text in there.items() if path.startswith(f"{made.bulk.folder}/")}
    uses = [one for path, text in within.items() for one in marked(path, text, WORD)]
    # An import comes first; what stands last is the use.
    moved = made.bulk.moved(other)
    last = within[moved].strip().split("\n")
    use = next(line for line in reversed(last) if WORD.search(line))
    broken = made.bulk.broken()
    references, definition = about["find_references"], about["find_definition"]
    return [
        replace(references, right=[*references.right, *uses], more={"limit": 1000}),
        replace(definition, ask=f"{moved} | {WORD.sub(MARKED, use)}"),
        Case("diagnostics", "changed file", right=marked(broken, within[broken], WRONG), more={"path": broken}),
    ]


async def test_the_next_answers_are_for_the_branch_that_was_checked_out(
    repository: tuple[str, Repository], client: Client, texts: dict[str, dict[str, str]]
) -> None:
    project, made = repository
    await asked(client, project, questions(project, made, MAIN), {**texts[PROFILES[project]], **made.texts[MAIN]})
    for number, branch in enumerate(ROUNDS):
        there = {**texts[PROFILES[project]], **made.texts[branch]}
        cases = questions(project, made, branch)
        # Each of them is the first once.
        cases = cases[number % len(cases) :] + cases[: number % len(cases)]
        made.git("checkout", "-q", branch)
        print(f"{project}: {branch}: {await asked(client, project, cases, there)}")


async def asked(client: Client, project: str, cases: list[Case], texts: Mapping[str, str]) -> str:
    """Ask, and see that every answer is right; say how long each took."""
    took = []
    for case in cases:
        began = time.monotonic()
        sent: dict[str, Any] = {**arguments_of(case, project, texts), "timeout_seconds": SECONDS}
        result = await client.call_tool(case.tool, sent)
        took.append(f"{case.tool} {time.monotonic() - began:.2f} s")
        assert result.structured_content is not None, result
        verdict = judge(case, project, texts, Answer(result.is_error, result.structured_content))
        assert verdict.state == "ok", f"{case.tool}: {verdict.why}"
    return ", ".join(took)
