"""From the declaration to the plan: a pure function. No engine, no file system, no clock."""

from __future__ import annotations

import json
from typing import Any

from .addresses import Subnet, allocate
from .declaration import Fleet, Project, network_ids
from .egress import NONE, PROXY_NAME, proxy_environment, proxy_id
from .ground import Ground
from .hardening import SCRATCH, hardened
from .parts import CONFIG_MOUNT, add_file, bind, config_dir, hashes, labels, part_name
from .plan import Container, File, Network, Plan, Volume
from .proxies import add_config, proxied, proxy, proxy_network
from .state import CONFIG, HUB_KEYS, JOURNAL, SECRETS, TOKENS

__all__ = ["HUB_ID", "PORT", "render"]

HUB_ID = "hub"  # what names the hub's container, network and directories; no project may have this id
PORT = 3000  # of the hub inside its container: for clients and for links
_ALIAS = "codebuddy"
_CREDENTIALS_MOUNT = "/run/secrets/codebuddy"  # of the hub its keys, of a spoke its token
_SECRETS_MOUNT = "/run/secrets/project"
_JOURNAL_MOUNT = "/var/lib/codebuddy/journal"
_HOME_MOUNT = "/home/codebuddy"
_DIRECTORY_LABEL = "codebuddy.directory"  # with the project's id: the inode of its directory
_KEY_LABEL = "codebuddy.signing-key"
_SECRETS_LABEL = "codebuddy.secrets"  # the inode of their directory
_JOURNAL_LABEL = "codebuddy.journal"  # the inode of its directory
# To look a name up on a sealed network takes 20 s to fail; with nobody listening at the name server it takes 2 ms.
_RESOLVER = "nameserver 127.0.0.1\noptions ndots:0 timeout:1 attempts:1\n"


def render(fleet: Fleet, ground: Ground | None = None) -> Plan:
    """Compute the plan of the declared fleet; the hub comes first, then the projects by id.

    Args:
        fleet: the declaration.
        ground: what the containers stand on; None: nothing is known of the host.
    """
    ground = ground or Ground()
    front, subnets = allocate(fleet.pool, network_ids(fleet.projects))
    networks = {part_name(fleet, HUB_ID): _front_network(fleet, front)}
    volumes: dict[str, Volume] = {}
    files: dict[str, File] = {}
    add_file(files, fleet, _resolver_path(fleet), _RESOLVER)
    add_file(files, fleet, f"{config_dir(fleet, HUB_ID)}/config.json", _json(_hub_config(fleet, front, subnets)))
    for project in fleet.projects:
        name = part_name(fleet, project.id)
        networks[name] = _project_network(fleet, project, subnets[project.id])
        volumes[name] = Volume(
            name=name, project=project.id, driver="local", options={}, labels=labels(fleet, project.id)
        )
        add_file(files, fleet, f"{config_dir(fleet, project.id)}/config.json", _json(_spoke_config(project)))
    for project in proxied(fleet):
        networks[part_name(fleet, proxy_id(project.id))] = proxy_network(fleet, project, subnets[proxy_id(project.id)])
        add_config(files, fleet, project, subnets[project.id])
    hub = _hub(fleet, front, subnets, files, ground)
    spokes = [_spoke(fleet, project, subnets[project.id], files, ground) for project in fleet.projects]
    proxies = [
        proxy(fleet, project, subnets[project.id], subnets[proxy_id(project.id)], files) for project in proxied(fleet)
    ]
    return Plan(
        fleet=fleet.name,
        networks=networks,
        volumes=volumes,
        files=files,
        containers={container.name: container for container in (hub, *proxies, *spokes)},
    )


def _stands_on(ground: Ground, *projects: str) -> dict[str, str]:
    return {
        f"{_DIRECTORY_LABEL}.{project}": str(ground.inodes[project]) for project in projects if project in ground.inodes
    }


def _spoke_stands_on(ground: Ground, project: str) -> dict[str, str]:
    secrets = {_SECRETS_LABEL: str(ground.secrets[project])} if project in ground.secrets else {}
    return {**_stands_on(ground, project), **secrets}


def _hub_stands_on(ground: Ground) -> dict[str, str]:
    key = {_KEY_LABEL: ground.signing_key} if ground.signing_key else {}
    journal = {_JOURNAL_LABEL: str(ground.journal)} if ground.journal is not None else {}
    return {**_stands_on(ground, *ground.inodes), **key, **journal}


def _resolver_path(fleet: Fleet) -> str:
    return f"{fleet.state_dir}/{CONFIG}/resolv.conf"


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _front_network(fleet: Fleet, subnet: Subnet) -> Network:
    """Publish the client endpoint from here; without masquerading, so that the hub cannot get out."""
    return Network(
        name=part_name(fleet, HUB_ID),
        project="",
        subnet=subnet.cidr,
        gateway=subnet.gateway,
        driver="bridge",
        internal=False,
        ipv6=False,
        options={"com.docker.network.bridge.enable_ip_masquerade": "false"},
        labels=labels(fleet, ""),
    )


