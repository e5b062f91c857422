"""Filter of the spokes role: the link tokens that a list of projects needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ["FilterModule", "link_tokens"]


def link_tokens(projects: Iterable[Mapping[str, Any]], directory: str) -> list[dict[str, Any]]:
    """Give what ``codebuddy_token`` needs: for each project a token that covers it alone, in a directory of its own."""
    return [
        {"dest": f"{directory}/{project['id']}/token", "subject": project["id"], "projects": [project["id"]]}
        for project in projects
    ]


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give the filters by name."""
        return {"link_tokens": link_tokens}
