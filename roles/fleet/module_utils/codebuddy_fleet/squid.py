"""The configuration of a proxy, which is Squid: what it lets through of what a project declares. Pure text."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from .egress import ANY, PROXY_NAME, PROXY_PORT, Egress

__all__ = ["proxy_config"]

# What is not public (IANA's special-purpose registry): the host, its neighbours, metadata services, other containers.
# None of IPv6, which is switched off in all containers.
_RESERVED = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    "224.0.0.0/4", "240.0.0.0/4",
)  # fmt: skip
# Keeps nothing, starts no helper, tells its client no address, and logs to the container's log without queries.
_QUIET = (
    "pid_filename none",
    "cache deny all",
    "cache_mem 0",
    "memory_pools off",
    "netdb_filename none",
    "pinger_enable off",
    "hosts_file none",
    "forwarded_for delete",
    "max_filedescriptors 4096",
    "shutdown_lifetime 1 seconds",
    "coredump_dir /tmp",
    "cache_log /dev/stderr",
    "error_directory /usr/share/codebuddy/errors",
)
_NO_ADDRESS = "192.0.2.1"
# What is said where a rule refuses that ends with this list; the pages are in the image.
_PAGES = {"web": "ERR_OTHER_PORT", "tls": "ERR_OTHER_PORT", "reserved": "ERR_NOT_PUBLIC"}


def proxy_config(egress: Egress, *, listen: str, client: str, exempt: Sequence[str]) -> str:
    """Write the proxy's configuration (``squid.conf``).

    Args:
        egress: ``any`` or host names.
        listen: the proxy's address on the project's network.
        client: the address of the spoke, which alone is served.
        exempt: networks that may be reached although they are not public.

    A name that is not declared is refused before it is looked up, so that no name server hears of it.
    """
    lines = [
        f"http_port {listen}:{PROXY_PORT}",
        f"visible_hostname {PROXY_NAME}",
        *_QUIET,
        "",
        f"acl spoke src {client}",
        "acl tunnel method CONNECT",
        "acl http proto HTTP",
        "acl web port 80 443",
        "acl tls port 443",
        "acl version_6 dstdom_regex -n :",
        *(f"acl reserved dst {network}" for network in _reserved(exempt)),
        *_declared(egress),
        *(f"deny_info {page} {name}" for name, page in _PAGES.items()),
        "",
        "acl request has request",  # the health check connects, and asks nothing
        "access_log stdio:/dev/stdout request",
        "http_access deny !spoke",
        "http_access deny !web",
        "http_access deny tunnel !tls",
        "http_access deny !tunnel !http",
        *([] if egress == ANY else ["http_access deny !declared"]),
        "http_access deny version_6",
        "http_access deny reserved",
        "http_access allow all",
        # Looked at once more for the address that is connected to: a name may lead elsewhere by then. Nobody has this
        # address (RFC 5737), so nothing can go out from it.
        f"tcp_outgoing_address {_NO_ADDRESS} reserved",
    ]
    return "\n".join(lines) + "\n"


def _reserved(exempt: Sequence[str]) -> list[str]:
    """Take the exempt networks out, not beside: a name with an exempt and another address must not pass."""
    left = [ipaddress.IPv4Network(one) for one in _RESERVED]
    for network in map(ipaddress.IPv4Network, exempt):
        left = [part for one in left for part in _without(one, network)]
    return [str(one) for one in left]


def _without(one: ipaddress.IPv4Network, network: ipaddress.IPv4Network) -> list[ipaddress.IPv4Network]:
    if not one.overlaps(network):
        return [one]
    return [] if one.subnet_of(network) else sorted(one.address_exclude(network))


def _escaped(name: str) -> str:
    return name.replace(".", r"\.")


def _declared(egress: Egress) -> list[str]:
    """Tell names; -n: an address in place of a name is not looked up in reverse, where its owner could say any name."""
    names = [] if isinstance(egress, str) else egress
    exact = [name for name in names if not name.startswith("*.")]
    below = [name.removeprefix("*") for name in names if name.startswith("*.")]
    kinds = (["exact"] if exact else []) + (["below"] if below else [])
    return [
        *(f"acl exact dstdomain -n {name}" for name in exact),
        *(f"acl below dstdom_regex -n -i {_escaped(name)}$" for name in below),
        *([f"acl declared any-of {' '.join(kinds)}"] if kinds else []),
        # Of a list of lists, the last that was looked at counts.
        *(f"deny_info ERR_NOT_DECLARED {kind}" for kind in kinds),
    ]
