#!/usr/bin/python
"""Ansible module that runs inside a spoke and tries to get out of it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: codebuddy_probe
short_description: Attack a spoke's isolation from inside
description:
  - Runs in the spoke, as the user that everything there runs as, and tries what a hostile dependency would try.
  - Fails with one sentence for each thing that worked. Leaves nothing behind.
options:
  foreign_addresses:
    description: IPv4 addresses that must not be reachable - other spokes, gateways, the host, the hub elsewhere.
    type: list
    elements: str
    default: []
  foreign_paths:
    description: Paths that must not exist - the directories of other projects, as the host and as the hub names them.
    type: list
    elements: path
    default: []
  ports:
    description: Ports to try on each address.
    type: list
    elements: int
    default: [22, 53, 80, 443, 2375, 2376, 3000, 8080]
  timeout:
    description: Seconds in which a connection counts as refused when it has not been made.
    type: float
    default: 0.5
author: CodeBuddy
"""

EXAMPLES = r"""
- name: Attack the isolation from inside
  codebuddy_probe:
    foreign_addresses: [10.213.0.2]
    foreign_paths: [/workspaces/project-b]
"""

RETURN = r"""
attempts:
  description: How many things were tried.
  returned: always
  type: int
"""

import contextlib
import errno
import os
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

# Addresses of the world outside: two public resolvers, and where clouds keep a machine's credentials.
OUTSIDE = ("1.1.1.1", "8.8.8.8", "169.254.169.254")
ENGINE_SOCKETS = (
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/podman/podman.sock",
    "/run/crio/crio.sock",
)
SECRETS = ("/run/secrets/codebuddy", "/run/secrets/project")  # of the link, and of a project that has some
READ_ONLY = ("/", "/etc", "/usr/local/bin", "/opt/codebuddy", "/etc/codebuddy", *SECRETS)
NO_CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")

Breaches = Iterator[str | None]
"""For each attempt, one sentence when it worked, None when it did not."""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "foreign_addresses": {"type": "list", "elements": "str", "default": []},
            "foreign_paths": {"type": "list", "elements": "path", "default": []},
            "ports": {"type": "list", "elements": "int", "default": [22, 53, 80, 443, 2375, 2376, 3000, 8080]},
            "timeout": {"type": "float", "default": 0.5},
        },
        supports_check_mode=True,
    )
    results = list(attempts(module.params))
    breaches = [result for result in results if result]
    if breaches:
        module.fail_json(msg="\n".join(["The spoke is not sealed:", *breaches]), attempts=len(results))
    module.exit_json(changed=False, attempts=len(results))


def attempts(parameters: dict[str, Any]) -> Breaches:
    """Try everything."""
    yield from privileges(Path("/proc/self/status").read_text())
    yield from writes()
    yield from forbidden_files([*ENGINE_SOCKETS, *parameters["foreign_paths"]])
    yield from raw_sockets()
    addresses = sorted({*OUTSIDE, *parameters["foreign_addresses"]})
    targets = [(address, port) for address in addresses for port in parameters["ports"]]
    yield from connections(targets, parameters["timeout"])
    yield from names()


def privileges(status: str) -> Breaches:
    """Look for rights that the process holds or could gain; ``status`` is /proc/self/status."""
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    yield "it runs as root" if os.geteuid() == 0 else None
    for name in NO_CAPABILITIES:
        yield f"it holds capabilities: {name} is {fields[name]}" if int(fields[name], 16) else None
    yield "it can gain privileges: no-new-privileges is off" if fields["NoNewPrivs"] != "1" else None
    yield "no seccomp filter guards the kernel" if fields["Seccomp"] != "2" else None


def writes() -> Breaches:
    """Try to leave a file where nothing may change."""
    for directory in READ_ONLY:
        probe = Path(directory, f".probe-{os.getpid()}")
        try:
            probe.touch()
        except OSError:
            yield None
        else:
            probe.unlink()
            yield f"{directory} can be written to"


def forbidden_files(paths: list[str]) -> Breaches:
    """Look for files that belong to others."""
    for path in paths:
        yield f"{path} is there" if os.path.lexists(path) else None


def raw_sockets() -> Breaches:
    """Try to speak below TCP, as is needed to forge addresses or to listen to others."""
    kinds: list[tuple[str, Callable[[], socket.socket]]] = [
        ("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)),
        ("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)),
    ]
    for name, make in kinds:
        try:
            make().close()
        except OSError:
            yield None
        else:
            yield f"it can open {name} sockets"


def connections(targets: list[tuple[str, int]], timeout: float) -> Breaches:
    """Try to connect to all targets at once; a refusal counts too, for something there answered."""
    with contextlib.ExitStack() as opened, selectors.DefaultSelector() as selector:
        for target in targets:
            connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            connection.setblocking(False)
            code = connection.connect_ex(target)
            if code == errno.EINPROGRESS:
                opened.enter_context(connection)
                selector.register(connection, selectors.EVENT_WRITE, target)
            else:
                connection.close()
                yield outcome(target, code)
        yield from late_answers(selector, time.monotonic() + timeout)


def late_answers(selector: selectors.BaseSelector, deadline: float) -> Breaches:
    """Wait for what becomes of connections that were begun; one that stays silent was not reached."""
    while selector.get_map() and (remaining := deadline - time.monotonic()) > 0:
        for key, _ in selector.select(remaining):
            selector.unregister(key.fileobj)
            assert isinstance(key.fileobj, socket.socket)
            yield outcome(key.data, key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    yield from (None for _ in selector.get_map())


def outcome(target: tuple[str, int], code: int) -> str | None:
    """Say what the error number of a connection attempt means."""
    words = {0: "can be reached", errno.ECONNREFUSED: "answers, if only to refuse"}.get(code)
    return f"{target[0]}:{target[1]} {words}" if words else None


def names() -> Breaches:
    """Look up a name: it must fail, and at once, or every tool that looks names up stalls for seconds."""
    started = time.monotonic()
    try:
        socket.getaddrinfo("example.com", 443)
    except OSError:
        seconds = time.monotonic() - started
        yield f"a failing name look-up takes {seconds:.1f} s; it should fail at once" if seconds > 1 else None
    else:
        yield "names of the world outside can be looked up"


if __name__ == "__main__":
    main()
