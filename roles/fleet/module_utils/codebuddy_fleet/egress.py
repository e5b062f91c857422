"""What a project may reach outside: the declared hosts, and the environment that points programs to the proxy.

A spoke's own network stays sealed. Its proxy is on that network and on one with a way out. The proxy speaks only HTTP,
looks names up itself, and serves only its spoke.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Final

#: ``none``, ``any``, or host names in lower case; ``*.`` stands for every name below one.
Egress = str | tuple[str, ...]

NONE: Final = "none"
ANY: Final = "any"
PROXY_NAME: Final = "egress"  # the proxy's host name in its spoke
PROXY_PORT: Final = 3128
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_SINGLE_LABEL = re.compile(_LABEL)
_NAME = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})+")
_LONGEST_NAME = 253


def read_egress(value: Any) -> Egress:
    """Parse a declared egress, as the functions of :mod:`parsers` do."""
    if value in (NONE, ANY):
        return str(value)
    if value == []:
        return NONE
    if not isinstance(value, (list, tuple)):
        raise ValueError("must be none, any, or a list of host names, like [registry.example.org]")
    if problems := [problem for name in value if (problem := _host_problem(name))]:
        raise ValueError(*problems)
    return tuple(sorted({name.lower() for name in value}))


def _host_problem(value: Any) -> str | None:
    name = value.lower() if isinstance(value, str) else ""
    subject = f"has {value!r}, which"
    if name == "*":
        return f"{subject} is every host: write egress: any"
    if _is_address(name):
        return f"{subject} is an address: declare the host's name, and its network in codebuddy_egress_networks"
    if name.startswith("*.") and _SINGLE_LABEL.fullmatch(name[2:]):
        return f"{subject} is a whole top-level domain: name the hosts, or one level more, like *.example.org"
    if _SINGLE_LABEL.fullmatch(name):
        return f"{subject} has no dot: give the full name, like registry.example.org"
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        return (
            f"{subject} is not a host name: write it without scheme, port and path, like registry.example.org (or "
            "*.example.org for every name below)"
        )
    return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_network(name.strip("[]"), strict=False)
    except ValueError:
        return name.rpartition(".")[2].isdecimal()  # many programs accept 127.1 as an address too
    return True


def read_networks(value: Any) -> tuple[str, ...]:
    """Parse the networks that may be reached although they are not public."""
    if not isinstance(value, (list, tuple)):
        raise ValueError("must be a list of networks, like [10.20.0.0/16]")
    try:
        return tuple(sorted({str(ipaddress.IPv4Network(one)) for one in value if _is_text(one)}))
    except ValueError as error:
        raise ValueError(f"has an item that is not a network ({error}): write it like 10.20.0.0/16") from None


def _is_text(value: Any) -> bool:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not in quotes")
    return True


def proxy_id(project_id: str) -> str:
    """Return the id of a project's proxy, with its network and directory; no project can have such an id."""
    return f"{project_id}.{PROXY_NAME}"


def proxy_environment(egress: Egress) -> dict[str, str]:
    """Return the variables that point programs to the proxy; none without an egress."""
    if egress == NONE:
        return {}
    address, local = f"http://{PROXY_NAME}:{PROXY_PORT}", "localhost,127.0.0.1,::1"
    # In both spellings: curl reads http_proxy only in lower case, other programs only in upper case.
    names = {"HTTP_PROXY": address, "HTTPS_PROXY": address, "NO_PROXY": local}
    # Node.js 24 and later reads them only with this variable.
    return names | {name.lower(): value for name, value in names.items()} | {"NODE_USE_ENV_PROXY": "1"}
