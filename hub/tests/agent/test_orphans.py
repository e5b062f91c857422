"""A run that kills its supervisor and the fork server is ended by the agent; the agent and other runs go on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import codebuddy

# Leaves session, parent and environment behind, then kills the supervisor and the fork server.
ESCAPES = """
import os, signal, sys, time
parent_of = lambda pid: int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
supervisor = os.getppid()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(1, b"%d\\n" % os.getpid())
        os.execve(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)"], {})
    os._exit(0)
os.wait()
time.sleep(0.2)
fork_server = parent_of(supervisor)
os.kill(fork_server, signal.SIGKILL)
os.kill(supervisor, signal.SIGKILL)
time.sleep(600)
"""
# Stands for an agent: it becomes a subreaper, which pytest should not.
AGENT = """
import asyncio, json, os, sys
from pathlib import Path
from codebuddy.agent.runs.process import ForkServer, Program, run_process
from codebuddy.process_tree import MarkedProcesses, is_living, stat_of, zombies
from codebuddy.agent import app

app._SWEEP_SECONDS = 0.05
living = lambda pid: is_living(stat_of(pid))

async def main():
    fork_server, output = ForkServer(), {"escapes": b"", "other": b""}
    sweeping = asyncio.create_task(app.OrphanReaper(fork_server).run())
    await asyncio.sleep(0)
    server = await asyncio.create_subprocess_exec("sleep", "600")
    processes = MarkedProcesses()
    processes.add_root(server.pid)

    async def run(name, *argv):
        async def take(_stream, data):
            output[name] += data
        program = Program(argv, Path("/"), dict(os.environ))
        return await run_process(fork_server, program, timeout_seconds=20, on_output=take)

    other = asyncio.create_task(run("other", "sh", "-c", "echo $$; sleep 2; echo done"))
    while not output["other"]:
        await asyncio.sleep(0.01)
    ended = await run("escapes", sys.executable, "-c", sys.argv[1])
    stray = int(output["escapes"])
    for _ in range(400):
        if not living(stray):
            break
        await asyncio.sleep(0.01)
    found = {"signal": ended.signal, "stray lives": living(stray), "server lives": living(server.pid)}
    found["other"] = (await other).exit_code
    found["again"] = (await run("escapes", "true")).exit_code
    await asyncio.sleep(0.5)
    found["zombies"] = len(zombies())
    server.kill()
    found["server"] = await server.wait()
    fork_server.close()
    print(json.dumps(found))

asyncio.run(main())
"""


def test_the_agent_ends_what_a_run_left_that_killed_its_supervisor_and_the_fork_server() -> None:
    source = {"PYTHONPATH": str(Path(codebuddy.__file__).parents[1]), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", AGENT, ESCAPES], env=source, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "signal": "SIGKILL",
        "stray lives": False,
        "server lives": True,
        "other": 0,
        "again": 0,
        "zombies": 0,
        "server": -9,
    }
