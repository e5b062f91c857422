"""The table that `make status` prints."""

from __future__ import annotations

from ansible.module_utils.codebuddy_fleet.status import Row, rows, table

HEALTH = {
    "projects": {
        "a": {
            "ready": True,
            "link": "connected",
            "mount": "same",
            "language_servers": [{"name": "typescript", "state": "ready"}, {"name": "css", "state": "loading"}],
        },
        "b": {"ready": False, "link": "offline", "language_servers": [], "reason": "The spoke of b is not connected."},
    }
}


def test_each_project_has_a_line_with_the_answers_of_engine_and_hub() -> None:
    hub, a, b = rows({"hub": "Up 1 minute", "a": "Up 2 minutes (healthy)", "b": "Exited (137)"}, HEALTH, "")
    assert hub == Row("hub", "Up 1 minute")
    assert a == Row("a", "Up 2 minutes (healthy)", "connected", "typescript ready, css loading", "same")
    assert b == Row("b", "Exited (137)", "offline", reason="The spoke of b is not connected.")


def test_a_proxy_has_a_line_after_its_project_and_does_not_count_as_a_project() -> None:
    found = {"hub": "Up", "a": "Up", "b": "Up", "b.egress": "Up 1 minute (unhealthy)", "a.egress": "Up (healthy)"}
    lines = rows(found, HEALTH, "")
    assert [(row.name, row.ready) for row in lines[1:3]] == [("a", True), ("a.egress", True)]
    assert lines[-1] == Row("b.egress", "Up 1 minute (unhealthy)", reason="nothing outside can be reached through it")


def test_only_a_row_without_a_reason_is_ready() -> None:
    assert [row.ready for row in rows({"hub": "Up", "a": "Up", "b": "Up"}, HEALTH, "")] == [True, True, False]
    assert [row.ready for row in rows({"hub": "Up", "a": "Up"}, None, "connection refused")] == [False, False]


def test_without_an_answer_of_the_hub_all_projects_are_listed_with_the_reason() -> None:
    hub, a = rows({"hub": "Exited (1)", "a": "Up"}, None, "connection refused")
    assert hub.reason == "connection refused"
    assert (a.name, a.reason) == ("a", "the hub reports nothing about it")


def test_a_project_whose_containers_see_another_directory_than_the_host_is_not_ready() -> None:
    _, a, b = rows({"hub": "Up", "a": "Up", "b": "Up"}, HEALTH, "", {"a": "/srv/a"})
    assert (a.mount, a.ready) == ("stale", False)
    assert a.reason == "its containers see another directory than the one that is at /srv/a now; run: make up"
    assert b.reason == "The spoke of b is not connected."


def test_a_project_without_a_container_is_listed() -> None:
    assert [(row.name, row.container) for row in rows({"hub": "Up"}, HEALTH, "")] == [
        ("hub", "Up"),
        ("a", "none"),
        ("b", "none"),
    ]


def test_what_the_engine_thinks_of_a_container_does_not_stand_beside_whether_it_is_ready() -> None:
    states = ["Up 1 minute (unhealthy)", "Up 1 minute (health: starting)", "Up 1 minute (healthy)", "Up 1 minute"]
    assert {Row("a", state).cells() for state in states} == {("a", "Up 1 minute", "-", "-", "-", "yes")}
    assert Row("a", "Up 1 minute (Paused)").cells()[1] == "Up 1 minute (Paused)"


def test_columns_are_aligned_with_their_headings() -> None:
    lines = table(rows({"hub": "Up", "a": "Up 2 minutes (healthy)"}, HEALTH, "")).splitlines()
    column = lines[0].index("LINK")
    assert lines[2][column:].startswith("connected")
    assert lines[3][column:].startswith("offline")
    assert lines[3].endswith("no: The spoke of b is not connected.")


def test_what_a_spoke_says_stays_in_its_cell() -> None:
    forged = "x\nhub  Up  yes\x1b[2J\u202e" + "y" * 5000
    health = {
        "projects": {
            "a": {
                "ready": False,
                "link": forged,
                "mount": forged,
                "language_servers": [{"name": forged, "state": forged}],
                "reason": forged,
            }
        }
    }
    lines = table(rows({"hub": "Up", "a": "Up"}, health, "")).split("\n")
    assert len(lines) == 3
    assert all(line.isprintable() and len(line) < 6000 for line in lines)
