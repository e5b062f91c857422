"""Makes the changes on the engine, in parallel; a failure stops only what depends on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import docker.errors
import requests.exceptions

from .differ import Change, Observed
from .engine import WORKERS
from .engine_errors import explain
from .engine_requests import container_body, endpoint, labels, network_body
from .files import remove_file, write_file
from .plan import Container, Plan

_REMOVING = ("recreate", "remove")
_CREATING = ("create", "recreate")


class Executor:
    """Applies changes to one engine.

    Order: containers are removed (stopped with their grace period), foreign containers are disconnected, networks,
    volumes and files are removed; then networks, volumes and files are created, the hub, and all spokes together.
    """

    def __init__(self, client: docker.APIClient, plan: Plan, observed: Observed, state_dir: Path) -> None:
        self._client = client
        self._plan = plan
        self._observed = observed
        self._state_dir = state_dir
        self._failures: list[str] = []

    def apply(self, todo: list[Change]) -> list[str]:
        """Make all changes; return one sentence for each that failed."""

        def of(kind: str, *actions: str) -> list[Change]:
            return [change for change in todo if change.kind == kind and change.action in actions]

        with ThreadPoolExecutor(WORKERS) as pool:
            self._all(pool, of("container", *_REMOVING), self._remove_container)
            self._all(pool, of("network", "disconnect"), self._disconnect)
            self._all(pool, of("network", *_REMOVING), lambda change: self._client.remove_network(change.name))
            self._all(pool, of("volume", "remove"), lambda change: self._client.remove_volume(change.name))
            self._all(pool, of("file", "remove"), lambda change: remove_file(Path(change.name)))
            self._all(pool, of("network", *_CREATING), self._create_network)
            self._all(pool, of("volume", "create"), self._create_volume)
            self._all(
                pool, of("file", "write"), lambda change: write_file(self._state_dir, self._plan.files[change.name])
            )
            starting = of("container", *_CREATING, "start", "unpause")
            hub = [change for change in starting if self._plan.containers[change.name].project == ""]
            self._all(pool, hub, self._start)
            self._all(pool, [change for change in starting if change not in hub], self._start)
        return self._failures

    def _all(self, pool: ThreadPoolExecutor, todo: Iterable[Change], do: Callable[[Change], None]) -> None:
        def guarded(change: Change) -> None:
            subject = f"{change.kind.capitalize()} {change.name}"
            try:
                do(change)
            except docker.errors.NotFound as error:
                # A removal has reached its aim already; any other change needs what is missing.
                if change.action not in ("remove", "disconnect"):
                    self._failures.append(explain(subject, str(error.explanation or error)))
            except docker.errors.APIError as error:
                self._failures.append(explain(subject, str(error.explanation or error)))
            except requests.exceptions.RequestException as error:
                self._failures.append(f"{subject}: the engine did not answer in time: {error}.")
            except OSError as error:
                self._failures.append(f"{subject}: it cannot be changed: {error.strerror or error} ({error.filename}).")

        list(pool.map(guarded, todo))

    def _remove_container(self, change: Change) -> None:
        found = self._observed.containers[change.name]
        try:
            if found.state in ("running", "restarting"):
                self._client.stop(found.id)  # with the grace period that the container itself declares
            self._client.remove_container(found.id, v=True, force=True)
        except docker.errors.NotFound:
            pass

    def _disconnect(self, change: Change) -> None:
        for container in change.before["other_containers"]:
            self._client.disconnect_container_from_network(container, change.name, force=True)

    def _create_network(self, change: Change) -> None:
        self._client.create_network(**network_body(self._plan.networks[change.name]))

    def _create_volume(self, change: Change) -> None:
        volume = self._plan.volumes[change.name]
        self._client.create_volume(volume.name, driver=volume.driver, driver_opts=volume.options, labels=labels(volume))

    def _start(self, change: Change) -> None:
        name = change.name
        if change.action == "unpause":
            self._client.unpause(name)
            return
        if change.action in _CREATING:
            self._create_container(self._plan.containers[name])
        self._client.start(name)

    def _create_container(self, container: Container) -> None:
        body = container_body(container)
        created = self._client.create_container_from_config(body, container.name)  # type: ignore[no-untyped-call]
        try:
            for network, settings in container.networks.items():
                if network != container.name:
                    joined = endpoint(settings)
                    self._client.connect_container_to_network(
                        created["Id"],
                        network,
                        ipv4_address=joined["IPAMConfig"]["IPv4Address"],
                        aliases=joined["Aliases"],
                    )
        except docker.errors.APIError:
            # A container without all its networks could be started by someone before the next run repairs it.
            self._client.remove_container(created["Id"], force=True, v=True)
            raise


def missing_images(client: docker.APIClient, references: Iterable[str]) -> list[str]:
    """Return the images that the engine does not have, sorted."""

    def missing(reference: str) -> bool:
        try:
            client.inspect_image(reference)  # type: ignore[no-untyped-call]
        except docker.errors.NotFound:
            return True
        return False

    return [reference for reference in sorted(references) if missing(reference)]
