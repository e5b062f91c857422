"""The line that `make plan`, `make up` and `make down` end with: what is made, renewed, removed, and what is kept."""

from __future__ import annotations

import pytest
from ansible.module_utils.codebuddy_fleet.differ import Change
from ansible.module_utils.codebuddy_fleet.plan import Plan
from ansible.module_utils.codebuddy_fleet.summary import removal_summary, summary

PARTS = ("hub", "api", "web")
# Of the plan's containers only the names count.
PLAN = Plan(fleet="unitfleet", containers={f"unitfleet-{part}": None for part in PARTS})


def change(line: str) -> Change:
    action, kind, name = line.split()
    return Change(kind, name, action)


def test_when_nothing_differs_it_says_so() -> None:
    assert summary(PLAN, [], done=False) == "Nothing would change in hub and spokes."
    assert summary(PLAN, [], done=True) == "Nothing changed in hub and spokes."


def test_a_new_project_is_created_the_hub_renewed_and_the_rest_kept() -> None:
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
def test_every_other_change_is_told_in_the_words_of_the_declaration(lines: list[str], told: str) -> None:
    assert summary(PLAN, [change(line) for line in lines], done=False) == told


DOWN = [
    change("remove network unitfleet-hub"),
    change("remove network unitfleet-api"),
    change("remove container unitfleet-hub"),
    change("remove container unitfleet-api"),
]


def test_taking_down_tells_what_went_and_what_stayed() -> None:
    assert removal_summary("unitfleet", DOWN, ["unitfleet-api"], "/srv/state", done=True) == (
        "Removed containers and networks of hub, api. "
        "Kept the volume unitfleet-api; the state directory /srv/state; the images and the project directories."
    )


def test_purging_tells_of_volumes_and_state_too() -> None:
    todo = [*DOWN, change("remove volume unitfleet-api"), change("remove state /srv/state")]
    assert removal_summary("unitfleet", todo, [], None, done=True) == (
        "Removed containers and networks of hub, api; the volume unitfleet-api; the state directory /srv/state. "
        "Kept the images and the project directories."
    )


def test_when_nothing_is_there_it_says_so() -> None:
    assert removal_summary("unitfleet", [], ["unitfleet-api", "unitfleet-web"], None, done=False) == (
        "Nothing of fleet unitfleet is here to remove. "
        "Keep the volumes unitfleet-api, unitfleet-web; the images and the project directories."
    )
