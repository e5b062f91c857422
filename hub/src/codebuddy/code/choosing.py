"""Which server answers: of those that are declared for a file and a feature, the first that can."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from codebuddy.code.asking import Answer, Asked, Unsettled, absent, share_of
from codebuddy.language.capabilities import CAPABILITY, FEATURE
from codebuddy.language.readiness import Report
from codebuddy.language.server import LanguageServer
from codebuddy.language.servers import LanguageServers

__all__ = ["choose", "choose_of"]


async def choose(servers: LanguageServers, path: Path, method: str, deadline: float, report: Report) -> Asked:
    """Give the server that answers a request about a file: of those declared for it, the first that can.

    Args:
        servers: the project's.
        path: the file.
        method: a request of `CAPABILITY`.
        deadline: when an answer must be there, in the running loop's time.
        report: told what is being waited for.

    Raises:
        ToolError: there is no such file.
        Unsettled: no server can, or it is not known in time whether one can.
    """
    serving = servers.serving(path, FEATURE[method])
    if serving:
        return await choose_of(serving, method, deadline, report)
    servers.tree.read(path)  # a file that is not there is the caller's mistake, served or not
    if servers.is_served(path):
        message = f"No language server of this file is declared for {FEATURE[method]}."
    else:
        message = f"No language server serves this file; served are: {servers.served()}."
    raise Unsettled(Answer(None, reason="unsupported", message=message))


async def choose_of(serving: Sequence[LanguageServer], method: str, deadline: float, report: Report) -> Asked:
    """Give the first of some servers that can answer a request; one that still starts is waited for.

    Raises:
        Unsettled: see `choose`.
    """
    lacking, missing = [], list[LanguageServer]()
    for server in serving:
        if server.connection is None:
            with server.asking():
                await server.readiness.wait(share_of(deadline), report, local=True)
        connection = server.connection
        if connection is None:
            missing.append(server)
        elif connection.capabilities.covers(method):
            return Asked(server, deadline, report)
        else:
            lacking.append(f"{server.config.name} does not announce {CAPABILITY[method]}")
    if missing:
        raise Unsettled(absent(missing[0]))
    raise Unsettled(Answer(None, reason="unsupported", message=f"{', '.join(lacking)}."))
