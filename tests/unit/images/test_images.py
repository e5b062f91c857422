"""Images are tagged with the hash of their content, and are rebuilt only if it changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils.codebuddy_images.context import File
from ansible.module_utils.codebuddy_images.images import (
    DeclarationError,
    FleetImages,
    Image,
    Project,
    Recipes,
    plan_images,
    to_build,
)


def recipe(**files: str) -> dict[str, File]:
    return {name: File(content.encode()) for name, content in {"Dockerfile": "FROM ${PARENT}", **files}.items()}


RECIPES = Recipes(
    base=recipe(),
    runtime=recipe(requirements="mcp"),
    hub=recipe(program="1"),
    spoke=recipe(program="1", agent="1"),
    proxy=recipe(squid="6"),
    toolchains={"python": recipe(python="3.13"), "rust": recipe(rust="1.85")},
)
PROJECTS = [Project("service", "python"), Project("cli", "rust")]


def plan(recipes: Any = RECIPES, base: str = "debian:trixie-slim", *, projects: Any = PROJECTS) -> FleetImages:
    return plan_images("codebuddy", base, recipes, projects)


def lineage(images: FleetImages) -> dict[str, str]:
    """Every image of the plan, by repository."""
    everything = [part for image in images.wanted.values() for part in image.lineage()]
    return {image.repository: image.reference for image in everything}


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    return {name.removeprefix("codebuddy/") for name in before if before[name] != after[name]}


EVERYTHING = {"base", "runtime", "hub", "toolchain-python", "toolchain-rust", "spoke-python", "spoke-rust"}


def test_the_image_of_the_proxies_is_wanted_if_a_project_has_an_egress() -> None:
    assert plan().proxy is None
    images = plan(projects=[*PROJECTS, Project("shop", "rust", has_egress=True)])
    assert images.proxy is not None
    assert images.proxy.reference in images.wanted
    assert images.users(images.proxy.reference) == ["proxies"]
    assert set(lineage(images)) - set(lineage(plan())) == {"codebuddy/proxy"}
    assert images.users(images.proxy.parent_reference) == ["hub", "proxies", "service", "cli", "shop"]


def test_the_same_recipes_give_the_same_references() -> None:
    assert lineage(plan()) == lineage(plan())
    assert {name.removeprefix("codebuddy/") for name in lineage(plan())} == EVERYTHING


@pytest.mark.parametrize(
    ("part", "replacement", "rebuilt"),
    [
        ("base", recipe(certificate="new"), EVERYTHING),
        ("runtime", recipe(requirements="mcp 2"), EVERYTHING - {"base"}),
        ("hub", recipe(program="2"), {"hub"}),
        ("spoke", recipe(program="2", agent="1"), {"spoke-python", "spoke-rust"}),
        (
            "toolchains",
            {**RECIPES.toolchains, "rust": recipe(rust="1.86")},
            {"toolchain-rust", "spoke-rust"},
        ),
    ],
)
def test_a_changed_recipe_changes_the_tags_of_its_image_and_the_descendants_only(
    part: str, replacement: Any, rebuilt: set[str]
) -> None:
    after = plan(replace(RECIPES, **{part: replacement}))
    assert changed(lineage(plan()), lineage(after)) == rebuilt


def test_another_base_changes_every_tag() -> None:
    assert changed(lineage(plan()), lineage(plan(base="debian:bookworm-slim"))) == EVERYTHING


def test_projects_with_equal_declarations_share_an_image_and_others_do_not() -> None:
    images = plan(
        projects=[
            Project("a", "python"),
            Project("b", "python"),
            Project("c", "python", packages=["libpq-dev", "gcc"]),
            Project("d", "python", packages=["gcc", "libpq-dev", "gcc"]),
            Project("e", "python", base_image="mine:1"),
        ]
    ).projects
    assert images["a"].reference == images["b"].reference
    assert images["c"].reference == images["d"].reference, "order and repetition of packages do not count"
    assert len({images[name].reference for name in "ace"}) == 3


def test_projects_of_a_profile_share_the_toolchain_below_their_packages() -> None:
    images = plan(projects=[Project("a", "python"), Project("b", "python", packages=["gcc"])]).projects
    assert images["a"].parent_reference == images["b"].parent_reference


def test_the_base_image_of_one_project_does_not_change_the_others() -> None:
    images = plan(projects=[Project("a", "python"), Project("b", "python", base_image="mine:1")])
    assert [image.parent for image in images.projects["b"].lineage()][-1] == "mine:1"
    assert [image.parent for image in images.projects["a"].lineage()][-1] == "debian:trixie-slim"
    assert [image.parent for image in images.hub.lineage()][-1] == "debian:trixie-slim"


@pytest.mark.parametrize("name", ["-o=Dir::Etc=/x", "--allow-unauthenticated", "a b", "$(id)", "x;y", "../x", "", "A"])
def test_a_package_name_cannot_be_an_option_or_a_command(name: str) -> None:
    with pytest.raises(DeclarationError, match=r"Host a: .* is not a package name"):
        plan(projects=[Project("a", "python", packages=["gcc", name])])


@pytest.mark.parametrize("name", ["gcc", "libstdc++-14-dev", "libc6:arm64", "git=1:2.47.3-0+deb13u1", "python3.13"])
def test_package_names_in_apts_notation_are_accepted(name: str) -> None:
    assert plan(projects=[Project("a", "python", packages=[name])]).projects["a"].arguments == {"PACKAGES": name}


@pytest.mark.parametrize("profile", ["cobol", None])
def test_an_unknown_profile_is_refused_with_the_host_and_the_known_ones(profile: str | None) -> None:
    with pytest.raises(DeclarationError, match=r"Host a: there is no profile .*; put it in one of python, rust\."):
        plan(projects=[Project("a", profile)])


def test_the_users_of_an_image_are_known() -> None:
    images = plan()
    known = lineage(images)
    assert images.users(known["codebuddy/base"]) == ["hub", "service", "cli"]
    assert images.users(known["codebuddy/toolchain-rust"]) == ["cli"]
    assert images.users(known["codebuddy/hub"]) == ["hub"]


def test_every_image_is_listed_once_and_after_its_parent() -> None:
    order = [image.reference for image in to_build(plan().wanted.values(), present=set())]
    assert len(order) == len(set(order)) == len(EVERYTHING)
    for image in to_build(plan().wanted.values(), present=set()):
        if isinstance(image.parent, Image):
            assert order.index(image.parent_reference) < order.index(image.reference)


def test_nothing_is_built_if_all_wanted_images_exist_even_if_intermediate_ones_are_missing() -> None:
    images = plan()
    assert to_build(images.wanted.values(), present=set(images.wanted)) == []


def test_only_images_between_a_missing_and_an_existing_one_are_built() -> None:
    images = plan()
    known = lineage(images)
    present = {known["codebuddy/runtime"], known["codebuddy/hub"], known["codebuddy/spoke-rust"]}
    missing = [image.repository for image in to_build(images.wanted.values(), present)]
    assert missing == ["codebuddy/toolchain-python", "codebuddy/spoke-python"]
