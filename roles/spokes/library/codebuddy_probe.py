#!/usr/bin/python
"""Ansible module that runs inside a spoke and tries to break out of it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: codebuddy_probe
short_description: Attack a spoke's isolation from inside
description:
  - Runs in the spoke, as the user of all processes there, and tries what a hostile dependency would try.
  - Fails with one sentence for each successful attempt. Leaves nothing behind.
options:
  foreign_addresses:
    description: IPv4 addresses that must not be reachable - of other spokes, gateways, the host, the hub elsewhere.
    type: list
    elements: str
    default: []
  foreign_paths:
    description: Paths that must not exist - the directories of other projects, on the host and in the hub.
    type: list
    elements: path
    default: []
  ports:
    description: The ports to try on each address.
    type: list
    elements: int
    default: [22, 53, 80, 443, 2375, 2376, 3000, 8080]
  timeout:
    description: Seconds after which a connection that was not established counts as blocked.
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
  description: The number of attempts.
  returned: success
  type: int
msg:
  description: The sentences, each in quotes and one line, because programs of the spoke may have forged them.
  returned: failure
  type: str
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

# Addresses outside: two public resolvers, and the metadata service of clouds, which has a machine's credentials.
OUTSIDE = ("1.1.1.1", "8.8.8.8", "169.254.169.254")
ENGINE_SOCKETS = (
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/podman/podman.sock",
    "/run/crio/crio.sock",
)
SECRETS = ("/run/secrets/codebuddy", "/run/secrets/project")  # the token, and a project's secrets
READ_ONLY = ("/", "/etc", "/usr/local/bin", "/opt/codebuddy", "/etc/codebuddy", *SECRETS)
NO_CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")

Breaches = Iterator[str | None]
"""For each attempt, a sentence if it succeeded, else None."""


def main() -> None:
    """Run the module."""
    # Written out, because the spoke's Python has no YAML to read the documentation with.
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
        module.fail_json(msg="The spoke is not sealed.", breaches=breaches, attempts=len(results))
    module.exit_json(changed=False, attempts=len(results))


def attempts(parameters: dict[str, Any]) -> Breaches:
    """Make all attempts."""
    yield from privileges(Path("/proc/self/status").read_text())
    yield from writes()
    yield from forbidden_files([*ENGINE_SOCKETS, *parameters["foreign_paths"]])
    yield from raw_sockets()
    addresses = sorted({*OUTSIDE, *parameters["foreign_addresses"]})
    targets = [(address, port) for address in addresses for port in parameters["ports"]]
    yield from connections(targets, parameters["timeout"])
    yield from names()


def privileges(status: str) -> Breaches:
    """Look for privileges that the process has or could gain; ``status`` is the content of /proc/self/status."""
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    yield "it runs as root" if os.geteuid() == 0 else None
    for name in NO_CAPABILITIES:
        yield f"it holds capabilities: {name} is {fields[name]}" if int(fields[name], 16) else None
    yield "it can gain privileges: no-new-privileges is off" if fields["NoNewPrivs"] != "1" else None
    yield "no seccomp filter guards the kernel" if fields["Seccomp"] != "2" else None


def writes() -> Breaches:
    """Try to create a file in each read-only directory."""
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
    """Look for files that must not exist in the spoke."""
    for path in paths:
        yield f"{path} is there" if os.path.lexists(path) else None


def raw_sockets() -> Breaches:
    """Try to open sockets below TCP, with which addresses can be forged and others be overheard."""
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
    """Try to connect to all targets at once. A refusal is a breach too, because something answered."""
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
        yield from pending(selector, time.monotonic() + timeout)


def pending(selector: selectors.BaseSelector, deadline: float) -> Breaches:
    """Wait for connections in progress; one without any answer did not reach its target."""
    while selector.get_map() and (remaining := deadline - time.monotonic()) > 0:
        for key, _ in selector.select(remaining):
            selector.unregister(key.fileobj)
            assert isinstance(key.fileobj, socket.socket)
            yield outcome(key.data, key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    yield from (None for _ in selector.get_map())


def outcome(target: tuple[str, int], code: int) -> str | None:
    """Return what the error number of a connection attempt means."""
    words = {0: "can be reached", errno.ECONNREFUSED: "answers, if only to refuse"}.get(code)
    return f"{target[0]}:{target[1]} {words}" if words else None


def names() -> Breaches:
    """Look a name up. It must fail at once, or every tool that looks names up stalls for seconds."""
    started = time.monotonic()
    try:
        socket.getaddrinfo("example.com", 443)
    except OSError:
        seconds = time.monotonic() - started
        yield f"a failing name lookup takes {seconds:.1f} s; it should fail at once" if seconds > 1 else None
    else:
        yield "names of hosts outside can be looked up"


if __name__ == "__main__":
    main()
