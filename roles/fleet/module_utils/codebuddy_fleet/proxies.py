"""The proxies: for each project that may reach something outside, one, with a network of its own that leads there."""

from __future__ import annotations

from .addresses import Subnet
from .declaration import Fleet, Limits, Project
from .egress import NONE, PROXY_NAME, PROXY_PORT, proxy_id
from .hardening import hardened, health_check
from .parts import CONFIG_MOUNT, add_file, bind, config_dir, hashes, labels, part_name
from .plan import Container, File, Network
from .squid import proxy_config

__all__ = ["add_config", "proxied", "proxy", "proxy_network"]

_LIMITS = Limits(memory=128 * 2**20, cpus=1.0, pids=64)  # Squid takes 12 MiB


def proxied(fleet: Fleet) -> list[Project]:
    """Give the projects that have a proxy."""
    return [project for project in fleet.projects if project.egress != NONE]


def proxy_network(fleet: Fleet, project: Project, subnet: Subnet) -> Network:
    """Lead one proxy out. Only it is on this network, and it goes to no address that is not public."""
    return Network(
        name=part_name(fleet, proxy_id(project.id)),
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
    """Plan a proxy; its configuration is planned already. It has no secret, no volume, and nothing of the project."""
    name = part_name(fleet, proxy_id(project.id))
    settings = hardened(fleet, _LIMITS, scratch="16m")
    # A connection is all that it takes: a request would be one more line in the log.
    look = f"exec 3<>/dev/tcp/{inside.proxy}/{PROXY_PORT}"
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
            part_name(fleet, project.id): {"address": inside.proxy, "aliases": []},
        },
        ports={},
        extra_hosts=[],
        labels=labels(fleet, project.id),
        files=hashes(files, _config_path(fleet, project)),
        **{
            **settings,
            "entrypoint": ["/usr/sbin/squid"],
            "dns": [],  # the host's own name servers: names are looked up here, and nowhere else
            "health_check": health_check(["/bin/bash", "-c", look]),
        },
    )


def _config_path(fleet: Fleet, project: Project) -> str:
    return f"{config_dir(fleet, proxy_id(project.id))}/squid.conf"
