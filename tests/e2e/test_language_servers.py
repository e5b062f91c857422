"""Runs the tests of the language-server client with the real servers, which are in the spokes."""

from __future__ import annotations

import importlib.util
import io
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from codebuddy_testing.deployment import ROOT, SPOKE_PYTHON, Deployment

SUITE = ROOT / "hub/tests/agent/servers"
# Pytest is pure Python: the spokes, which have no test runner, run the host's copy.
RUNNER = ("pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "pygments")
# The suite imports these.
SUPPORT = ("codebuddy_testing/__init__.py", "codebuddy_testing/branch_files.py")
PLACE = "/tmp/suite"
PROFILES = {"project-a": "typescript", "project-b": "python", "project-c": "rust"}


@pytest.fixture(scope="module")
def suite() -> bytes:
    """A tar archive of the tests and the test runner."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in RUNNER:
            spec = importlib.util.find_spec(name)
            assert spec is not None
            assert spec.origin is not None
            source = Path(spec.origin)
            archive.add(source.parent if source.name == "__init__.py" else source, _named(name, source))
        archive.add(SUITE, "tests")
        for name in SUPPORT:
            archive.add(ROOT / "tests/support" / name, f"runner/{name}")
    return buffer.getvalue()


def _named(name: str, source: Path) -> str:
    return f"runner/{name}" if source.name == "__init__.py" else f"runner/{source.name}"


@pytest.fixture(params=PROFILES)
def project(request: pytest.FixtureRequest, fleet: Deployment, suite: bytes) -> Iterator[str]:
    """A spoke that has the suite in its /tmp."""
    container = f"{fleet.name}-{request.param}"
    unpack = ["docker", "exec", "-i", container, "sh", "-c", f"mkdir -p {PLACE} && tar -x -C {PLACE}"]
    subprocess.run(unpack, input=suite, check=True)
    yield request.param
    fleet.run(request.param, "rm", "-rf", PLACE)


def test_the_language_server_tests_pass_with_the_real_server(fleet: Deployment, project: str) -> None:
    done = fleet.run(
        project,
        "env",
        f"PYTHONPATH={PLACE}/runner",
        f"CODEBUDDY_SERVER_PROFILE={PROFILES[project]}",
        *(SPOKE_PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", PLACE, f"{PLACE}/tests"),
    )
    print(done.output)
    assert done.code == 0, done.output
