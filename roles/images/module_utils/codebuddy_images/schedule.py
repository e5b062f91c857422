"""Runs builds in parallel, each as soon as its parent exists; a failed one stops only its descendants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from .images import Image


class BuildError(Exception):
    """An image could not be built; the message contains the reason and the last output of the build."""


@dataclass
class Outcome:
    """The result of a set of builds, by reference."""

    built: list[str] = field(default_factory=list)  # in the order of completion
    failures: dict[str, str] = field(default_factory=dict)  # and the reasons
    skipped: list[str] = field(default_factory=list)  # descendants of failed images


def build_all(images: Sequence[Image], build: Callable[[Image], None], workers: int) -> Outcome:
    """Build images in parallel.

    Args:
        images: to build; a parent that is not among them exists already.
        build: builds one image, in its own thread; raises BuildError.
        workers: the number of builds that run at the same time.
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
                _record(running.pop(future), future, waiting, outcome)
    return outcome


def _record(reference: str, future: Future[None], waiting: dict[str, Image], outcome: Outcome) -> None:
    """Record one finished build; after a failure, drop its waiting descendants."""
    try:
        future.result()
    except BuildError as error:
        outcome.failures[reference] = str(error)
        skipped = [name for name, image in waiting.items() if reference in {one.reference for one in image.lineage()}]
        outcome.skipped.extend(skipped)
        for name in skipped:
            del waiting[name]
    else:
        outcome.built.append(reference)
