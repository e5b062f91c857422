"""A change of the fleet in one line, in the words of the declaration: the hub and the projects. Pure text."""

from __future__ import annotations

from collections.abc import Sequence

from .differ import Change
from .plan import Plan

__all__ = ["removal_summary", "summary"]

# What would be done, and what was done, in the order in which it is told.
_WORDS = {
    "create": ("create", "created"),
    "recreate": ("renew", "renewed"),
    "start": ("start", "started"),
    "unpause": ("unpause", "unpaused"),
    "write": ("write", "wrote"),
    "disconnect": ("disconnect others from", "disconnected others from"),
    "remove": ("remove", "removed"),
}


def summary(plan: Plan, todo: Sequence[Change], *, done: bool) -> str:
    """Tell what becomes of hub and spokes: "Create project-c; renew hub; keep project-a, project-b.".

    Args:
        plan: what is to be there.
        todo: everything that differs.
        done: whether it was done, or only would be.
    """
    if not todo:
        return "Nothing changed in hub and spokes." if done else "Nothing would change in hub and spokes."
    actions = {change.name: change.action for change in todo if change.kind == "container"}
    parts = {verb: [_part(plan.fleet, name) for name in actions if actions[name] == verb] for verb in _WORDS}
    for change in todo:
        if change.kind != "container" and _alone(change, actions):
            parts[change.action].append(f"{change.kind} {change.name}")
    told = [f"{_WORDS[verb][done]} {', '.join(names)}" for verb, names in parts.items() if names]
    if kept := [_part(plan.fleet, name) for name in plan.containers if name not in actions]:
        told.append(f"{'kept' if done else 'keep'} {', '.join(kept)}")
    return _sentence("; ".join(told))


def removal_summary(
    fleet: str, todo: Sequence[Change], volumes: Sequence[str], state_dir: str | None, *, done: bool
) -> str:
    """Tell what goes with the fleet, and what stays.

    Args:
        fleet: its name.
        todo: everything that goes.
        volumes: names of those that stay.
        state_dir: the state directory, if it stays.
        done: whether it was done, or only would be.
    """

    def names(*kinds: str) -> list[str]:
        return list(dict.fromkeys(change.name for change in todo if change.kind in kinds and change.action == "remove"))

    parts = ", ".join(_part(fleet, name) for name in names("container", "network"))
    gone = [f"containers and networks of {parts}"] if parts else []
    gone += [_volumes(names("volume"))] if names("volume") else []
    gone += [f"the state directory {name}" for name in names("state")]
    stays = [_volumes(volumes)] if volumes else []
    stays += [f"the state directory {state_dir}"] if state_dir else []
    stays += ["the images and the project directories"]
    removed = f"{_WORDS['remove'][done]} {'; '.join(gone)}" if gone else f"nothing of fleet {fleet} is here to remove"
    return f"{_sentence(removed)} {_sentence(('kept ' if done else 'keep ') + '; '.join(stays))}"


def _alone(change: Change, actions: dict[str, str]) -> bool:
    """Whether it is worth a word: networks, volumes and files come and go with the containers that use them."""
    return {"network": change.name not in actions, "volume": change.name not in actions, "file": not actions}.get(
        change.kind, False
    )


def _volumes(names: Sequence[str]) -> str:
    return f"the volume{'s' if names[1:] else ''} {', '.join(names)}"


def _part(fleet: str, container: str) -> str:
    return container.removeprefix(f"{fleet}-")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
