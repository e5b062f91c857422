"""Hub and agent can read the configurations that the planner writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.codebuddy_fleet import encodings, mounts, server_description, text_safety
from ansible.module_utils.codebuddy_fleet.declaration import REPORT_FORMATS, project_problems, read_project
from ansible.module_utils.codebuddy_fleet.plan import Plan

from codebuddy.agent.lsp.config import ServerConfig, read_server_configs
from codebuddy.agent.reports.formats import FILE_FORMATS, KNOWN_FORMATS
from codebuddy.configuration import HubConfiguration, JournalLimits, RunLimits, SpokeConfiguration, Task
from codebuddy.files.mounts import Expectation
from codebuddy.schemas.server_description import FEATURES, RULES

ROOT = Path(__file__).parents[3]
PlanOf = Callable[[dict[str, Any]], Plan]
SERVER: dict[str, Any] = {"name": "x", "command": ["x"], "languages": {"*.x": "x"}}

PROFILES = sorted(path.stem for path in (ROOT / "inventory/group_vars").glob("*.yml") if path.stem != "spokes")


def rendered(profile: str) -> dict[str, Any]:
    """Return the variables of a profile. A template of a single name is replaced by that variable."""
    variables = yaml.safe_load((ROOT / f"inventory/group_vars/{profile}.yml").read_text())

    def render(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: render(item) for key, item in value.items()}
        if isinstance(value, str) and value.startswith("{{ ") and value.endswith(" }}"):
            return variables.get(value[3:-3], value)
        return value

    return {name: render(value) for name, value in variables.items()}


def written(plan: Plan, part: str) -> Any:
    (content,) = (file.content for path, file in plan.files.items() if path.endswith(f"/{part}/config.json"))
    return json.loads(content)


def test_the_hub_reads_what_the_planner_writes(declared: dict[str, Any], plan_of: PlanOf) -> None:
    plan = plan_of(declared)
    read = HubConfiguration.model_validate(written(plan, "hub"))
    assert read.model_dump(exclude_unset=True) == written(plan, "hub")
    assert sorted(read.projects) == ["api", "web"]
    networks = plan.containers["unitfleet-hub"].networks
    assert read.client.address == networks["unitfleet-hub"]["address"]
    assert {name: project.listen for name, project in read.projects.items()} == {
        name: networks[f"unitfleet-{name}"]["address"] for name in ("api", "web")
    }


def test_hub_and_agent_read_the_encodings(declared: dict[str, Any], plan_of: PlanOf) -> None:
    declared["projects"][0]["encodings"] = {"*.txt": "latin-1"}
    plan = plan_of(declared)
    hub, spoke = HubConfiguration.model_validate(written(plan, "hub")), written(plan, "api")
    wanted = [("*.txt", "latin-1")]
    assert (hub.projects["api"].encodings, SpokeConfiguration.model_validate(spoke).encodings) == (wanted, wanted)


@pytest.mark.parametrize(
    ("declared_as", "read"), [("nfs4", Expectation(type="nfs4")), ({"marker": ".disk"}, Expectation(marker=".disk"))]
)
def test_hub_and_agent_read_what_is_expected(
    declared_as: Any, read: Expectation, declared: dict[str, Any], plan_of: PlanOf
) -> None:
    assert "expect" not in "".join(file.content for file in plan_of(declared).files.values())
    declared["projects"][0]["expect"] = declared_as
    plan = plan_of(declared)
    hub, spoke = HubConfiguration.model_validate(written(plan, "hub")), written(plan, "api")
    assert (hub.projects["api"].expect, SpokeConfiguration.model_validate(spoke).expect) == (read, read)


def test_role_and_package_look_at_mounts_with_the_same_file() -> None:
    assert Path(str(mounts.__file__)).resolve() == ROOT / "hub/src/codebuddy/files/mounts.py"


def test_the_formats_that_can_be_declared_are_those_that_can_be_read() -> None:
    assert sorted(REPORT_FORMATS) == sorted(KNOWN_FORMATS)
    assert list(FILE_FORMATS) == ["junit"]  # the one for which a declaration needs {report}


def test_the_agent_reads_the_limits_of_runs(declared: dict[str, Any], plan_of: PlanOf) -> None:
    declared["projects"][0] |= {"max_run_time": "2h", "max_job_time": "1d", "max_jobs": 3, "max_output": "8m"}
    declared["projects"][0]["tasks"] = {"test": {"argv": ["pytest"], "format": "pytest"}}
    read = SpokeConfiguration.model_validate(written(plan_of(declared), "api"))
    assert read.runs == RunLimits(max_run_seconds=7200, max_job_seconds=86400, max_jobs=3, output_bytes=8 * 2**20)
    assert read.tasks == {"test": Task(argv=["pytest"], formats=["pytest"])}
    declared["fleet"]["run_width"] = 2
    assert HubConfiguration.model_validate(written(plan_of(declared), "hub")).run_width == 2


def test_the_hub_reads_the_limits_of_the_journal(declared: dict[str, Any], plan_of: PlanOf) -> None:
    read = HubConfiguration.model_validate(written(plan_of(declared), "hub"))
    assert read.journal == JournalLimits(max_bytes=64 * 2**20, max_age_seconds=7 * 86400)


def test_without_limits_of_the_journal_the_hub_has_the_inventorys_defaults(
    declared: dict[str, Any], plan_of: PlanOf
) -> None:
    older = written(plan_of(declared), "hub")
    del older["journal"]
    settings = yaml.safe_load((ROOT / "inventory/defaults.yml").read_text())["all"]["vars"]
    declared["fleet"] |= {name: settings[f"codebuddy_{name}"] for name in ("journal_size", "journal_age")}
    newer = written(plan_of(declared), "hub")
    assert HubConfiguration.model_validate(older) == HubConfiguration.model_validate(newer)


def test_the_agent_reads_what_the_planner_writes(declared: dict[str, Any], plan_of: PlanOf) -> None:
    content = written(plan_of(declared), "api")
    read = SpokeConfiguration.model_validate(content)
    assert read.model_dump(exclude_unset=True) == content
    (server,) = read_server_configs(read.language_servers, read.environment)
    assert (server.name, server.command) == ("pylsp", ["pylsp"])


@pytest.mark.parametrize(
    "servers",
    [
        [SERVER],
        [{**SERVER, "ready": "server_status", "settings": {"a": 1}, "environment": {"A": "1"}}],
        [{**SERVER, "features": ["format", "actions"], "memory": "1g", "idle_stop": "30m", "load_seconds": 2.5}],
        [{**SERVER, "refresh": "restart"}],
        [{**SERVER, "limits": {"searched_files": 2000, "parsed_files": 30, "shortest_name": 3}}],
        [{**SERVER, "ready": "log", "ready_log": "^loaded [0-9]+"}],
        [{**SERVER, "ready": "log", "ready_log": "^loaded [0-9]+", "refresh": "search"}],
        [SERVER, {**SERVER, "name": "y"}],
    ],
)
def test_the_agent_accepts_every_valid_declaration(servers: list[dict[str, Any]]) -> None:
    project = {"id": "api", "path": "/srv/api", "profile": "python", "language_servers": servers}
    assert project_problems([project], ["python"]) == []
    read = read_server_configs(list(read_project(project)[0].language_servers))
    assert [server.name for server in read] == [server["name"] for server in servers]


@pytest.mark.parametrize(
    "servers",
    [
        [SERVER, SERVER],
        [{**SERVER, "settings": [1]}],
        [{**SERVER, "initialization_options": "x"}],
        [{**SERVER, "ready": "soon"}],
        [{**SERVER, "refresh": "never"}],
        [{**SERVER, "refresh": "search"}],
        [{**SERVER, "ready": "log"}],
        [{**SERVER, "ready_log": "loaded"}],
        [{**SERVER, "ready": "log", "ready_log": "("}],
        [{**SERVER, "command": []}],
        [{**SERVER, "command": "x"}],
        [{**SERVER, "languages": {}}],
        [{**SERVER, "languages": ["*.x"]}],
        [{**SERVER, "colour": "red"}],
        [{**SERVER, "environment": {"A": ["1"]}}],
        [{**SERVER, "features": []}],
        [{**SERVER, "features": ["everything"]}],
        [{**SERVER, "features": "format"}],
        [{**SERVER, "load_seconds": 0}],
        [{**SERVER, "memory": "much"}],
        [{**SERVER, "limits": 30}],
        [{**SERVER, "limits": {"files": 30}}],
        [{**SERVER, "limits": {"parsed_files": 0}}],
        [{**SERVER, "limits": {"parsed_files": True}}],
    ],
)
def test_a_declaration_that_the_agent_would_refuse_is_refused_before_it_is_deployed(
    servers: list[dict[str, Any]],
) -> None:
    project = {"id": "api", "path": "/srv/api", "profile": "python", "language_servers": servers}
    assert project_problems([project], ["python"])
    with pytest.raises(ValueError, match="language"):
        read_server_configs(servers)


def test_role_and_package_know_the_same_encodings() -> None:
    assert Path(str(encodings.__file__)).resolve() == ROOT / "hub/src/codebuddy/schemas/encodings.py"


def test_role_and_agent_check_server_descriptions_with_the_same_file() -> None:
    assert Path(str(server_description.__file__)).resolve() == ROOT / "hub/src/codebuddy/schemas/server_description.py"
    assert set(RULES) == {item.name for item in fields(ServerConfig)}


def test_role_and_hub_make_a_spokes_words_safe_with_the_same_file() -> None:
    assert Path(str(text_safety.__file__)).resolve() == ROOT / "hub/src/codebuddy/text_safety.py"


def test_sizes_and_times_reach_the_agent_as_numbers_and_absent_keys_are_not_written() -> None:
    declared = {**SERVER, "memory": "1g", "idle_stop": "30m"}
    ((server, plain), problems) = (
        read_project({"id": "api", "language_servers": [declared, {**SERVER, "name": "y"}]})[0].language_servers,
        project_problems([{"id": "api", "path": "/a", "profile": "x", "language_servers": [declared]}], ["x"]),
    )
    assert (server["memory"], server["idle_seconds"], problems) == (2**30, 1800, [])
    assert set(plain) == {
        "name", "command", "languages", "settings", "initialization_options", "environment", "ready",
    }  # fmt: skip


@pytest.mark.parametrize("profile", PROFILES)
def test_the_agent_accepts_every_server_that_a_profile_knows(profile: str) -> None:
    variables = rendered(profile)
    known = variables["profile_known_language_servers"]
    project = {"id": "api", "path": "/srv/api", "profile": profile, "known_language_servers": known}
    for chosen in (variables["profile_language_servers"], sorted(known)):
        declared = {**project, "language_servers": chosen}
        assert project_problems([declared], PROFILES) == []
        read = read_server_configs(list(read_project(declared)[0].language_servers))
        assert [server.name for server in read] == chosen
        some = ("ruff", "tsserver-commonjs")
        assert all(tuple(server.features) == FEATURES or server.name in some for server in read)
