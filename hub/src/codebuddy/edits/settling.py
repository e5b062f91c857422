"""What can wait until an edit is applied: removing what it replaced, and syncing directories."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace

from codebuddy.edits import disk
from codebuddy.edits.journal import Journal
from codebuddy.edits.steps import Step

__all__ = ["Settler"]

_SECONDS = 0.05
_MAX_DIRECTORIES = 1024

log = logging.getLogger(__name__)


class Settler:
    """Syncs the directories of edits a moment after they were committed, many at once.

    An edit of several steps is durable before: its content and its record are on the disk, and recovery does again what
    a power cut undid. One of a single rename is whole or absent by itself; its record is synced here.

    Args:
        journal: is told which edits are settled.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._guard = threading.Lock()
        self._settling = threading.Lock()  # who comes second waits, as what the first took is not settled yet
        self._directories: dict[tuple[int, int], int] = {}
        self._edits: list[str] = []
        self._timer: threading.Timer | None = None
        self._tidier = ThreadPoolExecutor(1, "tidy")
        self._tidying: dict[str, Future[None]] = {}

    def tidy(self, edit: str, step: Step) -> None:
        """Have what a single step replaced removed at once, while the caller goes on; then have the edit settled.

        To free the room of a file takes as long as to write one.
        """
        fd = os.dup(step.spot.fd)
        step.spot = replace(step.spot, fd=fd)

        def work() -> None:
            try:
                step.finish()
                self.add(edit, [fd])
            except OSError:
                log.exception("what edit %s replaced could not be removed; the hub tries again when it starts", edit)
            finally:
                os.close(fd)

        future = self._tidier.submit(work)
        self._tidying[edit] = future
        future.add_done_callback(lambda _: self._tidying.pop(edit, None))

    def wait_until_tidy(self, edit: str | None = None) -> None:
        """Wait until what an edit replaced is removed; without one, until nothing is being removed."""
        wait([future for name, future in list(self._tidying.items()) if edit in (None, name)])

    def add(self, edit: str, directories: Iterable[int]) -> None:
        """Have an edit settled soon; the descriptors of the directories may be closed after this."""
        with self._guard:
            for fd in directories:
                status = os.fstat(fd)
                key = (status.st_dev, status.st_ino)
                if key not in self._directories:
                    self._directories[key] = os.dup(fd)
            self._edits.append(edit)
            if self._timer is None:
                self._timer = threading.Timer(_SECONDS, self.settle)
                self._timer.daemon = True
                self._timer.start()
            is_full = len(self._directories) > _MAX_DIRECTORIES
        if is_full:
            self.settle()

    def settle(self) -> None:
        """Settle all that waits for it."""
        with self._settling:
            self._settle()

    def _settle(self) -> None:
        with self._guard:
            edits, self._edits = self._edits, []
            directories, self._directories = self._directories, {}
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        try:
            self._journal.sync()
            for fd in directories.values():
                disk.sync(fd)
            if edits:
                self._journal.write("settled", edits[-1], None, b"", {"edits": edits})
        except OSError:
            log.exception("edits could not be settled; they will be looked at again when the hub starts")
        finally:
            for fd in directories.values():
                os.close(fd)

    def close(self) -> None:
        """Settle what waits, and no more after this."""
        self._tidier.shutdown()
        self.settle()
