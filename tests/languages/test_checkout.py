"""After git checks out another branch on the host, the next answers are about that branch."""

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

from codebuddy_testing.branch_files import MANY, BranchFiles, count_differing
from codebuddy_testing.case_projects import PROFILES, case_directory, cases_of, chosen_projects, reset_project
from codebuddy_testing.clients import answer
from codebuddy_testing.deployment import Deployment
from codebuddy_testing.language_cases import Case, arguments_of
from codebuddy_testing.verdicts import Answer, judge

pytestmark = pytest.mark.anyio

MAIN, OTHER = "main", "other"
ROUNDS = (OTHER, MAIN, OTHER, MAIN)
SECONDS = 300
WORD = re.compile(r"\b[Ss]hout\b")
MARKED = r"⟦\g<0>⟧"
WRONG = re.compile(r"\b(no_such_name|noSuchName)\b")

BULKS = {
    "typescript": BranchFiles(
        "src/bulk",
        ".ts",
        'import {{ shout }} from "@shop/text";\nexport const f{number} = shout;\n',
        "export const f{number} = {number};\n",
        "// moved\n",
        "export const f{number} = no_such_name;\n",
    ),
    "python": BranchFiles(
        "shop/bulk",
        ".py",
        "from words import shout\n\nf{number} = shout\n",
        "f{number} = {number}\n",
        "# moved\n",
        "f{number} = no_such_name\n",
    ),
    "rust": BranchFiles(
        "src/bulk",
        ".rs",
        "pub fn f{number}() {{\n    let _ = words::shout;\n}}\n",
        "pub fn f{number}() {{}}\n",
        "// moved\n",
        "pub fn f{number}() {{\n    let _ = no_such_name;\n}}\n",
    ),
    "go": BranchFiles(
        "bulk",
        ".go",
        'package {place}\n\nimport "example.com/words"\n\nvar F{number} = words.Shout\n',
        "package {place}\n\nvar F{number} = {number}\n",
        "// Moved.\n\n",
        "package {place}\n\nvar F{number} = noSuchName\n",
    ),
    "cpp": BranchFiles(
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
    """A git repository with two branches, in a project's directory.

    Args:
        root: the directory on the host.
        bulk: the files in which the branches differ.
        texts: the files of both branches, by branch and path.
    """

    root: Path
    bulk: BranchFiles
    texts: Mapping[str, Mapping[str, str]]

    def git(self, *arguments: str) -> None:
        """Run git without the settings of the host; the directory may belong to the spoke's user."""
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

    def create(self) -> None:
        """Create the repository with the first branch checked out."""
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
        """Remove the repository and the files of its branches."""
        shutil.rmtree(self.root / ".git", ignore_errors=True)
        shutil.rmtree(self.root / self.bulk.folder, ignore_errors=True)


def texts_of_branch(profile: str, bulk: BranchFiles, texts: Mapping[str, str], other: bool) -> dict[str, str]:
    """Return the files of a branch: the many ones, and the project's own files that declare them."""
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


# By number of files, how many of them differ: 2,000; and so few that a server has no time to find them by itself.
COUNTS = {MANY: 2000, 60: 66}


@pytest.fixture(
    params=[pytest.param((name, count), id=f"{name}-{count}") for name in chosen_projects() for count in COUNTS]
)
def repository(
    request: pytest.FixtureRequest, fleet: Deployment, texts: dict[str, dict[str, str]]
) -> Iterator[tuple[str, Repository]]:
    """A project and a repository in its directory, which is reset after the test."""
    assert shutil.which("git"), "git is missing on the host: install it"
    project, count = request.param
    profile = PROFILES[project]
    bulk = replace(BULKS[profile], count=count)
    branches = {branch: texts_of_branch(profile, bulk, texts[profile], branch == OTHER) for branch in (MAIN, OTHER)}
    assert count_differing(branches[MAIN], branches[OTHER]) >= COUNTS[count]
    repo = Repository(fleet.path(project), bulk, branches)
    try:
        repo.create()
        yield project, repo
    finally:
        repo.remove()
        reset_project(repo.root, case_directory(profile))


def marked(path: str, text: str, words: re.Pattern[str]) -> list[str]:
    """Mark the places of a word in a file, as `locations_of` reads them."""
    return [f"{path} | {words.sub(MARKED, text)}"] if words.search(text) else []


def cases_of_branch(project: str, repo: Repository, branch: str) -> list[Case]:
    """Return the cases of a branch: all uses, the definition of one of them, and the errors of a changed file."""
    profile, there, other = PROFILES[project], repo.texts[branch], branch == OTHER
    about = {case.tool: case for case in cases_of(profile) if case.name == "workspace package"}
    within = {path: text for path, text in there.items() if path.startswith(f"{repo.bulk.folder}/")}
    uses = [one for path, text in within.items() for one in marked(path, text, WORD)]
    # An import comes first; the last line with the word is the use.
    moved = repo.bulk.moved(other)
    last = within[moved].strip().split("\n")
    use = next(line for line in reversed(last) if WORD.search(line))
    broken = repo.bulk.broken()
    references, definition = about["find_references"], about["find_definition"]
    return [
        replace(references, expected=[*references.expected, *uses], arguments={"limit": 1000}),
        replace(definition, position=f"{moved} | {WORD.sub(MARKED, use)}"),
        Case("diagnostics", "changed file", expected=marked(broken, within[broken], WRONG), arguments={"path": broken}),
    ]


async def test_after_a_checkout_the_next_answers_are_about_that_branch(
    repository: tuple[str, Repository], client: Client, texts: dict[str, dict[str, str]]
) -> None:
    project, repo = repository
    await check(client, project, cases_of_branch(project, repo, MAIN), {**texts[PROFILES[project]], **repo.texts[MAIN]})
    for number, branch in enumerate(ROUNDS):
        there = {**texts[PROFILES[project]], **repo.texts[branch]}
        cases = cases_of_branch(project, repo, branch)
        # Each case comes first once.
        cases = cases[number % len(cases) :] + cases[: number % len(cases)]
        repo.git("checkout", "-q", branch)
        print(f"{project}: {branch}: {await check(client, project, cases, there)}")


async def check(client: Client, project: str, cases: list[Case], texts: Mapping[str, str]) -> str:
    """Check that the answer of each case is right; return how long each took, as text."""
    took = []
    for case in cases:
        began = time.monotonic()
        arguments: dict[str, Any] = {**arguments_of(case, project, texts), "timeout_seconds": SECONDS}
        succeeded, content = await answer(client, case.tool, **arguments)
        took.append(f"{case.tool} {time.monotonic() - began:.2f} s")
        verdict = judge(case, project, texts, Answer(not succeeded, content))
        assert verdict.state == "ok", f"{case.tool}: {verdict.why}"
    return ", ".join(took)
