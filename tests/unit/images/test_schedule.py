"""Builds run in parallel, each after its parent; a failed one stops only its descendants."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from ansible.module_utils.codebuddy_images.context import File
from ansible.module_utils.codebuddy_images.engine import suite_of
from ansible.module_utils.codebuddy_images.images import Image
from ansible.module_utils.codebuddy_images.schedule import BuildError, build_all

RECIPE = {"Dockerfile": File(b"FROM ${PARENT}")}
BASE = Image("base", "debian:trixie-slim", RECIPE)
TOOLS, HUB = Image("tools", BASE, RECIPE), Image("hub", BASE, RECIPE)
SPOKE = Image("spoke", TOOLS, RECIPE)
ALL = [BASE, TOOLS, HUB, SPOKE]


class Builds:
    """Records builds; fails those of the given repositories."""

    def __init__(self, *failing: str) -> None:
        self.failing = failing
        self.begun: list[str] = []

    def __call__(self, image: Any) -> None:
        self.begun.append(image.repository)
        if image.repository in self.failing:
            raise BuildError(f"{image.repository} broke.")


def test_every_image_is_built_after_its_parent() -> None:
    builds = Builds()
    outcome = build_all(ALL, builds, workers=3)
    assert sorted(outcome.built) == sorted(image.reference for image in ALL)
    assert outcome.failures == {}
    assert builds.begun[0] == "base"
    assert builds.begun.index("tools") < builds.begun.index("spoke")


def test_independent_images_are_built_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=10)

    def build(image: Any) -> None:
        if image.repository in ("tools", "hub"):
            both.wait()  # fails, and with it the build, unless both run at the same time

    assert len(build_all(ALL, build, workers=2).built) == 4


def test_a_failed_build_stops_only_its_descendants_and_is_reported() -> None:
    builds = Builds("tools")
    outcome = build_all(ALL, builds, workers=2)
    assert sorted(builds.begun) == ["base", "hub", "tools"]
    assert outcome.built == [BASE.reference, HUB.reference]
    assert outcome.failures == {TOOLS.reference: "tools broke."}
    assert outcome.skipped == [SPOKE.reference]


def test_a_failure_of_the_base_image_leaves_no_build_waiting() -> None:
    outcome = build_all(ALL, Builds("base"), workers=2)
    assert outcome.built == []
    assert outcome.failures == {BASE.reference: "base broke."}
    assert len(outcome.skipped) == 3


def test_a_parent_that_is_not_among_the_builds_exists_already() -> None:
    assert build_all([SPOKE], Builds(), workers=1).built == [SPOKE.reference]


@pytest.mark.parametrize(
    ("reference", "suite"),
    [
        ("debian:trixie-slim", "trixie"),
        ("debian:bookworm", "bookworm"),
        ("debian:13", None),
        ("debian", None),
        ("ubuntu:noble", None),
        ("example.com/debian:trixie", None),
        ("debian@sha256:0123", None),
    ],
)
def test_only_a_suite_of_debian_can_be_built_from_packages(reference: str, suite: str | None) -> None:
    assert suite_of(reference) == suite