def _project_network(fleet: Fleet, project: Project, subnet: Subnet) -> Network:
    """Seal a spoke in: no way out, and no address of the host on the bridge, so no service of the host either."""
    return Network(
        name=part_name(fleet, project.id),
        project=project.id,
        subnet=subnet.cidr,
        gateway=subnet.gateway,
        driver="bridge",
        internal=True,
        ipv6=False,
        options={"com.docker.network.bridge.inhibit_ipv4": "true"},
        labels=labels(fleet, project.id),
    )


def _hub_config(fleet: Fleet, front: Subnet, subnets: dict[str, Subnet]) -> dict[str, Any]:
    return {
        "fleet": fleet.name,
        "client": {"address": front.hub, "port": PORT, "published": fleet.port},
        "run_width": fleet.run_width,
        "journal": {"max_bytes": fleet.journal.max_bytes, "max_age_seconds": fleet.journal.max_age},
        "projects": {
            project.id: {
                "profile": project.profile,
                "host_path": project.path,
                "listen": subnets[project.id].hub,
                "tasks": sorted(project.tasks),
                "format_on_write": project.format_on_write,
                "languages": sorted(
                    {lang for server in project.language_servers for lang in server["languages"].values()}
                ),
            }
            for project in fleet.projects
        },
    }


def _spoke_config(project: Project) -> dict[str, Any]:
    return {
        "project": project.id,
        "profile": project.profile,
        "tasks": {name: {"argv": task.argv, "formats": list(task.formats)} for name, task in project.tasks.items()},
        "runs": {
            "max_run_seconds": project.run_limits.max_run_time,
            "max_job_seconds": project.run_limits.max_job_time,
            "max_jobs": project.run_limits.max_jobs,
            "output_bytes": project.run_limits.max_output,
        },
        "egress": project.egress,
        "environment": {**proxy_environment(project.egress), **project.environment},
        "language_servers": list(project.language_servers),
    }


def _hub(fleet: Fleet, front: Subnet, subnets: dict[str, Subnet], files: dict[str, File], ground: Ground) -> Container:
    config = config_dir(fleet, HUB_ID)
    networks = {part_name(fleet, HUB_ID): {"address": front.hub, "aliases": []}}
    for project in fleet.projects:
        networks[part_name(fleet, project.id)] = {"address": subnets[project.id].hub, "aliases": [_ALIAS]}
    return Container(
        name=part_name(fleet, HUB_ID),
        project="",
        image=fleet.hub_image,
        command=["serve"],
        hostname=part_name(fleet, HUB_ID),
        working_dir="/workspaces",
        environment={"HOME": SCRATCH, "USER": "codebuddy"},
        mounts={
            CONFIG_MOUNT: bind(config, read_only=True),
            _CREDENTIALS_MOUNT: bind(f"{fleet.state_dir}/{HUB_KEYS}", read_only=True),
            _JOURNAL_MOUNT: bind(f"{fleet.state_dir}/{JOURNAL}", read_only=False),
            **{f"/workspaces/{project.id}": bind(project.path, read_only=False) for project in fleet.projects},
        },
        networks=networks,
        ports={f"{PORT}/tcp": f"127.0.0.1:{fleet.port}"},
        extra_hosts=[],
        labels={**labels(fleet, ""), **_hub_stands_on(ground)},
        files=hashes(files, f"{config}/config.json"),
        **hardened(fleet, fleet.hub_limits, scratch="256m"),
    )


def _spoke(fleet: Fleet, project: Project, subnet: Subnet, files: dict[str, File], ground: Ground) -> Container:
    config, resolver = config_dir(fleet, project.id), _resolver_path(fleet)
    # The directory, not the files in it: one that is replaced is seen at once.
    secrets = bind(f"{fleet.state_dir}/{SECRETS}/{project.id}", read_only=True)
    return Container(
        name=part_name(fleet, project.id),
        project=project.id,
        image=project.image,
        command=["spoke"],
        hostname=project.id,
        working_dir="/workspace",
        environment={
            "CODEBUDDY_URL": f"ws://{_ALIAS}:{PORT}",
            "HOME": _HOME_MOUNT,
            "PROJECT_ID": project.id,
            "USER": "codebuddy",
        },
        mounts={
            CONFIG_MOUNT: bind(config, read_only=True),
            "/etc/resolv.conf": bind(resolver, read_only=True),
            _CREDENTIALS_MOUNT: bind(f"{fleet.state_dir}/{TOKENS}/{project.id}", read_only=True),
            **({_SECRETS_MOUNT: secrets} if project.secrets else {}),
            "/workspace": bind(project.path, read_only=False),
            _HOME_MOUNT: {"type": "volume", "source": part_name(fleet, project.id), "read_only": False},
        },
        networks={part_name(fleet, project.id): {"address": subnet.spoke, "aliases": []}},
        ports={},
        extra_hosts=[f"{_ALIAS}:{subnet.hub}"] + ([] if project.egress == NONE else [f"{PROXY_NAME}:{subnet.proxy}"]),
        labels={**labels(fleet, project.id), **_spoke_stands_on(ground, project.id)},
        files=hashes(files, f"{config}/config.json", resolver),
        **hardened(fleet, project.limits, scratch="1g"),
    )
