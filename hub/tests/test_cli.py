"""What the commands of the program load: `health` and `start` run often and must start as fast as Python itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import codebuddy

PROGRAM = """
import sys
before = set(sys.modules)  # what the interpreter's own start loads, such as a virtual environment's hooks
from codebuddy.cli import main
status = main([sys.argv[1]])
print(*(set(sys.modules) - before), file=sys.stderr)
sys.exit(status)
"""


@pytest.mark.parametrize("command", ["health", "start"])
def test_health_and_start_load_the_standard_library_only(command: str) -> None:
    """Neither finds a hub here; each has loaded all that it needs when it says so."""
    source = {"PYTHONPATH": str(Path(codebuddy.__file__).parents[1])}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, command], capture_output=True, text=True, env=source, check=False
    )
    loaded = {name.partition(".")[0] for name in run.stderr.splitlines()[-1].split()}
    assert run.returncode == 1
    assert "the hub does not answer" in run.stdout + run.stderr
    assert loaded - sys.stdlib_module_names == {"codebuddy"}
