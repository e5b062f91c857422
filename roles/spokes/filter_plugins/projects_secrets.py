"""Filter of the spokes role: what each project has for secrets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ["FilterModule", "projects_secrets"]


def projects_secrets(projects: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Give what ``codebuddy_secrets`` needs: id and secrets of each project that has some."""
    return [{"id": project["id"], "secrets": project["secrets"]} for project in projects if project.get("secrets")]


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give the filters by name."""
        return {"projects_secrets": projects_secrets}
