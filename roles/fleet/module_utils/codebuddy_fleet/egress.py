"""What a project may reach outside: how it is declared, and what its programs are told.

A spoke's own network stays sealed. What it may reach, it reaches through a proxy that stands on that network and on one
of its own with a way out: it speaks HTTP and nothing else, looks names up itself, and knows its spoke alone.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Final

__all__ = [
    "ANY",
    "NONE",
    "PROXY_NAME",
    "PROXY_PORT",
    "Egress",
    "proxy_environment",
    "proxy_id",
    "read_egress",
    "read_networks",
]

#: ``none``, ``any``, or the host names: in lower case, ``*.`` for every name below one.
Egress = str | tuple[str, ...]

NONE: Final = "none"
ANY: Final = "any"
PROXY_NAME: Final = "egress"  # of the proxy, in its spoke
PROXY_PORT: Final = 3128
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_LABEL_ALONE = re.compile(_LABEL)
_NAME = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})+")
_LONGEST_NAME = 253


def read_egress(value: Any) -> Egress:
    """Read a declared egress; as the functions of :mod:`values`, it raises ValueError with the end of a sentence."""
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
    says = f"has {value!r}, which"
    if name == "*":
        return f"{says} is every host: write egress: any"
    if _is_address(name):
        return f"{says} is an address: declare the host's name, and its network in codebuddy_egress_networks"
    if name.startswith("*.") and _LABEL_ALONE.fullmatch(name[2:]):
        return f"{says} is a whole top-level domain: name the hosts, or one level more, like *.example.org"
    if _LABEL_ALONE.fullmatch(name):
        return f"{says} has no dot: give the full name, like registry.example.org"
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        return (
            f"{says} is not a host name: write it without scheme, port and path, like registry.example.org (or "
            "*.example.org for every name below)"
        )
    return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_network(name.strip("[]"), strict=False)
    except ValueError:
        return name.rpartition(".")[2].isdecimal()  # 127.1 is one too, for programs that are generous
    return True


def read_networks(value: Any) -> tuple[str, ...]:
    """Read the networks that may be reached although they are not public."""
    if not isinstance(value, (list, tuple)):
        raise ValueError("must be a list of networks, like [10.20.0.0/16]")
    try:
        return tuple(sorted({str(ipaddress.IPv4Network(one)) for one in value if _is_text(one)}))
    except ValueError as error:
        raise ValueError(f"has what is not a network ({error}): write it like 10.20.0.0/16") from None


def _is_text(value: Any) -> bool:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not in quotes")
    return True


def proxy_id(project_id: str) -> str:
    """Give what names a project's proxy, its network and its directory: no project can have this id."""
    return f"{project_id}.{PROXY_NAME}"


def proxy_environment(egress: Egress) -> dict[str, str]:
    """Give what tells programs of the proxy; nothing where there is none."""
    if egress == NONE:
        return {}
    address, local = f"http://{PROXY_NAME}:{PROXY_PORT}", "localhost,127.0.0.1,::1"
    # In both spellings: curl reads HTTP_PROXY in lower case only, others in upper case only.
    names = {"HTTP_PROXY": address, "HTTPS_PROXY": address, "NO_PROXY": local}
    # Node.js reads them when it is told to (its version 24 and later).
    return names | {name.lower(): value for name, value in names.items()} | {"NODE_USE_ENV_PROXY": "1"}
