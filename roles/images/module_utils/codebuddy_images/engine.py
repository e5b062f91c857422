"""Lists and builds images on an engine, and provides their base image."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterable
from typing import Any

from ansible.module_utils.codebuddy_engine.client import connect
from docker import APIClient
from docker.errors import APIError, DockerException
from requests.exceptions import RequestException

from .context import to_tar
from .images import Image
from .schedule import BuildError

LAST_LINES = 20
CHATTER = (" --->", "Removing intermediate container")
BOOTSTRAP = "mmdebstrap"
#: What Debian's own slim images omit, below /usr/share; no program needs it.
OMITTED = ("doc/*", "groff/*", "info/*", "linda/*", "lintian/*", "locale/*", "man/*")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


class BaseUnavailable(Exception):
    """A base image can neither be pulled nor built from packages; the message says what to do."""


def suite_of(reference: str) -> str | None:
    """Return the Debian suite in the reference of an official image, such as ``trixie``, or None."""
    name, _, tag = reference.partition(":")
    suite = tag.removesuffix("-slim")
    return suite if name in ("debian", "docker.io/library/debian") and suite.isalpha() else None


class Builder:
    """Builds images on one engine. Thread-safe: each call has its own connection.

    Args:
        docker_host: the engine's address.
        namespace: the first part of the names of our repositories.
        pull_timeout: seconds without data from the registry after which it counts as unreachable.
        build_timeout: seconds without output after which a build counts as stuck.
    """

    def __init__(self, docker_host: str, namespace: str, pull_timeout: int, build_timeout: int) -> None:
        self._docker_host = docker_host
        self._namespace = namespace
        self._pull_timeout = pull_timeout
        self._build_timeout = build_timeout
        self.bootstrap_missing = False  # a base image must be built from packages, and the program is not installed

    def present(self) -> set[str]:
        """Return the references of all images that the engine has.

        Raises:
            DockerException, RequestException: the engine does not answer.
        """
        with connect(self._docker_host) as client:
            return {tag for image in client.images() for tag in image.get("RepoTags") or ()}

    def ensure_base(self, reference: str) -> str:
        """Provide a declared base image (it exists, is pulled, or is built from packages); return its reference there.

        Raises:
            BaseUnavailable: there is no way to get it.
        """
        suite = suite_of(reference)
        bootstrapped = f"{self._namespace}/bootstrap:{suite}"
        with connect(self._docker_host, self._pull_timeout) as client:
            for known in (reference, bootstrapped):
                if _has(client, known):
                    return known
            reason = _pull(client, reference)
        if reason is None:
            return reference
        if suite is None:
            raise BaseUnavailable(
                f"The base image {reference} cannot be pulled ({reason}); load it with `docker load`, "
                "or declare one that the engine can reach."
            )
        self._bootstrap(suite, bootstrapped, reason)
        return bootstrapped

    def _bootstrap(self, suite: str, reference: str, reason: str) -> None:
        if shutil.which(BOOTSTRAP) is None:
            self.bootstrap_missing = True
            raise BaseUnavailable(
                f"The base image debian:{suite} cannot be pulled ({reason}) and {BOOTSTRAP}, which could make it from "
                f"packages, is not installed; install {BOOTSTRAP}, or load the image with `docker load`."
            )
        with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
            excluded = [f"--dpkgopt=path-exclude=/usr/share/{part}" for part in OMITTED]
            command = [BOOTSTRAP, "--variant=minbase", *excluded, "--dpkgopt=path-include=/usr/share/doc/*/copyright"]
            made = subprocess.run([*command, suite, archive.name], capture_output=True, text=True, check=False)
            if made.returncode != 0:
                output = "\n".join(made.stderr.splitlines()[-LAST_LINES:])
                raise BaseUnavailable(f"{BOOTSTRAP} could not make Debian {suite}. Its last output:\n{output}")
            with connect(self._docker_host, self._build_timeout) as client:
                repository, _, tag = reference.partition(":")
                client.import_image_from_file(archive.name, repository=repository, tag=tag, changes=['CMD ["bash"]'])

    def build(self, image: Image) -> None:
        """Build one image. A parent that is one of ours must exist.

        Raises:
            BuildError: with the last lines of the build's output.
        """
        output: deque[str] = deque(maxlen=LAST_LINES)
        try:
            parent = self.ensure_base(image.parent) if isinstance(image.parent, str) else image.parent.reference
            with connect(self._docker_host, self._build_timeout) as client:
                _follow(self._start_build(client, image, parent), output)
        except BaseUnavailable as error:
            raise BuildError(f"the image {image.reference} could not be built: {error}") from error
        except (BuildError, DockerException, RequestException) as error:
            lines = "\n".join(("", *output)) if output else " none."
            raise BuildError(
                f"the image {image.reference} could not be built: {error} Its last output:{lines}"
            ) from error

    def _start_build(self, client: APIClient, image: Image, parent: str) -> Iterable[dict[str, Any]]:
        proxies = {name: os.environ[name] for name in PROXY_VARIABLES if name in os.environ}
        built: Iterable[dict[str, Any]] = client.build(
            fileobj=io.BytesIO(to_tar(image.context)),
            custom_context=True,
            tag=image.reference,
            buildargs={**proxies, **image.arguments, "PARENT": parent},
            rm=True,
            forcerm=True,
            decode=True,
        )
        return built


def _has(client: APIClient, reference: str) -> bool:
    try:
        client.inspect_image(reference)  # type: ignore[no-untyped-call]  # the stubs leave it bare
    except APIError:  # missing, or not a valid reference: pulling tells which
        return False
    return True


def _pull(client: APIClient, reference: str) -> str | None:
    """Pull an image; return None, or why it failed. The client's timeout applies if the registry sends nothing."""
    try:
        for event in client.pull(reference, stream=True, decode=True):
            if "error" in event:
                return str(event["error"])
    except APIError as error:
        return str(error.explanation or error)
    except (RequestException, DockerException) as error:
        return f"no answer: {type(error).__name__}"
    return None


def _follow(events: Iterable[dict[str, Any]], output: deque[str]) -> None:
    """Read a build's events to their end, and keep its last output.

    Raises:
        BuildError: the build failed.
    """
    for event in events:
        if "error" in event:
            code = event.get("errorDetail", {}).get("code")
            raise BuildError(f"a step ended with exit code {code}." if code else f"{str(event['error']).rstrip('.')}.")
        lines = _COLOURS.sub("", str(event.get("stream", ""))).splitlines()
        output.extend(line for line in lines if line.strip() and not line.startswith(CHATTER))
