"""The changes as text, before and after, of which Ansible shows the lines that differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

__all__ = ["diff_text"]


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as such: in quotes, a changed line could not be seen among the others."""


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent)


def diff_text(side: Mapping[str, Any]) -> str:
    """Write one side of `rendered_diff`; files that are JSON as what is in them."""
    if not side:
        return ""
    files = {path: _readable(path, file) for path, file in side.get("files", {}).items()}
    readable = {**side, **({"files": files} if files else {})}
    return yaml.dump(readable, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, width=120)


def _readable(path: str, file: Mapping[str, Any]) -> Mapping[str, Any]:
    content = file.get("content")
    if not path.endswith(".json") or not isinstance(content, str):
        return file
    try:
        return {**file, "content": json.loads(content)}
    except ValueError:  # somebody wrote into it
        return file
