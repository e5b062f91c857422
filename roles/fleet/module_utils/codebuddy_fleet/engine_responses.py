"""Translates the engine's descriptions of containers, networks and volumes to the schema of the plan.

The engine reports the environment and labels of an image as if they had been set on the container. They are kept
separately (:class:`ImageDefaults`), so that the comparison can remove them from both sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .engine_requests import CPU_PERIOD, NANOSECONDS
from .plan import ENGINES_SHM_SIZE, FLEET_LABEL, PROJECT_LABEL, SPEC_LABEL, Container, Network, Volume

# All other settings of the engine's HostConfig that could weaken or change a container. A plan contains none of them,
# so any value is a difference.
FOREIGN_HOST_SETTINGS = (
    "Annotations", "AutoRemove", "Binds", "BlkioDeviceReadBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteBps",
    "BlkioDeviceWriteIOps", "BlkioWeight", "BlkioWeightDevice", "CapAdd", "Cgroup", "CgroupParent", "CpuCount",
    "CpuPercent", "CpuRealtimePeriod", "CpuRealtimeRuntime", "CpuShares", "CpusetCpus", "CpusetMems",
    "DeviceCgroupRules", "DeviceRequests", "Devices", "DnsOptions", "DnsSearch", "GroupAdd", "KernelMemory",
    "KernelMemoryTCP", "Links", "MemoryReservation", "MemorySwappiness", "NanoCpus", "OomKillDisable",
    "OomScoreAdj", "PidMode", "Privileged", "PublishAllPorts", "StorageOpt", "UTSMode", "UsernsMode",
    "VolumeDriver", "VolumesFrom",
)  # fmt: skip
FOREIGN_CONFIG_SETTINGS = ("Domainname", "NetworkDisabled", "OpenStdin", "StdinOnce", "Tty")
# Options that an engine may be configured to set on every network; they are ignored.
_ENGINE_OPTIONS = frozenset({"com.docker.network.driver.mtu"})
# Hidden parts of /proc and /sys. The engine's lists differ by version, but an empty list means that nothing is hidden.
_HIDDEN_PATHS = ("MaskedPaths", "ReadonlyPaths")


@dataclass(frozen=True)
class ImageDefaults:
    """The environment and labels of an image."""

    environment: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_inspect(cls, image: Mapping[str, Any]) -> ImageDefaults:
        """Read the engine's description of an image."""
        config = image.get("Config") or {}
        return cls(_environment(config.get("Env")), dict(config.get("Labels") or {}))

    def removed_from(self, container: Container) -> Container:
        """Return the container without the values that come from the image."""
        return replace(
            container,
            environment={k: v for k, v in container.environment.items() if self.environment.get(k) != v},
            labels={k: v for k, v in container.labels.items() if self.labels.get(k) != v},
        )


@dataclass(frozen=True)
class ObservedContainer:
    """A container of the fleet as it was found."""

    id: str
    state: str  # created, running, paused, restarting, removing, exited, dead
    health: str  # none, starting, healthy, unhealthy
    spec: str  # the hash of the specification that it was created from, from its label
    container: Container
    image_defaults: ImageDefaults

    @property
    def own(self) -> Container:
        """The container without its image's defaults."""
        return self.image_defaults.removed_from(self.container)


def read_network(found: Mapping[str, Any]) -> tuple[Network, str]:
    """Return a network of the engine's list, and the hash on its label."""
    pools = (found.get("IPAM") or {}).get("Config") or []
    all_labels = dict(found.get("Labels") or {})
    network = Network(
        name=found["Name"],
        project=all_labels.get(PROJECT_LABEL, ""),
        subnet=", ".join(pool.get("Subnet", "") for pool in pools),
        gateway=", ".join(pool.get("Gateway", "") for pool in pools),
        driver=found.get("Driver", ""),
        internal=bool(found.get("Internal")),
        ipv6=bool(found.get("EnableIPv6")),
        options={k: v for k, v in (found.get("Options") or {}).items() if k not in _ENGINE_OPTIONS},
        labels={k: v for k, v in all_labels.items() if k != SPEC_LABEL},
    )
    return network, all_labels.get(SPEC_LABEL, "")


def read_volume(found: Mapping[str, Any]) -> Volume:
    """Return a volume of the engine's list."""
    all_labels = dict(found.get("Labels") or {})
    return Volume(
        name=found["Name"],
        project=all_labels.get(PROJECT_LABEL, ""),
        driver=found.get("Driver", ""),
        options=dict(found.get("Options") or {}),
        labels={k: v for k, v in all_labels.items() if k in (FLEET_LABEL, PROJECT_LABEL)},
    )


def read_container(found: Mapping[str, Any], image: ImageDefaults, network_ids: Mapping[str, str]) -> ObservedContainer:
    """Return an inspected container.

    Args:
        found: the engine's answer.
        image: the defaults of its image.
        network_ids: the existing networks, name to id. A container may refer to one that was removed and created
            again; it counts as not connected then, because it could not start.
    """
    state = found.get("State") or {}
    config = found["Config"]
    return ObservedContainer(
        id=found["Id"],
        state=state.get("Status", ""),
        health=(state.get("Health") or {}).get("Status", "none"),
        spec=(config.get("Labels") or {}).get(SPEC_LABEL, ""),
        container=_container(found, config, found["HostConfig"], network_ids),
        image_defaults=image,
    )


