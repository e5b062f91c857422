"""The plan in the words of the engine's API (1.41 and up): pure functions, the inverse of :mod:`observe`."""

from __future__ import annotations

from typing import Any

from .plan import SPEC_LABEL, Container, Network, Volume, spec_hash

__all__ = ["CPU_PERIOD", "NANOSECONDS", "container_body", "endpoint", "labels", "network_body"]

NANOSECONDS = 10**9
CPU_PERIOD = 100_000  # microseconds


def labels(item: Network | Volume | Container) -> dict[str, str]:
    """Give the labels as put on the engine: those of the plan and the hash of the specification."""
    return {**item.labels, SPEC_LABEL: spec_hash(item)}


def endpoint(settings: dict[str, Any]) -> dict[str, Any]:
    """How a container joins a network: with its declared address and aliases."""
    return {"IPAMConfig": {"IPv4Address": settings["address"]}, "Aliases": list(settings["aliases"])}


def network_body(network: Network) -> dict[str, Any]:
    """Give the arguments of ``APIClient.create_network``."""
    return {
        "name": network.name,
        "driver": network.driver,
        "internal": network.internal,
        "enable_ipv6": network.ipv6,
        "options": dict(network.options),
        "labels": labels(network),
        "ipam": {"Driver": "default", "Config": [{"Subnet": network.subnet, "Gateway": network.gateway}]},
        "check_duplicate": True,
    }


def container_body(container: Container) -> dict[str, Any]:
    """Give the body of the request that creates the container, on the network of its own name (API 1.41 allows one)."""
    return {
        "Image": container.image,
        "Entrypoint": container.entrypoint,
        "Cmd": container.command,
        "User": container.user,
        "Hostname": container.hostname,
        "WorkingDir": container.working_dir,
        "Env": [f"{name}={value}" for name, value in sorted(container.environment.items())],
        "Labels": labels(container),
        "ExposedPorts": {port: {} for port in container.ports},
        "StopSignal": container.stop_signal,
        "StopTimeout": container.stop_timeout,
        "Healthcheck": {
            "Test": ["CMD", *container.health_check["command"]],
            "Interval": container.health_check["interval"] * NANOSECONDS,
            "Timeout": container.health_check["timeout"] * NANOSECONDS,
            "StartPeriod": container.health_check["start_period"] * NANOSECONDS,
            "Retries": container.health_check["retries"],
        },
        "HostConfig": _host_config(container),
        "NetworkingConfig": {"EndpointsConfig": {container.name: endpoint(container.networks[container.name])}},
    }


def _host_config(container: Container) -> dict[str, Any]:
    return {
        "NetworkMode": container.name,
        "Mounts": [_mount(target, mount) for target, mount in sorted(container.mounts.items())],
        "Tmpfs": dict(container.tmpfs),
        "PortBindings": {port: [_binding(binding)] for port, binding in container.ports.items()},
        "ExtraHosts": list(container.extra_hosts),
        "Dns": list(container.dns),
        "Memory": container.memory,
        "MemorySwap": container.memory_swap,
        # Quota and period, not NanoCpus: the engine refuses a number of CPUs that the machine does not have.
        "CpuPeriod": CPU_PERIOD,
        "CpuQuota": round(container.cpus * CPU_PERIOD),
        "PidsLimit": container.pids,
        "Ulimits": [
            {"Name": name, "Soft": soft, "Hard": hard} for name, (soft, hard) in sorted(container.ulimits.items())
        ],
        "CapDrop": list(container.cap_drop),
        "SecurityOpt": list(container.security_options),
        "ReadonlyRootfs": container.read_only,
        "Init": container.init,
        "IpcMode": container.ipc,
        "CgroupnsMode": container.cgroup_namespace,
        "Sysctls": dict(container.sysctls),
        "RestartPolicy": {"Name": container.restart},
        "LogConfig": {"Type": container.log_driver, "Config": dict(container.log_options)},
    }


def _mount(target: str, mount: dict[str, Any]) -> dict[str, Any]:
    # A mount of type "bind" fails on a missing source, where a bind string would create it, owned by root.
    return {"Type": mount["type"], "Source": mount["source"], "Target": target, "ReadOnly": mount["read_only"]}


def _binding(binding: str) -> dict[str, str]:
    address, _, port = binding.rpartition(":")
    return {"HostIp": address, "HostPort": port}
