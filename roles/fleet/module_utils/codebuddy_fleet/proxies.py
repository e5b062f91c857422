"""Plans the proxies: each project with an egress has a Squid of its own, on a network of its own that leads out."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from .addresses import Subnet
from .declaration import Fleet, Limits, Project
from .egress import ANY, NONE, PROXY_NAME, PROXY_PORT, Egress, proxy_id
from .hardening import NO_ADDRESS, hardened, health_check
from .naming import CONFIG_MOUNT, add_file, bind, config_dir, hashes, labels, resource_name
from .plan import Container, File, Network

# Squid uses 12 MiB, and shared memory of its own.
_LIMITS = Limits(memory=128 * 2**20, cpus=1.0, pids=64, shm_size=64 * 2**20)

# Networks that are not public (IANA's special-purpose registry): the host, its neighbours, metadata services, other
# containers. No IPv6 network, because IPv6 is disabled in all containers.
_RESERVED = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    "224.0.0.0/4", "240.0.0.0/4",
)  # fmt: skip
# Squid stores nothing, starts no helper, does not reveal its client's address, and logs to the container's log without
# query strings.
_COMMON_DIRECTIVES = (
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
# The error page, from the image, of a refusal by the rule that ends with this list.
_PAGES = {"web": "ERR_OTHER_PORT", "tls": "ERR_OTHER_PORT", "reserved": "ERR_NOT_PUBLIC"}


def proxied(fleet: Fleet) -> list[Project]:
    """Return the projects that have a proxy."""
    return [project for project in fleet.projects if project.egress != NONE]


def proxy_network(fleet: Fleet, project: Project, subnet: Subnet) -> Network:
    """Plan the network through which a proxy gets out; no other container is on it."""
    return Network(
        name=resource_name(fleet, proxy_id(project.id)),
        project=project.id,
        subnet=subnet.cidr,
        gateway=subnet.gateway,
        driver="bridge",
        internal=False,
        ipv6=False,
        options={},
        labels=labels(fleet, project.id),
    )


def add_config(files: dict[str, File], fleet: Fleet, project: Project, inside: Subnet) -> None:
    """Plan the proxy's configuration; ``inside`` is the project's network."""
    content = proxy_config(project.egress, listen=inside.proxy, client=inside.spoke, exempt=fleet.egress_networks)
    add_file(files, fleet, _config_path(fleet, project), content)


def proxy(fleet: Fleet, project: Project, inside: Subnet, outside: Subnet, files: dict[str, File]) -> Container:
    """Plan a proxy, after its configuration. It has no secret, no volume, and nothing of the project."""
    name = resource_name(fleet, proxy_id(project.id))
    # The health check only connects: a request would add a line to the log each time.
    connect = f"exec 3<>/dev/tcp/{inside.proxy}/{PROXY_PORT}"
    settings = hardened(fleet, _LIMITS, scratch="16m") | {
        "entrypoint": ["/usr/sbin/squid"],
        "dns": [],  # the host's own name servers: only the proxy looks names up
        "health_check": health_check(["/bin/bash", "-c", connect]),
    }
    return Container(
        name=name,
        project=project.id,
        image=fleet.proxy_image,
        command=["-N", "-f", f"{CONFIG_MOUNT}/squid.conf"],
        hostname=PROXY_NAME,
        working_dir="/",
        environment={},
        mounts={CONFIG_MOUNT: bind(config_dir(fleet, proxy_id(project.id)), read_only=True)},
        networks={
            name: {"address": outside.proxy, "aliases": []},
            resource_name(fleet, project.id): {"address": inside.proxy, "aliases": []},
        },
        ports={},
        extra_hosts=[],
        labels=labels(fleet, project.id),
        files=hashes(files, _config_path(fleet, project)),
        **settings,
    )


def _config_path(fleet: Fleet, project: Project) -> str:
    return f"{config_dir(fleet, proxy_id(project.id))}/squid.conf"


def proxy_config(egress: Egress, *, listen: str, client: str, exempt: Sequence[str]) -> str:
    """Return the text of ``squid.conf``.

    A name that is not declared is refused before it is looked up, so that no name server learns of it.

    Args:
        egress: ``any`` or host names.
        listen: the proxy's address on the project's network.
        client: the address of the spoke, the only client that is served.
        exempt: networks that may be reached although they are not public.
    """
    lines = [
        f"http_port {listen}:{PROXY_PORT}",
        f"visible_hostname {PROXY_NAME}",
        *_COMMON_DIRECTIVES,
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
        "acl request has request",  # the health check connects without a request
        "access_log stdio:/dev/stdout request",
        "http_access deny !spoke",
        "http_access deny !web",
        "http_access deny tunnel !tls",
        "http_access deny !tunnel !http",
        *([] if egress == ANY else ["http_access deny !declared"]),
        "http_access deny version_6",
        "http_access deny reserved",
        "http_access allow all",
        # A second check, of the address that is connected to, because a name may resolve differently by then. Nothing
        # can be sent from an address that nobody has.
        f"tcp_outgoing_address {NO_ADDRESS} reserved",
    ]
    return "\n".join(lines) + "\n"


def _reserved(exempt: Sequence[str]) -> list[str]:
    """Return the reserved networks without the exempt ones.

    A rule that allows the exempt networks would also let a name pass that has another reserved address.
    """
    left = [ipaddress.IPv4Network(one) for one in _RESERVED]
    for network in map(ipaddress.IPv4Network, exempt):
        left = [part for one in left for part in _without(one, network)]
    return [str(one) for one in left]


def _without(one: ipaddress.IPv4Network, network: ipaddress.IPv4Network) -> list[ipaddress.IPv4Network]:
    if not one.overlaps(network):
        return [one]
    return [] if one.subnet_of(network) else sorted(one.address_exclude(network))


def _declared(egress: Egress) -> list[str]:
    """Return the lists of names. With -n, Squid looks no address up in reverse, which its owner could answer freely."""
    names = [] if isinstance(egress, str) else egress
    exact = [name for name in names if not name.startswith("*.")]
    below = [name.removeprefix("*").replace(".", r"\.") for name in names if name.startswith("*.")]
    kinds = (["exact"] if exact else []) + (["below"] if below else [])
    return [
        *(f"acl exact dstdomain -n {name}" for name in exact),
        *(f"acl below dstdom_regex -n -i {name}$" for name in below),
        *([f"acl declared any-of {' '.join(kinds)}"] if kinds else []),
        # Squid takes the page of the list that it tested last, also within a list of lists.
        *(f"deny_info ERR_NOT_DECLARED {kind}" for kind in kinds),
    ]
