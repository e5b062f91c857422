"""Computes the plan from the declaration. A pure function: no engine, no file system, no clock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from .addresses import Subnet, allocate
from .declaration import Fleet, Project, network_ids
from .egress import NONE, PROXY_NAME, proxy_environment, proxy_id
from .hardening import SCRATCH, hardened
from .host_facts import HostFacts
from .naming import (
    CONFIG,
    CONFIG_MOUNT,
    HUB_KEYS,
    JOURNAL,
    SECRETS,
    TOKENS,
    add_file,
    bind,
    config_dir,
    hashes,
    labels,
    resource_name,
)
from .plan import Container, File, Network, Plan, Volume
from .proxies import add_config, proxied, proxy, proxy_network
from .system_files import gitconfig, group, passwd

HUB_ID = "hub"  # names the hub's container, network and directories; no project may have this id
PORT = 3000  # of the hub inside its container, for clients and spokes
_ALIAS = "codebuddy"
_CREDENTIALS_MOUNT = "/run/secrets/codebuddy"  # in the hub its keys, in a spoke its token
_SECRETS_MOUNT = "/run/secrets/project"
_JOURNAL_MOUNT = "/var/lib/codebuddy/journal"
_HOME_MOUNT = "/home/codebuddy"
_USER = "codebuddy"  # what the containers' user and group are called, whatever their numbers
# Labels with the facts of the host that a container depends on.
DIRECTORY_LABEL = "codebuddy.directory"  # followed by a project's id; an inode, as the next two
_SECRETS_LABEL = "codebuddy.secrets"
_JOURNAL_LABEL = "codebuddy.journal"
_KEY_LABEL = "codebuddy.signing-key"
# A lookup on a sealed network fails after 20 s; with a name server address where nobody listens, after 2 ms.
_RESOLVER = "nameserver 127.0.0.1\noptions ndots:0 timeout:1 attempts:1\n"


def render(fleet: Fleet, facts: HostFacts | None = None) -> Plan:
    """Compute the plan: the hub first, then the projects by id.

    Args:
        fleet: the declaration.
        facts: facts of the engine's host; None: nothing is known of it.
    """
    facts = facts or HostFacts()
    front, subnets = allocate(fleet.address_pool, network_ids(fleet.projects))
    networks = {resource_name(fleet, HUB_ID): _front_network(fleet, front)}
    volumes: dict[str, Volume] = {}
    files: dict[str, File] = {}
    add_file(files, fleet, _system_path(fleet, "resolv.conf"), _RESOLVER)
    # As in any system, all users may read these two.
    add_file(files, fleet, _system_path(fleet, "passwd"), passwd(_USER, fleet.uid, fleet.gid, _HOME_MOUNT), "0644")
    add_file(files, fleet, _system_path(fleet, "group"), group(_USER, fleet.gid), "0644")
    add_file(files, fleet, f"{config_dir(fleet, HUB_ID)}/config.json", _json(_hub_config(fleet, front, subnets)))
    for project in fleet.projects:
        name = resource_name(fleet, project.id)
        networks[name] = _project_network(fleet, project, subnets[project.id])
        volumes[name] = Volume(
            name=name, project=project.id, driver="local", options={}, labels=labels(fleet, project.id)
        )
        add_file(files, fleet, f"{config_dir(fleet, project.id)}/config.json", _json(_spoke_config(project)))
        author = project.git_author or fleet.git_author
        add_file(files, fleet, f"{config_dir(fleet, project.id)}/gitconfig", gitconfig(author))
    for project in proxied(fleet):
        outside = subnets[proxy_id(project.id)]
        networks[resource_name(fleet, proxy_id(project.id))] = proxy_network(fleet, project, outside)
        add_config(files, fleet, project, subnets[project.id])
    hub = _hub(fleet, front, subnets, files, facts)
    spokes = [_spoke(fleet, project, subnets[project.id], files, facts) for project in fleet.projects]
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


def _hub_fact_labels(facts: HostFacts) -> dict[str, str]:
    key = {_KEY_LABEL: facts.signing_key} if facts.signing_key else {}
    journal = {_JOURNAL_LABEL: str(facts.journal)} if facts.journal is not None else {}
    directories = {f"{DIRECTORY_LABEL}.{project}": str(inode) for project, inode in facts.inodes.items()}
    return {**directories, **key, **journal}


def _spoke_fact_labels(facts: HostFacts, project: str) -> dict[str, str]:
    inodes = {f"{DIRECTORY_LABEL}.{project}": facts.inodes, _SECRETS_LABEL: facts.secrets}
    return {label: str(found[project]) for label, found in inodes.items() if project in found}


def _system_path(fleet: Fleet, name: str) -> str:
    return f"{fleet.state_dir}/{CONFIG}/{name}"


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _front_network(fleet: Fleet, subnet: Subnet) -> Network:
    """Plan the network that publishes the client endpoint; without masquerading, so that the hub cannot get out."""
    return Network(
        name=resource_name(fleet, HUB_ID),
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
    """Plan a sealed network: it has no route out, and no address of the host, so no service of the host either."""
    return Network(
        name=resource_name(fleet, project.id),
        project=project.id,
        subnet=subnet.cidr,
        gateway=subnet.gateway,
        driver="bridge",
        internal=True,
        ipv6=False,
        options={"com.docker.network.bridge.inhibit_ipv4": "true"},
        labels=labels(fleet, project.id),
    )


def _hub_config(fleet: Fleet, front: Subnet, subnets: Mapping[str, Subnet]) -> dict[str, Any]:
    return {
        "fleet": fleet.name,
        "client": {"address": front.hub, "port": PORT, "published": fleet.port},
        "run_width": fleet.run_width,
        "journal": {"max_bytes": fleet.journal_size, "max_age_seconds": fleet.journal_age},
        "projects": {
            project.id: {
                "profile": project.profile,
                "host_path": project.path,
                "listen": subnets[project.id].hub,
                "tasks": sorted(project.tasks),
                "format_on_write": project.format_on_write,
                **({} if project.egress == NONE else {"has_egress": True}),
                **({"encodings": [list(one) for one in project.encodings]} if project.encodings else {}),
                **_expectation(project),
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
        **({"encodings": [list(one) for one in project.encodings]} if project.encodings else {}),
        **_expectation(project),
    }


def _expectation(project: Project) -> dict[str, Any]:
    given = {} if project.expect is None else {name: value for name, value in asdict(project.expect).items() if value}
    return {"expect": given} if given else {}


def _hub(
    fleet: Fleet, front: Subnet, subnets: Mapping[str, Subnet], files: dict[str, File], facts: HostFacts
) -> Container:
    config, name = config_dir(fleet, HUB_ID), resource_name(fleet, HUB_ID)
    networks = {name: {"address": front.hub, "aliases": []}}
    for project in fleet.projects:
        networks[resource_name(fleet, project.id)] = {"address": subnets[project.id].hub, "aliases": [_ALIAS]}
    return Container(
        name=name,
        project="",
        image=fleet.hub_image,
        command=["serve"],
        hostname=name,
        working_dir="/workspaces",
        environment={"HOME": SCRATCH, "USER": _USER},
        mounts={
            CONFIG_MOUNT: bind(config, read_only=True),
            _CREDENTIALS_MOUNT: bind(f"{fleet.state_dir}/{HUB_KEYS}", read_only=True),
            _JOURNAL_MOUNT: bind(f"{fleet.state_dir}/{JOURNAL}", read_only=False),
            **{f"/workspaces/{project.id}": bind(project.path, read_only=False) for project in fleet.projects},
        },
        networks=networks,
        ports={f"{PORT}/tcp": f"127.0.0.1:{fleet.port}"},
        extra_hosts=[],
        labels={**labels(fleet, ""), **_hub_fact_labels(facts)},
        files=hashes(files, f"{config}/config.json"),
        **hardened(fleet, fleet.hub_limits, scratch="256m"),
    )


def _spoke(fleet: Fleet, project: Project, subnet: Subnet, files: dict[str, File], facts: HostFacts) -> Container:
    config, name = config_dir(fleet, project.id), resource_name(fleet, project.id)
    system = {f"/etc/{file}": _system_path(fleet, file) for file in ("resolv.conf", "passwd", "group")}
    # The directory, not the files in it: a replaced file is visible at once.
    secrets = bind(f"{fleet.state_dir}/{SECRETS}/{project.id}", read_only=True)
    return Container(
        name=name,
        project=project.id,
        image=project.image,
        command=["spoke"],
        hostname=project.id,
        working_dir="/workspace",
        environment={
            "CODEBUDDY_URL": f"ws://{_ALIAS}:{PORT}",
            "HOME": _HOME_MOUNT,
            "PROJECT_ID": project.id,
            "USER": _USER,
        },
        mounts={
            CONFIG_MOUNT: bind(config, read_only=True),
            **{target: bind(source, read_only=True) for target, source in system.items()},
            _CREDENTIALS_MOUNT: bind(f"{fleet.state_dir}/{TOKENS}/{project.id}", read_only=True),
            **({_SECRETS_MOUNT: secrets} if project.secrets else {}),
            "/workspace": bind(project.path, read_only=False),
            _HOME_MOUNT: {"type": "volume", "source": name, "read_only": False},
        },
        networks={name: {"address": subnet.spoke, "aliases": []}},
        ports={},
        extra_hosts=[f"{_ALIAS}:{subnet.hub}"] + ([] if project.egress == NONE else [f"{PROXY_NAME}:{subnet.proxy}"]),
        labels={**labels(fleet, project.id), **_spoke_fact_labels(facts, project.id)},
        files=hashes(files, f"{config}/config.json", *system.values()),  # git reads its own again for each command
        **hardened(fleet, project.limits, scratch="1g"),
    )
