"""The tasks `test` and `install` of the profile `typescript`: what they run, and how runners are asked for reports."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from codebuddy_testing.programs import load_program

FILES = Path(__file__).parents[3] / "roles/spokes/files/toolchains/typescript"


node_test = load_program(FILES / "node-test")
node_install = load_program(FILES / "node-install")


def write(top: Path, files: dict[str, Any]) -> None:
    for name, content in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(content if isinstance(content, str) else json.dumps(content))


DEFAULT = 'echo "Error: no test specified" && exit 1'
TESTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a script": ({"package.json": {"scripts": {"test": "jest && tsd"}}}, ["npm", "test"]),
    "a script of Plug'n'Play": (
        {"package.json": {"scripts": {"test": "jest"}}, ".pnp.cjs": ""},
        ["yarn", "run", "test"],
    ),
    "what npm init writes": ({"package.json": {"scripts": {"test": DEFAULT}}}, ["node", "--test"]),
    "workspaces": (
        {"package.json": {"workspaces": ["packages/*"]}},
        ["npm", "test", "--workspaces", "--if-present"],
    ),
    "workspaces of pnpm": (
        {"package.json": {}, "pnpm-workspace.yaml": "packages: [a]"},
        ["pnpm", "--recursive", "--if-present", "--no-bail", "test"],
    ),
    "Vitest without a script": (
        {"package.json": {"devDependencies": {"vitest": "4", "mocha": "12"}}},
        ["npx", "--no-install", "vitest", "run"],
    ),
    "Playwright without a script": (
        {"package.json": {"scripts": {"test": DEFAULT}, "devDependencies": {"@playwright/test": "1"}}},
        ["npx", "--no-install", "playwright", "test"],
    ),
    "no package.json": ({}, ["node", "--test"]),
    "a package.json that cannot be read": ({"package.json": "{"}, ["npm", "test"]),
}


@pytest.mark.parametrize("name", TESTS)
def test_what_runs_a_projects_tests(name: str, tmp_path: Path) -> None:
    files, words = TESTS[name]
    write(tmp_path, files)
    assert node_test.command(tmp_path, ["-x"]) == [*words, "-x"]


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"package.json": {"scripts": {"test": "node --test"}}}, False),
        ({"package.json": {"scripts": {"test": "node --test --test-reporter=dot"}}}, True),
        ({"package.json": {"workspaces": ["a/*"]}, "a/b/package.json": {"scripts": {"t": "--test-reporter"}}}, True),
        (
            {"package.json": {}, "pnpm-workspace.yaml": "packages:\n  - 'a'\n", "a/package.json": "--test-reporter"},
            True,
        ),
    ],
)
def test_nodes_reporter_is_not_given_beside_the_projects_own(
    files: dict[str, Any], named: bool, tmp_path: Path
) -> None:
    write(tmp_path, files)
    options = node_test.environment(tmp_path, "/reports")["NODE_OPTIONS"].split()
    assert any(option.startswith("--test-reporter") for option in options) is not named


def test_reports_are_joined_and_a_broken_one_spoils_no_other(tmp_path: Path) -> None:
    one, two, three = (tmp_path / name for name in ("1.xml", "2.xml", "3.xml"))
    one.write_text('<?xml version="1.0"?><testsuites><testsuite><testcase name="a">')
    two.write_text('<?xml version="1.0"?>\n<testsuite name="b"/>')
    three.write_text("")
    node_test.join([two], tmp_path / "alone.xml")
    assert (tmp_path / "alone.xml").read_bytes() == two.read_bytes()
    node_test.join([one, two, three], tmp_path / "both.xml")
    text = (tmp_path / "both.xml").read_text()
    assert text.index('name="b"') < text.index('name="a"')
    assert text.count("<?xml") == 0
    node_test.join([three], tmp_path / "none.xml")
    assert not (tmp_path / "none.xml").exists()


# What a runner is given: its package, its program, the words of the script, and the words that it sees.
SEEN: dict[str, tuple[str, str, list[str], list[str]]] = {
    "vitest": (
        "vitest",
        "vitest.mjs",
        ["run", "--coverage"],
        ["run", "--coverage", "--reporter=default", "--reporter=junit", "--outputFile.junit={file}", "--watch=false"],
    ),
    "vitest with a reporter, watching": (
        "vitest",
        "vitest.mjs",
        ["--watch", "--reporter", "dot"],
        ["--reporter=dot", "--reporter=junit", "--outputFile.junit={file}", "--watch=false"],
    ),
    "vitest's benchmarks": ("vitest", "vitest.mjs", ["bench"], ["bench"]),
    "jest": (
        "jest",
        "bin/jest.js",
        ["--watchAll", "-w", "2", "a"],
        [
            "-w",
            "2",
            "a",
            "--reporters=default",
            "--reporters={reporters}/jest.cjs",
            "--watchAll=false",
            "--watch=false",
        ],
    ),
    "jest-cli with a reporter": (
        "jest-cli",
        "bin/jest.js",
        ["--reporters=dot", "--", "a"],
        ["--reporters=dot", "--reporters={reporters}/jest.cjs", "--watchAll=false", "--watch=false", "--", "a"],
    ),
    "react-scripts": (
        "react-scripts",
        "scripts/test.js",
        [],
        ["--reporters=default", "--reporters={reporters}/jest.cjs", "--watchAll=false", "--watch=false"],
    ),
    "mocha": ("mocha", "bin/mocha.js", ["-R", "dot", "-w", "test"], ["test", "--reporter={reporters}/mocha.cjs"]),
    "playwright": (
        "@playwright/test",
        "cli.js",
        ["test", "--reporter=line,html"],
        ["test", "--reporter=line,html,junit"],
    ),
    "playwright's other commands": ("playwright", "cli.js", ["install"], ["install"]),
    "ava": ("ava", "cli.js", [], ["--tap"]),
    "another program": ("eslint", "bin/eslint.js", ["."], ["."]),
    "another program of a runner": ("vitest", "dist/worker.js", ["x"], ["x"]),
}
ECHO = "require('fs').writeFileSync(process.env.SEEN, JSON.stringify([process.argv.slice(2), process.env]))"

node = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")


def run_node(tmp_path: Path, *words: str, options: str = "") -> dict[str, Any]:
    """Run node with the preload; return the arguments and the environment that its program saw."""
    environment = {
        **os.environ,
        "NODE_OPTIONS": f"--no-warnings --require={FILES}/reporters/preload.cjs {options}".strip(),
        "CODEBUDDY_REPORTS": str(tmp_path / "reports"),
        "SEEN": str(tmp_path / "seen.json"),
    }
    (tmp_path / "reports").mkdir()
    done = subprocess.run(
        ["node", *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    seen = tmp_path / "seen.json"
    arguments, variables = json.loads(seen.read_text()) if seen.exists() else ([], {})
    return {"arguments": arguments, "environment": variables, "output": done.stdout, "code": done.returncode}


@node
@pytest.mark.parametrize("name", SEEN)
def test_a_runner_is_asked_for_junit(name: str, tmp_path: Path) -> None:
    package, program, words, expected = SEEN[name]
    main = "vitest.mjs" if package == "vitest" else program
    text = f"import {{ createRequire }} from 'module'; const require = createRequire(import.meta.url); {ECHO}"
    script = f"node_modules/{package}/{program}"
    manifest = {"name": package, "bin": {"x": f"./{main}"} if program != "scripts/test.js" else {}}
    write(tmp_path, {f"node_modules/{package}/package.json": manifest, script: text if ".mjs" in program else ECHO})
    seen = run_node(tmp_path, script, *words)
    report = seen["environment"].get("CODEBUDDY_REPORT", "")
    places = {"file": report, "reporters": FILES / "reporters"}
    assert seen["arguments"] == [word.format(**places) for word in expected]
    if package != "eslint" and program != "dist/worker.js":
        assert report.startswith(str(tmp_path / "reports"))
        assert seen["environment"]["NODE_OPTIONS"] == "--no-warnings"  # what the tests start is theirs
        assert "CODEBUDDY_REPORTS" not in seen["environment"]


@node
@pytest.mark.parametrize(
    ("words", "options", "printed"),
    [
        (["--test"], f"--test-reporter={FILES}/reporters/node.mjs", "one"),
        (["one.test.cjs"], f"--test-reporter={FILES}/reporters/node.mjs", "one"),
        (["--test", "--test-reporter=dot"], "", "."),
        (["--test", "--test-reporter=tap", "--test-reporter-destination=tap"], "", ""),
    ],
)
def test_nodes_own_runner_writes_junit_beside_what_it_prints(
    words: list[str], options: str, printed: str, tmp_path: Path
) -> None:
    write(tmp_path, {"one.test.cjs": "require('node:test')('one', () => {})"})
    seen = run_node(tmp_path, *words, options=options)
    (report,) = (tmp_path / "reports").glob("*.xml")
    assert report.read_text().count('<testcase name="one"') == 1
    assert seen["code"] == 0
    assert printed in seen["output"]
    assert ("tests 1" in seen["output"]) is bool(options)


MANIFEST: dict[str, Any] = {"name": "it"}
YARN_1 = "# yarn lockfile v1\n"
YARN_4 = "__metadata:\n  version: 8\n"
INSTALLS: dict[str, tuple[dict[str, Any], str, str, list[list[str]], list[str]]] = {
    "no lock": ({}, "npm", "", [["npm", "install"]], []),
    "npm": ({"package-lock.json": ""}, "npm", "", [["npm", "ci"], ["npm", "install"]], []),
    "pnpm": (
        {"pnpm-lock.yaml": "", "package-lock.json": ""},
        "pnpm",
        "",
        [["pnpm", "install", "--frozen-lockfile"], ["pnpm", "install"]],
        ["package-lock.json"],
    ),
    "Yarn 1": (
        {"yarn.lock": YARN_1},
        "yarn",
        "1.22.22",
        [["yarn", "install", "--frozen-lockfile"], ["yarn", "install"]],
        [],
    ),
    "Yarn 4": ({"yarn.lock": YARN_4}, "yarn", "4", [["yarn", "install", "--immutable"], ["yarn", "install"]], []),
    "Yarn in the project": (
        {"yarn.lock": YARN_4, ".yarnrc.yml": "yarnPath: .yarn/releases/y.cjs\n", ".yarn/releases/y.cjs": ""},
        "yarn",
        "4",
        [["node", ".yarn/releases/y.cjs", "install", "--immutable"], ["node", ".yarn/releases/y.cjs", "install"]],
        [],
    ),
    "bun": ({"bun.lock": ""}, "bun", "", [["bun", "install", "--frozen-lockfile"], ["bun", "install"]], []),
    "a manager that is declared": (
        {"package.json": {"packageManager": "pnpm@9.1.0+sha512.00"}, "yarn.lock": YARN_1},
        "pnpm",
        "9.1.0",
        [["pnpm", "install"]],
        ["yarn.lock"],
    ),
}


@pytest.mark.parametrize("name", INSTALLS)
def test_what_installs_a_projects_packages(name: str, tmp_path: Path) -> None:
    files, manager, version, commands, left = INSTALLS[name]
    write(tmp_path, {"package.json": MANIFEST, **files})
    found = node_install.plan(tmp_path, [])
    assert (found.manager, found.version, found.commands, found.left) == (manager, version, commands, left)


def test_packages_that_are_named_are_added(tmp_path: Path) -> None:
    write(tmp_path, {"package.json": MANIFEST, "pnpm-lock.yaml": ""})
    assert node_install.plan(tmp_path, ["zod"]).commands == [["pnpm", "add", "zod"]]
    (tmp_path / "pnpm-lock.yaml").unlink()
    assert node_install.plan(tmp_path, ["zod"]).commands == [["npm", "install", "zod"]]


@pytest.mark.parametrize("files", [{}, {"package.json": "{"}])
def test_nothing_to_install_is_told(files: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path, files)
    with pytest.raises(ValueError, match=r"package\.json"):
        node_install.plan(tmp_path, [])
