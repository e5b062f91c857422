"""From the declaration to the plan: a pure function. No engine, no file system, no clock.

The settings that make a container safe are here, in one place, and the same for the hub and every spoke.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from .addresses import Subnet, allocate
from .declaration import Fleet, Limits, Project
from .ground import JOURNAL, Ground
from .plan import FLEET_LABEL, PROJECT_LABEL, Container, File, Network, Plan, Volume

__all__ = ["HUB_ID", "PORT", "render"]

HUB_ID = "hub"  # what names the hub's container, network and directories; no project may have this id
PORT = 3000  # of the hub inside its container: for clients and for links
PROGRAM = "/usr/local/bin/codebuddy"
_ALIAS = "codebuddy"
_SECRETS = "/run/secrets/codebuddy"
_JOURNAL = "/var/lib/codebuddy/journal"  # of the hub's edits
_CONFIG = "/etc/codebuddy"
_SPOKE_HOME = "/home/codebuddy"
_NO_RESOLVER = "192.0.2.1"
_DIRECTORY_LABEL = "codebuddy.directory"  # with the project's id: the inode of its directory
_KEY_LABEL = "codebuddy.signing-key"
_JOURNAL_LABEL = "codebuddy.journal"  # the inode of its directory
_SCRATCH = "/tmp"  # noqa: S108  a tmpfs of the container, not the host's
# To look a name up on a sealed network takes 20 s to fail; with nobody listening at the name server it takes 2 ms.
_RESOLVER = "nameserver 127.0.0.1\noptions ndots:0 timeout:1 attempts:1\n"


def render(fleet: Fleet, ground: Ground | None = None) -> Plan:
    """Compute the plan of the declared fleet; the hub comes first, then the projects by id.

    Args:
        fleet: the declaration.
        ground: what the containers stand on; None: nothing is known of the host.
    """
    ground = ground or Ground()
    front, subnets = allocate(fleet.pool, (project.id for project in fleet.projects))
    networks = {_name(fleet, HUB_ID): _front_network(fleet, front)}
    volumes: dict[str, Volume] = {}
    files: dict[str, File] = {}
    _add_file(files, fleet, _resolver_path(fleet), _RESOLVER)
    _add_file(files, fleet, f"{_config_dir(fleet, HUB_ID)}/config.json", _json(_hub_config(fleet, front, subnets)))
    for project in fleet.projects:
        name = _name(fleet, project.id)
        networks[name] = _project_network(fleet, project, subnets[project.id])
        volumes[name] = Volume(
            name=name, project=project.id, driver="local", options={}, labels=_labels(fleet, project.id)
        )
        _add_file(files, fleet, f"{_config_dir(fleet, project.id)}/config.json", _json(_spoke_config(project)))
    hub = _hub(fleet, front, subnets, files, ground)
    spokes = [_spoke(fleet, project, subnets[project.id], files, ground) for project in fleet.projects]
    return Plan(
        fleet=fleet.name,
        networks=networks,
        volumes=volumes,
        files=files,
        containers={container.name: container for container in (hub, *spokes)},
    )


def _name(fleet: Fleet, suffix: str) -> str:
    return f"{fleet.name}-{suffix}"


def _labels(fleet: Fleet, project: str) -> dict[str, str]:
    return {FLEET_LABEL: fleet.name, PROJECT_LABEL: project}


def _stands_on(ground: Ground, *projects: str) -> dict[str, str]:
    return {
        f"{_DIRECTORY_LABEL}.{project}": str(ground.inodes[project]) for project in projects if project in ground.inodes
    }


def _hub_stands_on(ground: Ground) -> dict[str, str]:
    key = {_KEY_LABEL: ground.signing_key} if ground.signing_key else {}
    journal = {_JOURNAL_LABEL: str(ground.journal)} if ground.journal is not None else {}
    return {**_stands_on(ground, *ground.inodes), **key, **journal}


def _config_dir(fleet: Fleet, suffix: str) -> str:
    return f"{fleet.state_dir}/config/{suffix}"


def _resolver_path(fleet: Fleet) -> str:
    return f"{fleet.state_dir}/config/resolv.conf"


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _add_file(files: dict[str, File], fleet: Fleet, path: str, content: str) -> None:
    files[path] = File(path=path, content=content, mode="0640", uid=fleet.uid, gid=fleet.gid)


def _front_network(fleet: Fleet, subnet: Subnet) -> Network:
    """Publish the client endpoint from here; without masquerading, so that the hub cannot get out."""
    return Network(
        name=_name(fleet, HUB_ID),
        project="",
        subnet=subnet.cidr,
        gateway=subnet.gateway,
        driver="bridge",
        internal=False,
        ipv6=False,
        options={"com.docker.network.bridge.enable_ip_masquerade": "false"},
        labels=_labels(fleet, ""),
    )


def _project_network(fleet: Fleet, project: Project, subnet: Subnet) -> Network:
    """Seal a spoke in: no way out, and no address of the host on the bridge, so no service of the host either."""
    return Network(
        name=_name(fleet, project.id),
        project=project.id,
        subnet=subnet.cidr,
        gateway=subnet.gateway,
        driver="bridge",
        internal=True,
        ipv6=False,
        options={"com.docker.network.bridge.inhibit_ipv4": "true"},
        labels=_labels(fleet, project.id),
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
        "tasks": {name: {"argv": task.argv, "format": task.format} for name, task in project.tasks.items()},
        "runs": {
            "max_run_seconds": project.run_limits.max_run_time,
            "max_job_seconds": project.run_limits.max_job_time,
            "max_jobs": project.run_limits.max_jobs,
            "output_bytes": project.run_limits.max_output,
        },
        "egress": "none",
        "environment": project.environment,
        "language_servers": list(project.language_servers),
    }


def _bind(source: str, *, read_only: bool) -> dict[str, Any]:
    return {"type": "bind", "source": source, "read_only": read_only}


def _hub(fleet: Fleet, front: Subnet, subnets: dict[str, Subnet], files: dict[str, File], ground: Ground) -> Container:
    config = _config_dir(fleet, HUB_ID)
    networks = {_name(fleet, HUB_ID): {"address": front.hub, "aliases": []}}
    for project in fleet.projects:
        networks[_name(fleet, project.id)] = {"address": subnets[project.id].hub, "aliases": [_ALIAS]}
    return Container(
        name=_name(fleet, HUB_ID),
        project="",
        image=fleet.hub_image,
        command=["serve"],
        hostname=_name(fleet, HUB_ID),
        working_dir="/workspaces",
        environment={"HOME": _SCRATCH, "USER": "codebuddy"},
        mounts={
            _CONFIG: _bind(config, read_only=True),
            _SECRETS: _bind(f"{fleet.state_dir}/hub/keys", read_only=True),
            _JOURNAL: _bind(f"{fleet.state_dir}/{JOURNAL}", read_only=False),
            **{f"/workspaces/{project.id}": _bind(project.path, read_only=False) for project in fleet.projects},
        },
        networks=networks,
        ports={f"{PORT}/tcp": f"127.0.0.1:{fleet.port}"},
        extra_hosts=[],
        labels={**_labels(fleet, ""), **_hub_stands_on(ground)},
        files=_hashes(files, f"{config}/config.json"),
        **_common(fleet, fleet.hub_limits, scratch="256m"),
    )


def _spoke(fleet: Fleet, project: Project, subnet: Subnet, files: dict[str, File], ground: Ground) -> Container:
    config, resolver = _config_dir(fleet, project.id), _resolver_path(fleet)
    return Container(
        name=_name(fleet, project.id),
        project=project.id,
        image=project.image,
        command=["spoke"],
        hostname=project.id,
        working_dir="/workspace",
        environment={
            "CODEBUDDY_URL": f"ws://{_ALIAS}:{PORT}",
            "HOME": _SPOKE_HOME,
            "PROJECT_ID": project.id,
            "USER": "codebuddy",
        },
        mounts={
            _CONFIG: _bind(config, read_only=True),
            "/etc/resolv.conf": _bind(resolver, read_only=True),
            _SECRETS: _bind(f"{fleet.state_dir}/tokens/{project.id}", read_only=True),
            "/workspace": _bind(project.path, read_only=False),
            _SPOKE_HOME: {"type": "volume", "source": _name(fleet, project.id), "read_only": False},
        },
        networks={_name(fleet, project.id): {"address": subnet.spoke, "aliases": []}},
        ports={},
        extra_hosts=[f"{_ALIAS}:{subnet.hub}"],
        labels={**_labels(fleet, project.id), **_stands_on(ground, project.id)},
        files=_hashes(files, f"{config}/config.json", resolver),
        **_common(fleet, project.limits, scratch="1g"),
    )


def _hashes(files: dict[str, File], *paths: str) -> dict[str, str]:
    return {path: hashlib.sha256(files[path].content.encode()).hexdigest() for path in paths}


def _common(fleet: Fleet, limits: Limits, *, scratch: str) -> dict[str, Any]:
    """Give the settings that hub and spokes share.

    ``/tmp`` may hold programs: compilers and test runners start what they build there. Its size counts as memory.
    The limits of open files stay below what a plainly started engine may set itself.
    """
    owner = f"uid={fleet.uid},gid={fleet.gid}"
    return {
        "entrypoint": [PROGRAM],
        "user": f"{fleet.uid}:{fleet.gid}",
        "tmpfs": {
            "/run": f"rw,noexec,nosuid,nodev,size=16m,mode=0755,{owner}",
            _SCRATCH: f"rw,exec,nosuid,nodev,size={scratch},mode=1777",
        },
        "memory": limits.memory,
        "memory_swap": limits.memory,
        "cpus": limits.cpus,
        "pids": limits.pids,
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
        # server (CVE-2024-29018). This one is nobody's (RFC 5737), and the engine asks it from inside the container.
        "dns": [_NO_RESOLVER],
        "log_driver": "json-file",
        "log_options": {"max-file": "3", "max-size": "10m"},
        "health_check": {
            "command": [PROGRAM, "health"],
            "interval": 15,
            "timeout": 10,
            "start_period": 30,
            "retries": 3,
        },
        "stop_signal": "SIGTERM",
        "stop_timeout": 15,
    }