def _container(
    found: Mapping[str, Any], config: Mapping[str, Any], host: Mapping[str, Any], network_ids: Mapping[str, str]
) -> Container:
    all_labels = dict(config.get("Labels") or {})
    log = host.get("LogConfig") or {}
    return Container(
        name=found["Name"].lstrip("/"),
        project=all_labels.get(PROJECT_LABEL, ""),
        image=config.get("Image", ""),
        entrypoint=list(config.get("Entrypoint") or []),
        command=list(config.get("Cmd") or []),
        user=config.get("User", ""),
        hostname=config.get("Hostname", ""),
        working_dir=config.get("WorkingDir", ""),
        environment=_environment(config.get("Env")),
        labels={k: v for k, v in all_labels.items() if k != SPEC_LABEL},
        mounts={mount["Target"]: _mount(mount) for mount in host.get("Mounts") or []},
        tmpfs=dict(host.get("Tmpfs") or {}),
        networks=_networks(found, network_ids),
        ports={port: _bindings(bindings) for port, bindings in (host.get("PortBindings") or {}).items()},
        extra_hosts=list(host.get("ExtraHosts") or []),
        dns=list(host.get("Dns") or []),
        memory=host.get("Memory") or 0,
        memory_swap=host.get("MemorySwap") or 0,
        cpus=round((host.get("CpuQuota") or 0) / (host.get("CpuPeriod") or CPU_PERIOD), 3),
        pids=host.get("PidsLimit") or 0,
        shm_size=host.get("ShmSize") or ENGINES_SHM_SIZE,
        ulimits={limit["Name"]: [limit["Soft"], limit["Hard"]] for limit in host.get("Ulimits") or []},
        cap_drop=list(host.get("CapDrop") or []),
        security_options=list(host.get("SecurityOpt") or []),
        read_only=bool(host.get("ReadonlyRootfs")),
        init=bool(host.get("Init")),
        ipc=host.get("IpcMode") or "",
        cgroup_namespace=host.get("CgroupnsMode") or "",
        sysctls=dict(host.get("Sysctls") or {}),
        restart=(host.get("RestartPolicy") or {}).get("Name", ""),
        log_driver=log.get("Type", ""),
        log_options=dict(log.get("Config") or {}),
        health_check=_health(config.get("Healthcheck") or {}),
        stop_signal=config.get("StopSignal") or "",
        stop_timeout=config.get("StopTimeout") or 0,
        foreign_settings=_foreign(found["Name"].lstrip("/"), config, host),
    )


def _environment(entries: list[str] | None) -> dict[str, str]:
    return {name: value for name, _, value in (entry.partition("=") for entry in entries or [])}


def _mount(mount: Mapping[str, Any]) -> dict[str, Any]:
    result = {
        "type": mount.get("Type", ""),
        "source": mount.get("Source", ""),
        "read_only": bool(mount.get("ReadOnly")),
    }
    options = {key: mount[key] for key in ("BindOptions", "VolumeOptions", "TmpfsOptions") if mount.get(key)}
    return {**result, "options": options} if options else result


def _networks(found: Mapping[str, Any], network_ids: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    # Up to version 24, the engine itself adds the short id and the host name to the aliases.
    added = {found["Id"][:12], found["Config"].get("Hostname", ""), found["Name"].lstrip("/")}
    result = {}
    for name, settings in ((found.get("NetworkSettings") or {}).get("Networks") or {}).items():
        if settings.get("NetworkID") and settings["NetworkID"] != network_ids.get(name):
            continue
        address = (settings.get("IPAMConfig") or {}).get("IPv4Address") or settings.get("IPAddress", "")
        aliases = sorted(set(settings.get("Aliases") or []) - added)
        result[name] = {"address": address, "aliases": aliases}
    return result


def _bindings(bindings: list[Mapping[str, str]] | None) -> str:
    return ", ".join(f"{binding.get('HostIp', '')}:{binding.get('HostPort', '')}" for binding in bindings or [])


def _health(check: Mapping[str, Any]) -> dict[str, Any]:
    test = check.get("Test") or []
    return {
        "command": test[1:] if test[:1] == ["CMD"] else test,
        "interval": (check.get("Interval") or 0) // NANOSECONDS,
        "timeout": (check.get("Timeout") or 0) // NANOSECONDS,
        "start_period": (check.get("StartPeriod") or 0) // NANOSECONDS,
        "retries": check.get("Retries") or 0,
    }


def _foreign(name: str, config: Mapping[str, Any], host: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: host[key] for key in FOREIGN_HOST_SETTINGS if host.get(key) not in (None, -1) and host[key]}
    found |= {key: config[key] for key in FOREIGN_CONFIG_SETTINGS if config.get(key)}
    if host.get("NetworkMode") != name:
        found["NetworkMode"] = host.get("NetworkMode")
    return found | {key: [] for key in _HIDDEN_PATHS if host.get(key) == []}
