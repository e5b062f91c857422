"""The watch over a project's files: changes by commands in the spoke, or by an editor on the host."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Literal

from watchfiles._rust_notify import RustNotify

from codebuddy.language.tree import IGNORED_DIRECTORIES, Stamp, Tree

__all__ = ["Watcher"]

log = logging.getLogger(__name__)

_STEP_MS: Final = 50  # each step is a wake-up, also when nothing happens: 2 ms of CPU a second
_DEBOUNCE_MS: Final = 400
_MAX_EXPANDED: Final = 2000


class Watcher:
    """Tells of changed files, those that tools generate left out.

    Without inotify (instances and watches are limited per user, over all containers and the desktop) it compares the
    files' stamps every few seconds.

    Args:
        tree: the project.
        changed: told the paths that changed, each batch once.
        poll_seconds: the time between two looks when polling.
    """

    def __init__(self, tree: Tree, changed: Callable[[set[Path]], Awaitable[None]], poll_seconds: float = 3.0) -> None:
        self._tree = tree
        self._changed = changed
        self._poll_seconds = poll_seconds
        self.mode: Literal["inotify", "polling", "off"] = "off"
        self.reason: str | None = None

    async def run(self) -> None:
        """Watch until cancelled."""
        stop = threading.Event()
        try:
            # Setting up walks the whole tree, and waiting blocks: both in a thread.
            notify = await asyncio.to_thread(RustNotify, [str(self._tree.root)], False, False, 0, True, True)
            self.mode = "inotify"
            while True:
                batch = await asyncio.to_thread(notify.watch, _DEBOUNCE_MS, _STEP_MS, 0, stop)
                if isinstance(batch, set):
                    await self._tell({Path(name) for _, name in batch})
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic in the Rust part is no Exception
            # The watch is a help, not a condition: nothing that happens among the files may end the agent.
            log.exception("the watch over the files failed")
            self.reason = f"watching fell back to polling: {type(error).__name__}: {error}"
        finally:
            stop.set()
            self.mode = "off"
        await self._poll()

    async def _tell(self, paths: set[Path]) -> None:
        root = self._tree.root
        kept = {path for path in paths if path != root and path.is_relative_to(root)}
        kept = {path for path in kept if not IGNORED_DIRECTORIES.intersection(path.relative_to(root).parts)}
        if kept:
            await self._changed(self._expanded(kept))

    def _expanded(self, paths: set[Path]) -> set[Path]:
        """Add the files of new directories: a directory that appears is told of as one path."""
        expanded = set(paths)
        for path in paths:
            if not os.path.islink(path) and os.path.isdir(path):
                for file in self._tree.files(lambda _: True, path):
                    if len(expanded) >= _MAX_EXPANDED:
                        return expanded
                    expanded.add(file)
        return expanded

    async def _poll(self) -> None:
        self.mode = "polling"
        known = await asyncio.to_thread(self._stamps)
        while True:
            await asyncio.sleep(self._poll_seconds)
            present = await asyncio.to_thread(self._stamps)
            if changed := {path for path, _ in known.items() ^ present.items()}:
                try:
                    await self._changed(changed)
                except Exception:
                    log.exception("changes could not be told")
            known = present

    def _stamps(self) -> dict[Path, Stamp]:
        stamps = ((path, self._tree.stamp(path)) for path in self._tree.files(lambda _: True))
        return {path: stamp for path, stamp in stamps if stamp is not None}
