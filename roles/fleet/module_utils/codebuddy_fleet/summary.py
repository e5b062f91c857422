"""How the changes of a fleet are shown: in one line, and as the text that Ansible's diff compares."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from .differ import Change
from .plan import Plan

# In check mode and after a run, in the order in which the summary names them.
_VERBS = {
    "create": ("create", "created"),
    "recreate": ("renew", "renewed"),
    "start": ("start", "started"),
    "unpause": ("unpause", "unpaused"),
    "write": ("write", "wrote"),
    "disconnect": ("disconnect others from", "disconnected others from"),
    "remove": ("remove", "removed"),
}


def summary(plan: Plan, todo: Sequence[Change], *, done: bool) -> str:
    """Name what changes of hub and spokes, as in "Create project-c; renew hub; keep project-a, project-b."."""
    if not todo:
        return "Nothing changed in hub and spokes." if done else "Nothing would change in hub and spokes."
    actions = {change.name: change.action for change in todo if change.kind == "container"}
    named = {verb: [_short(plan.fleet, name) for name in actions if actions[name] == verb] for verb in _VERBS}
    for change in todo:
        if _is_notable(change, actions):
            named[change.action].append(f"{change.kind} {change.name}")
    parts = [f"{_VERBS[verb][done]} {', '.join(names)}" for verb, names in named.items() if names]
    if kept := [_short(plan.fleet, name) for name in plan.containers if name not in actions]:
        parts.append(f"{'kept' if done else 'keep'} {', '.join(kept)}")
    return _sentence("; ".join(parts))


def removal_summary(
    fleet: str, todo: Sequence[Change], volumes: Sequence[str], state_dir: str | None, *, done: bool
) -> str:
    """Name what is removed with the fleet, and what stays.

    Args:
        fleet: its name.
        todo: the removals.
        volumes: names of the volumes that stay.
        state_dir: the state directory, if it stays.
        done: whether it was done, or only would be.
    """

    def names(*kinds: str) -> list[str]:
        return list(dict.fromkeys(change.name for change in todo if change.kind in kinds and change.action == "remove"))

    parts = ", ".join(_short(fleet, name) for name in names("container", "network"))
    gone = [f"containers and networks of {parts}"] if parts else []
    gone += [_volumes(names("volume"))] if names("volume") else []
    gone += [f"the state directory {name}" for name in names("state")]
    stays = [_volumes(volumes)] if volumes else []
    stays += [f"the state directory {state_dir}"] if state_dir else []
    stays += ["the images and the project directories"]
    removed = f"{_VERBS['remove'][done]} {'; '.join(gone)}" if gone else f"nothing of fleet {fleet} is here to remove"
    return f"{_sentence(removed)} {_sentence(('kept ' if done else 'keep ') + '; '.join(stays))}"


def _is_notable(change: Change, container_actions: Mapping[str, str]) -> bool:
    """Networks, volumes and files usually change together with their containers, and are not named then."""
    if change.kind == "file":
        return not container_actions
    return change.kind in ("network", "volume") and change.name not in container_actions


def _volumes(names: Sequence[str]) -> str:
    return f"the volume{'s' if names[1:] else ''} {', '.join(names)}"


def _short(fleet: str, container: str) -> str:
    return container.removeprefix(f"{fleet}-")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def rendered_diff(todo: Sequence[Change]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the changes as two nested dicts, before and after, that contain only what differs."""
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for change in todo:
        for side, content in ((before, change.before), (after, change.after)):
            if content:
                side.setdefault(f"{change.kind}s", {}).setdefault(change.name, {}).update(content)
    return before, after


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as a block: in quotes, a changed line could not be told from the others."""


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent)


def diff_text(side: Mapping[str, Any]) -> str:
    """Return one side of :func:`rendered_diff` as text; of JSON files, the parsed content."""
    if not side:
        return ""
    files = {path: _parsed(path, file) for path, file in side.get("files", {}).items()}
    shown = {**side, **({"files": files} if files else {})}
    return yaml.dump(shown, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, width=120)


def _parsed(path: str, file: Mapping[str, Any]) -> Mapping[str, Any]:
    content = file.get("content")
    if not path.endswith(".json") or not isinstance(content, str):
        return file
    try:
        return {**file, "content": json.loads(content)}
    except ValueError:  # the file was changed by hand
        return file
