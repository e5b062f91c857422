"""Runs builds side by side, each as soon as what it stands on is there; one that fails stops only what stands on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from .images import Image

__all__ = ["BuildError", "Outcome", "build_all"]


class BuildError(Exception):
    """An image could not be built; the message says which, why, and what its build said last."""


@dataclass
class Outcome:
    """What became of a set of builds.

    Args:
        built: references, in the order in which they were done.
        failures: why an image could not be built, by reference.
        left: references of images that were not tried, because they stand on one that failed.
    """

    built: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


def build_all(images: Sequence[Image], build: Callable[[Image], None], workers: int) -> Outcome:
    """Build images in parallel.

    Args:
        images: what to build; a parent that is not among them exists already.
        build: builds one image, called in a thread of its own; raises BuildError.
        workers: how many builds run at once.
    """
    outcome = Outcome()
    waiting = {image.reference: image for image in images}
    running: dict[Future[None], str] = {}
    with ThreadPoolExecutor(max_workers=workers) as pool:
        while waiting or running:
            unfinished = {*waiting, *running.values()}
            for reference, image in list(waiting.items()):
                if image.parent_reference not in unfinished:
                    running[pool.submit(build, waiting.pop(reference))] = reference
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                _settle(running.pop(future), future, waiting, outcome)
    return outcome


def _settle(reference: str, future: Future[None], waiting: dict[str, Image], outcome: Outcome) -> None:
    """Record one finished build; after a failure, drop every waiting image that stands on it."""
    try:
        future.result()
    except BuildError as error:
        outcome.failures[reference] = str(error)
        lost = [name for name, image in waiting.items() if reference in {part.reference for part in image.lineage()}]
        outcome.left.extend(lost)
        for name in lost:
            del waiting[name]
    else:
        outcome.built.append(reference)
