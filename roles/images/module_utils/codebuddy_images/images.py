"""The images that a fleet needs, each tagged with the hash of its content. Pure: no engine, no file system."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from .context import Context, digest

#: Increase it to rebuild all images although no recipe changed.
FORMAT = 1
TAG_LENGTH = 16
PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?(=[A-Za-z0-9.+:~-]+)?")


class DeclarationError(Exception):
    """A project declares an image that cannot be built; the message says what to do."""


@dataclass(frozen=True, eq=False)
class Image:
    """One image: a build context on top of a parent."""

    repository: str  # the name without the tag, such as ``codebuddy/spoke-python``
    parent: Image | str  # or the reference of an image that is not ours, such as ``debian:trixie-slim``
    context: Context = field(repr=False)  # with a ``Dockerfile``
    arguments: Mapping[str, str] = field(default_factory=dict)  # build arguments that change the result

    @cached_property
    def spec(self) -> str:
        """The SHA-256 (hex) of context, arguments and, through the parent's hash, all ancestors."""
        parent = self.parent if isinstance(self.parent, str) else self.parent.spec
        stated = [FORMAT, parent, sorted(self.arguments.items()), digest(self.context)]
        return hashlib.sha256(json.dumps(stated).encode()).hexdigest()

    @property
    def reference(self) -> str:
        """Name and tag; the tag is the beginning of the content hash."""
        return f"{self.repository}:{self.spec[:TAG_LENGTH]}"

    @property
    def parent_reference(self) -> str:
        return self.parent if isinstance(self.parent, str) else self.parent.reference

    def lineage(self) -> Iterator[Image]:
        """Yield the image itself and its ancestors that are ours, nearest first."""
        yield self
        if isinstance(self.parent, Image):
            yield from self.parent.lineage()


@dataclass(frozen=True)
class Recipes:
    """The complete contexts of all recipes: a ``Dockerfile`` each, and every file that it copies."""

    base: Context  # distribution and CA certificates
    runtime: Context  # Python and the libraries of hub and agent, on the base
    hub: Context  # the hub's program, on the runtime
    spoke: Context  # a project's packages and the agent's program, on a toolchain
    proxy: Context  # the proxy of a project with an egress, on the base
    toolchains: Mapping[str, Context]  # by profile: compilers and language servers, on the runtime


@dataclass(frozen=True)
class Project:
    """The part of a project's declaration that its image depends on."""

    id: str
    profile: str | None
    base_image: str | None = None
    packages: Sequence[str] = ()
    has_egress: bool = False


@dataclass(frozen=True)
class FleetImages:
    """The images of a fleet."""

    hub: Image
    projects: Mapping[str, Image]  # by id; projects with equal declarations share one
    proxy: Image | None = None  # None if no project has an egress

    @property
    def wanted(self) -> dict[str, Image]:
        """The images that containers run, by reference."""
        return {image.reference: image for image in self._by_user().values()}

    def users(self, reference: str) -> list[str]:
        """Return whose images are, or descend from, the one of this reference: ``hub``, ``proxies``, project ids."""
        everyone = self._by_user().items()
        return [name for name, image in everyone if reference in {one.reference for one in image.lineage()}]

    def _by_user(self) -> dict[str, Image]:
        proxy = {} if self.proxy is None else {"proxies": self.proxy}
        return {"hub": self.hub, **proxy, **self.projects}


def plan_images(namespace: str, base: str, recipes: Recipes, projects: Sequence[Project]) -> FleetImages:
    """Compute every image that the fleet needs.

    Args:
        namespace: the first part of every repository, such as ``codebuddy``.
        base: the reference of the distribution image for all projects that declare none.
        recipes: the contexts.
        projects: the declared projects.

    Raises:
        DeclarationError: an unknown profile, or an invalid package name.
    """

    def base_image(distribution: str) -> Image:
        return Image(f"{namespace}/base", distribution, recipes.base)

    def runtime(distribution: str) -> Image:
        return Image(f"{namespace}/runtime", base_image(distribution), recipes.runtime)

    def spoke(project: Project) -> Image:
        profile = _known_profile(project, recipes)
        toolchain = Image(
            f"{namespace}/toolchain-{profile}", runtime(project.base_image or base), recipes.toolchains[profile]
        )
        arguments = {"PACKAGES": " ".join(_checked_packages(project))}
        return Image(f"{namespace}/spoke-{profile}", toolchain, recipes.spoke, arguments)

    hub = Image(f"{namespace}/hub", runtime(base), recipes.hub)
    has_egress = any(project.has_egress for project in projects)
    proxy = Image(f"{namespace}/proxy", base_image(base), recipes.proxy) if has_egress else None
    return FleetImages(hub, {project.id: spoke(project) for project in projects}, proxy)


def _known_profile(project: Project, recipes: Recipes) -> str:
    if project.profile is None or project.profile not in recipes.toolchains:
        known = ", ".join(sorted(recipes.toolchains))
        raise DeclarationError(f"Host {project.id}: there is no profile {project.profile!r}; put it in one of {known}.")
    return project.profile


def _checked_packages(project: Project) -> list[str]:
    for name in project.packages:
        if not PACKAGE.fullmatch(name):
            raise DeclarationError(
                f"Host {project.id}: {name!r} in packages is not a package name; write one as for apt, like libpq-dev."
            )
    return sorted(set(project.packages))


def to_build(wanted: Collection[Image], present: Collection[str]) -> list[Image]:
    """Return the images that must be built for the wanted ones to exist, each after its ancestors.

    An existing image does not need its ancestors, so a missing intermediate image is not rebuilt for its own sake.

    Args:
        wanted: the images that must exist.
        present: the references that the engine has.
    """
    ordered: dict[str, Image] = {}
    for image in wanted:
        chain = []
        for ancestor in image.lineage():
            if ancestor.reference in present:
                break
            chain.append(ancestor)
        for ancestor in reversed(chain):
            ordered.setdefault(ancestor.reference, ancestor)
    return list(ordered.values())
