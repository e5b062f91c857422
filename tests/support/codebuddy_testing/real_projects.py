"""Projects that others wrote: where their pinned sources come from, how a person tests them, and what they print."""

from __future__ import annotations

import hashlib
import re
import shlex
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple


class Totals(NamedTuple):
    """What a test run says of itself."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass(frozen=True)
class Archive:
    """A file with a project's sources.

    Args:
        get: a shell command that leaves the file in the working directory of a container as root.
    """

    file: str
    sha256: str
    get: str

    def unpack(self, downloads: Path, project: Path) -> None:
        """Fill a project's directory.

        Raises:
            ValueError: the file is another one than was pinned.
        """
        path = downloads / self.file
        if hashlib.sha256(path.read_bytes()).hexdigest() != self.sha256:
            raise ValueError(f"{self.file} has another hash than it had when it was pinned")
        with tarfile.open(path) as archive:
            for member in archive.getmembers():
                member.name = member.name.partition("/")[2]
                if member.name:
                    archive.extract(member, project, filter="data")


# pip finds the file; `pip download` would build it.
_SDIST: Final = """
import sys
from pathlib import Path
from pip._internal.commands import create_command
from pip._vendor.packaging.specifiers import SpecifierSet
command = create_command("download")
options, _ = command.parse_args(["--no-binary", ":all:", "--no-deps"])
with command.main_context():
    session = command.get_default_session(options)
    finder = command._build_package_finder(options, session)
    best = finder.find_best_candidate(sys.argv[1], SpecifierSet("==" + sys.argv[2])).best_candidate
    answer = session.get(best.link.url_without_fragment, headers={"Accept-Encoding": "identity"})
    answer.raise_for_status()
    Path(best.link.filename).write_bytes(answer.content)
"""
_DEB_SRC: Final = (
    "find /etc/apt -name '*.sources' -exec sed -i 's/^Types: deb$/Types: deb deb-src/' {} +; "
    "find /etc/apt -name 'sources.list' -exec sed -i 's/^deb \\(.*\\)/&\\ndeb-src \\1/' {} +; "
    "apt-get update -qq"
)


def sdist(name: str, version: str, sha256: str) -> Archive:
    """A source distribution of PyPI, for the image of the profile `python`."""
    get = f"/opt/python/bin/python -c {shlex.quote(_SDIST)} {name} {version}"
    return Archive(f"{name}-{version}.tar.gz", sha256, get)


def debian(source: str, version: str, file: str, sha256: str) -> Archive:
    """The original archive of a Debian source package, whose other files are not needed."""
    get = f"{_DEB_SRC}; apt-get source --download-only {source}={version} || test -e {shlex.quote(file)}"
    return Archive(file, sha256, get)


def npm(name: str, version: str, sha256: str) -> Archive:
    """A package of npm, for the image of the profile `typescript`."""
    return Archive(f"{name}-{version}.tgz", sha256, f"npm pack {name}@{version}")


# Runners' own totals --------------------------------------------------------------------------------------------------


def pytest_totals(output: str) -> Totals:
    """Read the last line of pytest: ``1 failed, 2 passed, 3 skipped, 1 xfailed in 4s``."""
    line = re.findall(r"^=*\s*((?:\d+ \w+(?:, )?)+) in [\d.]+s", output, re.MULTILINE)[-1]
    of = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", line)}
    return Totals(
        of.get("passed", 0) + of.get("xpassed", 0),
        of.get("failed", 0) + of.get("error", 0) + of.get("errors", 0),
        of.get("skipped", 0) + of.get("xfailed", 0),
    )


def node_totals(output: str) -> Totals:
    """Read the line ``Tests`` of Jest and Vitest, or the lines ``12 passing`` of Mocha."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
    lines = re.findall(r"^ *Tests:? .*$", plain, re.MULTILINE) or [" ".join(_MOCHA.findall(plain))]
    of = {word[:4]: int(number) for number, word in re.findall(r"(\d+) (\w+)", lines[-1])}
    return Totals(of.get("pass", 0), of.get("fail", 0), of.get("skip", 0) + of.get("pend", 0) + of.get("todo", 0))


