"""The security settings that all containers share: hub, spokes and proxies."""

from __future__ import annotations

from typing import Any

from .declaration import Fleet, Limits

SCRATCH = "/tmp"  # noqa: S108  a tmpfs of the container, not the host's
NO_ADDRESS = "192.0.2.1"  # reserved for documentation (RFC 5737), so nobody has it
_PROGRAM = "/usr/local/bin/codebuddy"


def health_check(command: list[str]) -> dict[str, Any]:
    """Return the health check that runs a command; times are in seconds."""
    return {"command": command, "interval": 15, "timeout": 10, "start_period": 30, "retries": 3}


def hardened(fleet: Fleet, limits: Limits, *, scratch: str) -> dict[str, Any]:
    """Return the settings, with the size of ``/tmp``, which counts as memory.

    ``/tmp`` may hold programs: compilers and test runners start what they build there.
    The limits of open files stay below what a plainly started engine may set itself.
    """
    owner = f"uid={fleet.uid},gid={fleet.gid}"
    return {
        "entrypoint": [_PROGRAM],
        "user": f"{fleet.uid}:{fleet.gid}",
        "tmpfs": {
            "/run": f"rw,noexec,nosuid,nodev,size=16m,mode=0755,{owner}",
            SCRATCH: f"rw,exec,nosuid,nodev,size={scratch},mode=1777",
        },
        "memory": limits.memory,
        "memory_swap": limits.memory,
        "cpus": limits.cpus,
        "pids": limits.pids,
        "shm_size": limits.shm_size,
        "ulimits": {"core": [0, 0], "nofile": [16384, 16384]},
        "cap_drop": ["ALL"],
        "security_options": ["no-new-privileges:true"],
        "read_only": True,
        "init": True,
        "ipc": "private",
        "cgroup_namespace": "private",
        "sysctls": {"net.ipv6.conf.all.disable_ipv6": "1"},
        "restart": "unless-stopped",
        # The engine's own resolver answers in every container, whatever resolv.conf says, and would ask the host's name
        # server (CVE-2024-29018). The engine asks this address from inside the container instead.
        "dns": [NO_ADDRESS],
        "log_driver": "json-file",
        "log_options": {"max-file": "3", "max-size": "10m"},
        "health_check": health_check([_PROGRAM, "health"]),
        "stop_signal": "SIGTERM",
        "stop_timeout": 15,
    }
