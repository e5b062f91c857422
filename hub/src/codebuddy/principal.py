"""Who asks, and what that allows. Nothing here is about tokens: an agent checks none and loads no cryptography."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from codebuddy.errors import ToolError

__all__ = ["ALL_SCOPES", "LOCAL", "Principal"]

ALL_SCOPES = frozenset({"read", "write", "run"})


@dataclass(frozen=True)
class Principal:
    """Whom a verified token stands for.

    Args:
        subject: who it is, for logs.
        projects: ids that the token covers; None means every project of the fleet.
        scopes: what it may do there, out of ``read``, ``write``, ``run``.
        expires_at: seconds since the epoch; None for a trusted local caller that needs no token.
    """

    subject: str
    projects: frozenset[str] | None
    scopes: frozenset[str]
    expires_at: float | None = None

    def may_use(self, project: str) -> bool:
        """Say whether the token covers the project."""
        return self.projects is None or project in self.projects

    def require_project(self, project: str, known: Collection[str]) -> None:
        """Refuse a project that is unknown or not covered, in the same words: a token learns of no other project.

        Raises:
            ToolError: ``unknown_project``, listing the projects that the token covers.
        """
        if project not in known or not self.may_use(project):
            listed = ", ".join(self.visible(known)) or "none"
            raise ToolError("unknown_project", f"There is no project {project!r} here; this token covers: {listed}.")

    def visible(self, known: Iterable[str]) -> list[str]:
        """Give those of the known project ids that the token covers, sorted."""
        return sorted(project for project in known if self.may_use(project))

    def choose(self, wanted: list[str] | None, known: Iterable[str]) -> list[str]:
        """Give the projects of a call: those asked for, each of which must be covered, or all that are.

        Raises:
            ToolError: ``unknown_project``.
        """
        known = list(known)
        if wanted is None:
            return self.visible(known)
        for project in wanted:
            self.require_project(project, known)
        return list(dict.fromkeys(wanted))


LOCAL = Principal(subject="local", projects=None, scopes=ALL_SCOPES)
"""A caller inside the hub container: whoever may execute programs there is trusted already."""
