"""The summary at the end of `make plan`, `make up` and `make down`, and the lines of the diff."""

from __future__ import annotations

import json
from difflib import ndiff
from typing import Any

import pytest
import yaml
from ansible.module_utils.codebuddy_fleet.differ import Change
from ansible.module_utils.codebuddy_fleet.plan import Plan
from ansible.module_utils.codebuddy_fleet.summary import diff_text, removal_summary, summary

PARTS = ("hub", "api", "web")
# Only the names of the plan's containers are used.
PLAN = Plan(fleet="unitfleet", containers={f"unitfleet-{part}": None for part in PARTS})


def change(line: str) -> Change:
    action, kind, name = line.split()
    return Change(kind, name, action)


def test_the_summary_says_that_nothing_differs() -> None:
    assert summary(PLAN, [], done=False) == "Nothing would change in hub and spokes."
    assert summary(PLAN, [], done=True) == "Nothing changed in hub and spokes."


def test_the_summary_names_a_new_project_the_renewed_hub_and_the_kept_rest() -> None:
    todo = [
        change("create network unitfleet-web"),
        change("create volume unitfleet-web"),
        change("write file /srv/state/config/web/config.json"),
        change("recreate container unitfleet-hub"),
        change("create container unitfleet-web"),
        change("keep generation latest"),
    ]
    assert summary(PLAN, todo, done=False) == "Create web; renew hub; keep api."
    assert summary(PLAN, todo, done=True) == "Created web; renewed hub; kept api."


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["remove container unitfleet-old", "remove network unitfleet-old"], "Remove old; keep hub, api, web."),
        (["start container unitfleet-api"], "Start api; keep hub, web."),
        (["unpause container unitfleet-web"], "Unpause web; keep hub, api."),
        (
            ["disconnect network unitfleet-api"],
            "Disconnect others from network unitfleet-api; keep hub, api, web.",
        ),
        (["remove volume unitfleet-old"], "Remove volume unitfleet-old; keep hub, api, web."),
        (["remove file /srv/state/config/old.json"], "Remove file /srv/state/config/old.json; keep hub, api, web."),
        (["keep generation latest"], "Keep hub, api, web."),
    ],
)
def test_every_other_change_is_named_in_terms_of_the_declaration(lines: list[str], told: str) -> None:
    assert summary(PLAN, [change(line) for line in lines], done=False) == told


DOWN = [
    change("remove network unitfleet-hub"),
    change("remove network unitfleet-api"),
    change("remove container unitfleet-hub"),
    change("remove container unitfleet-api"),
]


def test_the_summary_of_a_removal_names_what_was_removed_and_kept() -> None:
    assert removal_summary("unitfleet", DOWN, ["unitfleet-api"], "/srv/state", done=True) == (
        "Removed containers and networks of hub, api. "
        "Kept the volume unitfleet-api; the state directory /srv/state; the images and the project directories."
    )


def test_the_summary_of_a_purge_names_volumes_and_state() -> None:
    todo = [*DOWN, change("remove volume unitfleet-api"), change("remove state /srv/state")]
    assert removal_summary("unitfleet", todo, [], None, done=True) == (
        "Removed containers and networks of hub, api; the volume unitfleet-api; the state directory /srv/state. "
        "Kept the images and the project directories."
    )


def test_the_summary_of_a_removal_says_that_nothing_was_there() -> None:
    assert removal_summary("unitfleet", [], ["unitfleet-api", "unitfleet-web"], None, done=False) == (
        "Nothing of fleet unitfleet is here to remove. "
        "Keep the volumes unitfleet-api, unitfleet-web; the images and the project directories."
    )


def files(**contents: str) -> dict[str, Any]:
    return {"files": {f"/state/{name.replace('_', '.')}": {"content": content} for name, content in contents.items()}}


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    lines = ndiff(diff_text(before).splitlines(), diff_text(after).splitlines())
    return [f"{line[0]} {line[2:].strip()}" for line in lines if line[0] in "+-"]


def test_the_diff_of_a_configuration_shows_the_changed_setting() -> None:
    config = {"tasks": {"test": ["go", "test"], "build": ["go", "build"]}, "runs": {"max_jobs": 8}}
    other = {**config, "runs": {"max_jobs": 9}}
    before, after = files(config_json=json.dumps(config, indent=2)), files(config_json=json.dumps(other, indent=2))
    assert changed(before, after) == ["- max_jobs: 8", "+ max_jobs: 9"]


def test_the_diff_of_any_other_file_shows_the_changed_lines() -> None:
    before, after = files(squid_conf="http_port 1\nacl a\nacl b\n"), files(squid_conf="http_port 1\nacl c\nacl b\n")
    assert changed(before, after) == ["- acl a", "+ acl c"]


def test_invalid_json_is_shown_unchanged() -> None:
    side = {**files(config_json="{half"), "containers": {"x": {"spec": "1"}}}
    assert yaml.safe_load(diff_text(side)) == side
    assert diff_text({}) == ""