_MOCHA: Final = re.compile(r"^ +(\d+ (?:passing|failing|pending))", re.MULTILINE)


def go_totals(output: str) -> Totals:
    """Count what ``go test -v`` prints of each test; one with subtests is not counted."""
    results = re.findall(r"^ *--- (PASS|FAIL|SKIP): (\S+)", output, re.MULTILINE)
    parents = {name.rpartition("/")[0] for _, name in results}
    words = [word for word, name in results if name not in parents]
    return Totals(words.count("PASS"), words.count("FAIL"), words.count("SKIP"))


def cargo_totals(output: str) -> Totals:
    """Add what each test binary says last."""
    results = re.findall(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", output, re.MULTILINE)
    return Totals(*(sum(map(int, column)) for column in zip(*results, strict=True)))


def ctest_totals(output: str) -> Totals:
    """Read the last line of CTest."""
    failed, total = re.findall(r"tests passed, (\d+) tests failed out of (\d+)", output)[-1]
    return Totals(int(total) - int(failed), int(failed), 0)


# The projects ---------------------------------------------------------------------------------------------------------

_VENV: Final = "python3 -m venv /tmp/by-hand && by_hand=/tmp/by-hand/bin"
_UV: Final = f"{_VENV} && $by_hand/pip install -q uv && $by_hand/uv sync -q --frozen && .venv/bin/python -m pytest -q"
_NPM: Final = "npm install && npm test"

# Applied to the sources before both sides get them: what upstream has outside of them.
_ZOD: Final = r"""
sed -i -E 's/"test": "[^"]*"/"test": "vitest run"/' package.json
npm pkg set devDependencies.vitest=4.1.12 devDependencies.esbuild=0.28.2 devDependencies.ts-morph=28.0.0 \
    devDependencies.recheck=4.5.0 devDependencies.@seriousme/openapi-schema-validator=2.11.0 \
    devDependencies.@standard-schema/spec=1.1.0 devDependencies.@web-std/file=3.0.3
echo 'const resolve = { conditions: ["@zod/source"] };
export default { resolve, ssr: { resolve } };' > vitest.config.mjs
"""
_COBRA: Final = r"""
apt-get update -qq && apt-get install -qq --no-install-recommends golang-github-cpuguy83-go-md2man-v2-dev \
    golang-github-spf13-pflag-dev golang-gopkg-yaml.v3-dev golang-github-russross-blackfriday-v2-dev > /dev/null
mkdir -p vendor
(cd /usr/share/gocode/src && tar ch github.com/cpuguy83/go-md2man github.com/russross/blackfriday \
    github.com/spf13/pflag gopkg.in/yaml.v3) | tar x -C vendor
cat > vendor/modules.txt <<'END'
# github.com/cpuguy83/go-md2man/v2 v2.0.4
## explicit; go 1.11
github.com/cpuguy83/go-md2man/v2/md2man
# github.com/inconshreveable/mousetrap v1.1.0
## explicit; go 1.18
# github.com/russross/blackfriday/v2 v2.1.0
## go 1.11
github.com/russross/blackfriday/v2
# github.com/spf13/pflag v1.0.5
## explicit; go 1.12
github.com/spf13/pflag
# gopkg.in/yaml.v3 v3.0.1
## explicit
gopkg.in/yaml.v3
END
"""
_FMT: Final = r"""
mkdir -p test/gtest
cat > test/gtest/CMakeLists.txt <<'END'
find_package(GTest REQUIRED)
add_library(gtest INTERFACE)
target_link_libraries(gtest INTERFACE GTest::gtest GTest::gmock pthread)
END
"""
_RIPGREP: Final = r"""
apt-get update -qq && apt-get install -qq --no-install-recommends librust-globset-dev=0.4.15-1 \
    librust-ignore-dev=0.4.23-1 librust-grep-matcher-dev librust-grep-regex-dev=0.1.13-1 \
    librust-grep-searcher-dev=0.1.14-1 librust-glob-dev librust-crossbeam-channel-dev librust-regex-dev > /dev/null
mkdir -p vendor crates .cargo
cp -r /usr/share/cargo/registry/. vendor/
for crate in globset ignore grep-matcher grep-regex grep-searcher; do
    cp -r vendor/$crate-* crates/$crate && rm -f crates/$crate/.cargo-checksum.json
done
printf '[source.crates-io]\nreplace-with = "vendored"\n[source.vendored]\ndirectory = "vendor"\n' > .cargo/config.toml
printf '[workspace]\nresolver = "2"\nmembers = ["crates/*"]\n' > Cargo.toml
"""


@dataclass(frozen=True)
class RealProject:
    """A project with its tests.

    Args:
        archive: its sources; None: `prepare` gets them.
        by_hand: a shell command that installs what the tests need and runs them, as its authors say.
        totals: reads what `by_hand` printed.
        prepare: a shell command that completes the sources, as root in the project's image.
        arguments: of the tests, on both sides.
    """

    archive: Archive | None
    by_hand: str
    totals: Callable[[str], Totals]
    prepare: str = ""
    arguments: tuple[str, ...] = ()


PROJECTS: Final = {
    "requests": RealProject(
        sdist("requests", "2.32.5", "dbba0bac56e100853db0ea71b82b4dfd5fe2bf6d3754a8893c3af500cec7d7cf"),
        f"{_VENV} && $by_hand/pip install -q -e . -r requirements-dev.txt && $by_hand/python -m pytest -q"
        " --deselect tests/test_requests.py::TestTimeout",
        pytest_totals,
        # Its outcome depends on how a network drops what goes to a private address.
        arguments=("--deselect", "tests/test_requests.py::TestTimeout"),
    ),
    "flask": RealProject(
        sdist("flask", "3.1.2", "bf656c15c80190ed628ad08cdfd3aaa35beb087855e2f494910aa3774cc4fd87"), _UV, pytest_totals
    ),
    "attrs": RealProject(
        sdist("attrs", "25.4.0", "16d5969b87f0859ef33a48b35d55ac1be6e42ae49d5e853b597db70c35c57e11"), _UV, pytest_totals
    ),
    "zod": RealProject(
        npm("zod", "4.6.7", "84efd155bed93270286e793fc951be270b536cbd5b0eeb111f0fa3967201d698"),
        _NPM,
        node_totals,
        _ZOD,
    ),
    "commander": RealProject(
        debian(
            "node-commander",
            "9.4.1-1",
            "node-commander_9.4.1.orig.tar.gz",
            "591ba7850546f51a710a776f9271f1401a08b0e2b831cbbc8354415273a9da12",
        ),
        "npm ci && npm test",
        node_totals,
    ),
    "connect": RealProject(
        debian(
            "node-connect",
            "3.7.0+~3.4.35-1",
            "node-connect_3.7.0+~3.4.35.orig.tar.gz",
            "5cba1b899d8d95fc82e45d7c7abee013a38f560edbb8729b0861148a77bfedfa",
        ),
        _NPM,
        node_totals,
    ),
    "cobra": RealProject(
        debian(
            "golang-github-spf13-cobra",
            "1.8.1-1",
            "golang-github-spf13-cobra_1.8.1.orig.tar.gz",
            "5d45f6fcce63f9f4dd12b34a15669335a35ca3f7bf297ba465c3fbf62308e5fe",
        ),
        "go test -v ./...",
        go_totals,
        _COBRA,
    ),
    "fmt": RealProject(
        debian(
            "fmtlib",
            "10.1.1+ds1-4",
            "fmtlib_10.1.1+ds1.orig.tar.gz",
            "7000f214d2628f04174822f8048c573f1608194408d7931121595a03f1c18a17",
        ),
        "cmake -S . -B /tmp/by-hand && cmake --build /tmp/by-hand && ctest --test-dir /tmp/by-hand",
        ctest_totals,
        _FMT,
    ),
    "ripgrep": RealProject(None, "cargo test --no-fail-fast", cargo_totals, _RIPGREP),
}
