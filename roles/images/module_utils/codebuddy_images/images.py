"""What images a fleet needs, each named by the hash of all that it is made of. Pure: no engine, no file system."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from .context import Context, digest

__all__ = ["DeclarationError", "FleetImages", "Image", "Project", "Recipes", "plan_images", "to_build"]

#: Raise it when images have to be rebuilt though no recipe changed.
FORMAT = 1
TAG_LENGTH = 16
PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?(=[A-Za-z0-9.+:~-]+)?")


class DeclarationError(Exception):
    """A project asks for an image that cannot be described; the message is one sentence that says what to do."""


@dataclass(frozen=True, eq=False)
class Image:
    """One image: a recipe and its context on top of a parent.

    Args:
        repository: name without tag, e.g. ``codebuddy/spoke-python``.
        parent: the image it stands on, or the reference of one that is not ours, e.g. ``debian:trixie-slim``.
        context: files of the build, among them ``Dockerfile``.
        arguments: build arguments that change the result.
    """

    repository: str
    parent: Image | str
    context: Context = field(repr=False)
    arguments: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def spec(self) -> str:
        """Give the content hash in hex: over recipe, context, arguments and, through the parent's hash, all below."""
        parent = self.parent if isinstance(self.parent, str) else self.parent.spec
        stated = [FORMAT, parent, sorted(self.arguments.items()), digest(self.context)]
        return hashlib.sha256(json.dumps(stated).encode()).hexdigest()

    @property
    def reference(self) -> str:
        """Give name and tag; the tag is the beginning of the content hash."""
        return f"{self.repository}:{self.spec[:TAG_LENGTH]}"

    @property
    def parent_reference(self) -> str:
        """Give name and tag of what it stands on."""
        return self.parent if isinstance(self.parent, str) else self.parent.reference

    def lineage(self) -> Iterator[Image]:
        """Give the image itself and all of ours that it stands on, nearest first."""
        yield self
        if isinstance(self.parent, Image):
            yield from self.parent.lineage()


@dataclass(frozen=True)
class Recipes:
    """The contexts of all recipes, whole: a ``Dockerfile`` each and every file that it copies.

    Args:
        base: distribution and CA certificates.
        runtime: Python and the libraries of hub and agent.
        hub: the hub's program on the runtime.
        spoke: a project's packages and the agent's program on a toolchain.
        proxy: what lets a project with an egress out, on the base.
        toolchains: by profile, compilers and language servers on the runtime.
    """

    base: Context
    runtime: Context
    hub: Context
    spoke: Context
    proxy: Context
    toolchains: Mapping[str, Context]


@dataclass(frozen=True)
class Project:
    """What a project declares about its image."""

    id: str
    profile: str | None
    base_image: str | None = None
    packages: Sequence[str] = ()
    has_egress: bool = False


@dataclass(frozen=True)
class FleetImages:
    """The hub's image and each project's, by id; projects that declare the same share one.

    The proxy's is None where no project has an egress.
    """

    hub: Image
    projects: Mapping[str, Image]
    proxy: Image | None = None

    @property
    def wanted(self) -> dict[str, Image]:
        """Give the images that containers run, by reference."""
        return {image.reference: image for image in self._by_user().values()}

    def users(self, reference: str) -> list[str]:
        """Give whose images are, or stand on, the one of this reference: ``hub``, ``proxies``, ids of projects."""
        everyone = self._by_user().items()
        return [name for name, image in everyone if reference in {one.reference for one in image.lineage()}]

    def _by_user(self) -> dict[str, Image]:
        proxy = {} if self.proxy is None else {"proxies": self.proxy}
        return {"hub": self.hub, **proxy, **self.projects}


def plan_images(namespace: str, base: str, recipes: Recipes, projects: Sequence[Project]) -> FleetImages:
    """Compute every image that the fleet needs.

    Args:
        namespace: first part of every repository, e.g. ``codebuddy``.
        base: reference of the distribution image for all that declare none of their own.
        recipes: what images are made of.
        projects: the declared projects.

    Raises:
        DeclarationError: an unknown profile or a value that is no package name.
    """

    def foundation(distribution: str) -> Image:
        return Image(f"{namespace}/base", distribution, recipes.base)

    def runtime(distribution: str) -> Image:
        return Image(f"{namespace}/runtime", foundation(distribution), recipes.runtime)

    def spoke(project: Project) -> Image:
        profile = _known_profile(project, recipes)
        toolchain = Image(
            f"{namespace}/toolchain-{profile}", runtime(project.base_image or base), recipes.toolchains[profile]
        )
        arguments = {"PACKAGES": " ".join(_checked_packages(project))}
        return Image(f"{namespace}/spoke-{profile}", toolchain, recipes.spoke, arguments)

    hub = Image(f"{namespace}/hub", runtime(base), recipes.hub)
    has_egress = any(project.has_egress for project in projects)
    proxy = Image(f"{namespace}/proxy", foundation(base), recipes.proxy) if has_egress else None
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
                f"Host {project.id}: {name!r} in packages is no package name; write one that apt knows, e.g. libpq-dev."
            )
    return sorted(set(project.packages))


def to_build(wanted: Collection[Image], present: Collection[str]) -> list[Image]:
    """Give what has to be built for the wanted images to exist, each after all that it stands on.

    An image that is present needs nothing below it, so a lost intermediate image is not rebuilt for its own sake.

    Args:
        wanted: images that must exist.
        present: references that the engine has.
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
