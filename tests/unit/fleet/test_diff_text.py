"""The difference as it is read: lines of files and of JSON, not one string of all of them."""

from __future__ import annotations

import json
from difflib import ndiff
from typing import Any

import yaml
from ansible.module_utils.codebuddy_fleet.diff_text import diff_text


def files(**contents: str) -> dict[str, Any]:
    return {"files": {f"/state/{name.replace('_', '.')}": {"content": content} for name, content in contents.items()}}


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    lines = ndiff(diff_text(before).splitlines(), diff_text(after).splitlines())
    return [f"{line[0]} {line[2:].strip()}" for line in lines if line[0] in "+-"]


def test_of_a_configuration_the_setting_is_told_that_differs() -> None:
    config = {"tasks": {"test": ["go", "test"], "build": ["go", "build"]}, "runs": {"max_jobs": 8}}
    other = {**config, "runs": {"max_jobs": 9}}
    before, after = files(config_json=json.dumps(config, indent=2)), files(config_json=json.dumps(other, indent=2))
    assert changed(before, after) == ["- max_jobs: 8", "+ max_jobs: 9"]


def test_of_any_other_file_the_lines_are_told_that_differ() -> None:
    before, after = files(squid_conf="http_port 1\nacl a\nacl b\n"), files(squid_conf="http_port 1\nacl c\nacl b\n")
    assert changed(before, after) == ["- acl a", "+ acl c"]


def test_what_is_no_json_is_shown_as_it_is_and_nothing_is_lost() -> None:
    side = {**files(config_json="{half"), "containers": {"x": {"spec": "1"}}}
    assert yaml.safe_load(diff_text(side)) == side
    assert diff_text({}) == ""
