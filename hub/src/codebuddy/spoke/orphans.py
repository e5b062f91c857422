"""What loses its parent in a spoke comes to the agent: what has ended is reaped, and what a run left is ended.

A run's own supervisor ends what it leaves, and the fork server what is left by one that killed its supervisor. Who
kills both is still below the agent; and who kills the agent ends with the container.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Collection
from functools import partial
from typing import Final

from codebuddy.process_tree import ProcessId, Stat, become_subreaper, is_root, zombies
from codebuddy.runs.forks import ForkServer
from codebuddy.runs.supervisor import end_strays

__all__ = ["Orphans"]

SWEEP_SECONDS: Final = 1.5


class Orphans:
    """Looks after them, again and again.

    Args:
        forks: what the agent starts runs with.
    """

    def __init__(self, forks: ForkServer) -> None:
        self._forks = forks
        self._ended: set[ProcessId] = set()

    async def run(self) -> None:
        """Take them in until cancelled."""
        become_subreaper()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self._reap()
            own = {self._forks.look(), *self._forks.supervisors}
            if self._forks.was_killed:
                end_strays(partial(_is_stray, own))  # not in a thread: nothing of ours is started meanwhile

    def _reap(self) -> None:
        """Reap what had ended at the last look too: whoever started a process here takes its status at once."""
        # One system call while there is nothing: where a run forks as fast as it can, there is no time for more.
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # there is no child
            found = None
        ended = set[ProcessId]() if found is None else zombies()
        for kin in ended & self._ended:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(kin.pid, os.WNOHANG)
        self._ended = ended


def _is_stray(own: Collection[int | None], kin: ProcessId, stat: Stat) -> bool:
    return stat.parent == os.getpid() and kin.pid not in own and not is_root(kin)
