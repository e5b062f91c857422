"""The commands `health` and `start`, which run often and must start as fast as Python itself."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import codebuddy
from codebuddy.cli import main

SOURCE = {"PYTHONPATH": str(Path(codebuddy.__file__).parents[1])}

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
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, command], capture_output=True, text=True, env=SOURCE, check=False
    )
    loaded = {name.partition(".")[0] for name in run.stderr.splitlines()[-1].split()}
    assert run.returncode == 1
    assert "the hub does not answer" in run.stdout + run.stderr
    assert loaded - sys.stdlib_module_names == {"codebuddy"}


@pytest.mark.parametrize(("tools", "socket_name"), [("all", "hub.sock"), ("lean", "hub-lean.sock")])
def test_start_connects_to_the_socket_of_the_tools_that_are_asked_for(
    tools: str, socket_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    monkeypatch.setattr("codebuddy.bridge.bridge_stdio", lambda path: asked.append(path) or 0)
    assert main(["start", "--tools", tools]) == 0
    assert [path.name for path in asked] == [socket_name]


def test_start_connects_standard_input_and_output_to_the_hub(tmp_path: Path) -> None:
    """Input may be a file; what the hub still answers after its end is printed."""
    path = str(tmp_path / "hub.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def answer_at_the_end_of_input() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as received:
            connection.sendall(received.read() * 2)

    hub = threading.Thread(target=answer_at_the_end_of_input)
    hub.start()
    asked = b"x" * 300_000 + b"\n"
    (tmp_path / "input").write_bytes(asked)
    program = (
        f"from codebuddy.bridge import bridge_stdio; raise SystemExit(bridge_stdio({str(tmp_path / 'hub.sock')!r}))"
    )
    with (tmp_path / "input").open("rb") as file:
        run = subprocess.run(
            [sys.executable, "-c", program], stdin=file, capture_output=True, env=SOURCE, timeout=30, check=False
        )
    hub.join()
    listener.close()
    assert (run.returncode, run.stderr) == (0, b"")
    assert run.stdout == asked * 2


@pytest.mark.parametrize(("closed", "status"), [(0, 0), (1, 1)])
def test_start_with_a_closed_standard_stream_sends_the_hub_nothing(tmp_path: Path, closed: int, status: int) -> None:
    """A socket would take the number of the closed stream, and the hub would get its own answers."""
    path = str(tmp_path / "hub.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.setblocking(False)
        program = (
            f"import os; os.close({closed}); from codebuddy.bridge import bridge_stdio; "
            f"raise SystemExit(bridge_stdio({path!r}))"
        )
        run = subprocess.run(
            [sys.executable, "-c", program],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=SOURCE,
            timeout=30,
            check=False,
        )
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert run.returncode == status
