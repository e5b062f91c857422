"""Reads all that matters about a fleet from the engine, with few and parallel requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker
import docker.errors
import requests.exceptions
from ansible.module_utils.codebuddy_engine.client import connect, is_supported

from .differ import EngineLimits, Observed
from .engine_responses import ImageDefaults, ObservedContainer, read_container, read_network, read_volume
from .errors import EngineUnreachable, FleetError
from .plan import FLEET_LABEL, File

WORKERS = 8  # threads; the engine itself works in parallel, so more than the machine has CPUs


def connect_to_engine(docker_host: str) -> docker.APIClient:
    """Return a client.

    Raises:
        EngineUnreachable: no engine answers there.
        FleetError: an engine answers, but cannot be used: no permission, too old.
    """
    try:
        client: docker.APIClient = connect(docker_host)
    except docker.errors.DockerException as error:
        if "PermissionError" in str(error) or "Permission denied" in str(error):
            raise FleetError(
                f"You may not use the engine at {docker_host}: join the group that owns its socket (usually docker) "
                "and log in again, or set codebuddy_docker_host."
            ) from error
        raise EngineUnreachable(
            f"No engine answers at {docker_host}: start it, or set codebuddy_docker_host to where it listens ({error})."
        ) from error
    if not is_supported(str(client.api_version)):
        raise FleetError(f"The engine at {docker_host} speaks API {client.api_version}: install Docker 20.10 or newer.")
    return client


def observe(client: docker.APIClient, fleet: str, files: dict[str, File]) -> Observed:
    """Read what exists.

    Args:
        client: from :func:`connect_to_engine`.
        fleet: the value of the fleet's label.
        files: the configuration files found on the host.
    """
    try:
        return _observe(client, fleet, files)
    except (docker.errors.APIError, requests.exceptions.RequestException) as error:
        raise FleetError(f"The engine did not answer while the fleet was read: {error}.") from error


def _observe(client: docker.APIClient, fleet: str, files: dict[str, File]) -> Observed:
    with ThreadPoolExecutor(WORKERS) as pool:
        summaries_, networks_, volumes_, info_ = (
            pool.submit(client.containers, all=True),
            pool.submit(client.networks),
            pool.submit(client.volumes),
            pool.submit(client.info),
        )
        summaries, networks = summaries_.result(), networks_.result()
        own, others = _split(summaries, fleet)
        own_networks, other_networks = _split(networks, fleet)
        own_volumes, other_volumes = _split(volumes_.result().get("Volumes") or [], fleet)
        return Observed(
            networks={network["Name"]: read_network(network) for network in own_networks},
            volumes={volume["Name"]: read_volume(volume) for volume in own_volumes},
            files=files,
            containers=_containers(client, pool, own, {network["Name"]: network["Id"] for network in networks}),
            foreign_attachments=_attachments(others, {network["Name"] for network in own_networks}),
            foreign_containers=frozenset(_summary_name(summary) for summary in others),
            foreign_networks={network["Name"]: _subnets(network) for network in other_networks},
            foreign_volumes=frozenset(volume["Name"] for volume in other_volumes),
            limits=_limits(info_.result()),
        )


def _split(items: Iterable[dict[str, Any]], fleet: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the items with the fleet's label, and the others."""
    own: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for item in items:
        (own if (item.get("Labels") or {}).get(FLEET_LABEL) == fleet else others).append(item)
    return own, others


def _containers(
    client: docker.APIClient, pool: ThreadPoolExecutor, summaries: list[dict[str, Any]], network_ids: dict[str, str]
) -> dict[str, ObservedContainer]:
    image_ids = sorted({summary["ImageID"] for summary in summaries})
    images = pool.map(
        lambda image: _or_none(lambda: client.inspect_image(image)),  # type: ignore[no-untyped-call]
        image_ids,
    )
    inspected = pool.map(lambda summary: _or_none(lambda: client.inspect_container(summary["Id"])), summaries)
    defaults = {key: ImageDefaults.from_inspect(image or {}) for key, image in zip(image_ids, images, strict=True)}
    found = {}
    for answer in inspected:
        if answer is not None:
            item = read_container(answer, defaults.get(answer["Image"], ImageDefaults()), network_ids)
            found[item.container.name] = item
    return found


def _or_none(request: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    """Return the answer, or None for an object that was removed in the meantime."""
    try:
        return request()
    except docker.errors.NotFound:
        return None


def _attachments(others: list[dict[str, Any]], networks: set[str]) -> dict[str, list[str]]:
    """Return the names of other containers on these networks, by network."""
    found: dict[str, list[str]] = {}
    for summary in others:
        for name in (summary.get("NetworkSettings") or {}).get("Networks") or {}:
            if name in networks:
                found.setdefault(name, []).append(_summary_name(summary))
    return {name: sorted(names) for name, names in sorted(found.items())}


def _summary_name(summary: dict[str, Any]) -> str:
    names: list[str] = summary.get("Names") or [""]
    return next((name[1:] for name in names if "/" not in name[1:]), names[0]).lstrip("/")


def _subnets(network: dict[str, Any]) -> list[str]:
    return [config["Subnet"] for config in (network.get("IPAM") or {}).get("Config") or [] if config.get("Subnet")]


def _limits(info: dict[str, Any]) -> EngineLimits:
    return EngineLimits(
        memory=bool(info.get("MemoryLimit", True)),
        swap=bool(info.get("SwapLimit", True)),
        cpu=bool(info.get("CpuCfsQuota", True)),
        pids=bool(info.get("PidsLimit", True)),
    )
