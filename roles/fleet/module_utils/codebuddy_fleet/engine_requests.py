"""Translates the plan to requests of the engine's API (1.41 and later); the inverse of :mod:`engine_responses`."""

from __future__ import annotations

from typing import Any

from .plan import SPEC_LABEL, Container, Network, Volume, spec_hash

NANOSECONDS = 10**9
CPU_PERIOD = 100_000  # microseconds


def labels(item: Network | Volume | Container) -> dict[str, str]:
    """Return the labels of the plan, and the label with the hash of the specification."""
    return {**item.labels, SPEC_LABEL: spec_hash(item)}


def endpoint(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the endpoint with which a container joins a network."""
    return {"IPAMConfig": {"IPv4Address": settings["address"]}, "Aliases": list(settings["aliases"])}


def network_body(network: Network) -> dict[str, Any]:
    """Return the arguments of ``APIClient.create_network``."""
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
    """Return the body of the request that creates a container, on the network of its name (API 1.41 allows one)."""
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
        # Quota and period, because the engine refuses NanoCpus of more CPUs than the machine has.
        "CpuPeriod": CPU_PERIOD,
        "CpuQuota": round(container.cpus * CPU_PERIOD),
        "PidsLimit": container.pids,
        "ShmSize": container.shm_size,
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
    # With a missing source, a mount of type "bind" fails; a bind string would create the source, owned by root.
    return {"Type": mount["type"], "Source": mount["source"], "Target": target, "ReadOnly": mount["read_only"]}


def _binding(binding: str) -> dict[str, str]:
    address, _, port = binding.rpartition(":")
    return {"HostIp": address, "HostPort": port}
