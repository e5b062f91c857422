"""All bad values of a declaration are refused at once, each with the host and what to do."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.codebuddy_fleet.declaration import parse_fleet, project_problems, read_project
from ansible.module_utils.codebuddy_fleet.errors import FleetError

GOOD: dict[str, Any] = {"id": "api", "path": "/srv/projects/api", "profile": "python"}
SERVER = {"command": ["pylsp"], "languages": {"*.py": "python"}}


def problems(**changes: Any) -> list[str]:
    found: list[str] = project_problems([{**GOOD, **changes}], ["python", "rust"])
    return found


def test_a_good_project_has_no_problem() -> None:
    assert problems(groups=["backend", "python", "spokes"]) == []
    assert problems(memory="2g", cpus=1.5, pids=100, packages=["libpq-dev"], language_servers=[SERVER]) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"id": "Api"}, "host Api: the name 'Api' must be"),
        ({"id": "-rf"}, "host -rf: the name '-rf' must be"),
        ({"id": "a" * 42}, "must be 1 to 41"),
        ({"id": "api\n"}, "must be 1 to 41"),
        ({"id": "a;b"}, "must be 1 to 41"),
        ({"id": "hub"}, "host hub: the name 'hub' is reserved"),
        ({"path": None}, "host api: project_path is missing"),
        ({"path": "projects/api"}, "host api: project_path 'projects/api' is relative"),
        ({"path": "/srv/a\nb"}, "line break"),
        ({"profile": "cobol"}, "host api: the profile 'cobol' is unknown: put the host in the group of one of these: "),
        ({"profile": None}, "host api: it has no profile"),
        (
            {"groups": ["python", "rust", "spokes"]},
            "host api: it is in the groups of 2 profiles, python and rust: leave it in one of them.",
        ),
        ({"memory": "lots"}, "host api: memory 'lots' is not a size"),
        ({"memory": "-1"}, "is not a size"),
        ({"memory": 0}, "too little"),
        ({"memory": True}, "is not a size"),
        ({"cpus": 0}, "host api: cpus 0 is not a number of CPUs"),
        ({"cpus": "two"}, "is not a number of CPUs"),
        ({"pids": -1}, "host api: pids -1 must be a whole number of processes"),
        ({"pids": "1e3"}, "must be a whole number of processes"),
        ({"tasks": {"test": "npm test"}}, "host api: task test 'npm test' must be a list of strings"),
        ({"tasks": {"test": ["sleep", 5]}}, "has an argument that is not a string"),
        ({"tasks": {"test": ["--version"]}}, "must begin with a program"),
        ({"tasks": {"--all": ["true"]}}, "the name of task '--all'"),
        ({"tasks": ["test"]}, "project_tasks must map"),
        ({"tasks": {"test": {"argv": "npm test"}}}, "task test: argv 'npm test' must be a list of strings"),
        (
            {"tasks": {"test": {"argv": ["x"], "format": "xml"}}},
            "task test: format 'xml' is unknown: use one of junit,",
        ),
        ({"tasks": {"test": {"argv": ["x"], "fromat": "tap"}}}, "task test has the key 'fromat'"),
        (
            {"tasks": {"test": {"argv": ["x"], "format": ["tap", "xml"]}}},
            "task test: format 'xml' is unknown: use",
        ),
        ({"tasks": {"test": {"argv": ["x"], "format": ["junit", "gcc"]}}}, "the format junit needs the file {report}"),
        ({"tasks": {"test": {"argv": ["x"], "format": "junit"}}}, "the format junit needs the file {report}"),
        ({"tasks": {"test": {"argv": ["x", "{report}"], "format": "tap"}}}, "tap does not use the file {report}"),
        ({"max_jobs": 0}, "max_jobs 0 must be a whole number from 1 to 1000"),
        ({"max_run_time": "long"}, "max_run_time 'long' is not a time: write a number and one of s, m, h, d or w"),
        ({"max_job_time": "0s"}, "max_job_time '0s' is not a time"),
        ({"max_output": "1m"}, "max_output '1m' is too little to keep of an output: give at least 4m"),
        ({"environment": {"A B": "1"}}, "has the name 'A B'"),
        ({"environment": {"A": True}}, "gives A a value that is not a string"),
        ({"packages": ["-o=Dpkg::Pre-Invoke::=id"]}, "is not the name of a distribution package"),
        ({"packages": "curl"}, "packages must be a list"),
        ({"base_image": "--privileged"}, "base_image '--privileged' is not the name of an image"),
        ({"language_servers": [{"command": ["x"]}]}, "language server x: languages must map"),
        (
            {"language_servers": [{**SERVER, "comand": 1}]},
            "language server pylsp has comand, which is not known: use command",
        ),
        ({"language_servers": [{**SERVER, "ready": "soon"}]}, "ready 'soon' must be one of immediate"),
        ({"language_servers": [{**SERVER, "command": "pylsp"}]}, "must be a list of strings"),
        (
            {"language_servers": ["ty"], "known_language_servers": {"pylsp": SERVER, "basedpyright": SERVER}},
            "host api: language server 'ty' is unknown: use one of the known ones (basedpyright, pylsp), or describe",
        ),
        (
            {"language_servers": [{"name": "ty", "memory": "1g"}]},
            "language server 'ty' is unknown: use one of the known",
        ),
        ({"language_servers": [["ty"]]}, "each of language_servers must be the name of a known server"),
        ({"language_servers": [{"name": ["ty"]}]}, "each of language_servers must be the name of a known server"),
        ({"known_language_servers": ["ty"]}, "known_language_servers must map the name of each server"),
        ({"known_language_servers": {"ty": ["ty"]}}, "known_language_servers must map the name of each server"),
        (
            {"language_servers": [{**SERVER, "features": ["all"]}]},
            "features must be a list of some of navigation, hover",
        ),
        ({"language_servers": [{**SERVER, "ready": "log"}]}, "ready: log and ready_log go together: give both"),
        ({"language_servers": [{**SERVER, "ready_log": "("}]}, "ready_log '(' must be a regular expression"),
        ({"language_servers": [{**SERVER, "load_seconds": "1m"}]}, "load_seconds '1m' is not a number of seconds"),
        ({"language_servers": [{**SERVER, "limits": {"files": 3}}]}, "pylsp: limits must map some of searched_files"),
        ({"language_servers": [{**SERVER, "refresh": "never"}]}, "refresh 'never' must be one of notify, show"),
        ({"language_servers": [{**SERVER, "refresh": "search"}]}, "refresh: search needs ready: log, which tells when"),
        ({"language_servers": [{**SERVER, "memory": "1k"}]}, "language server pylsp: memory '1k' is too little"),
        ({"language_servers": [{**SERVER, "idle_stop": 30}]}, "language server pylsp: idle_stop 30 is not a time"),
        ({"encodings": ["latin-1"]}, "host api: encodings must map globs to encodings, like {'legacy/**'"),
        ({"encodings": {"*": "utf-99"}}, "has the encoding 'utf-99', which is not known: write it like latin-1"),
        ({"shm_size": "1k"}, "host api: shm_size '1k' is too little for /dev/shm: give at least 64k"),
        ({"shm_size": "much"}, "host api: shm_size 'much' is not a size"),
        ({"format_on_write": "no"}, "host api: format_on_write 'no' must be true or false"),
        ({"allow_root_owned": "false"}, "host api: allow_root_owned 'false' must be true or false"),
        ({"expect": "NFS v4"}, "host api: expect 'NFS v4' must be a type of file system like nfs4"),
        ({"expect": {"marker": "a/b"}}, "host api: expect must be a type of file system"),
        ({"expect": {"marker": ".."}}, "host api: expect must be a type of file system"),
        ({"expect": {"marker": ".x", "type": "nfs"}}, "host api: expect must be a type of file system"),
        ({"expect": "ext4"}, "host api: expect 'ext4' is what a machine's own disk is too"),
        ({"sample": "yes"}, "host api: sample 'yes' must be true or false"),
        ({"environment": {"A": "1", "L": ["a"], "T": True}}, "environment gives T a value that is not a string"),
        ({"format_on_write": None}, "host api: format_on_write must be true or false"),
        ({"unsupported": ["cache_paths"]}, "host api: cache_paths is not supported yet"),
        ({"egress": "packages.example.org"}, "host api: egress 'packages.example.org' must be none, any, or a list of"),
        ({"secrets": ["/etc/key"]}, "host api: secrets must map names to files"),
        ({"secrets": {"../key": "/etc/key"}}, "host api: secrets has the name '../key', which is not a file's"),
        ({"secrets": {"a/b": "/etc/key"}}, "secrets has the name 'a/b', which is not a file's"),
        ({"secrets": {".hidden": "/etc/key"}}, "secrets has the name '.hidden', which is not a file's"),
        ({"secrets": {"..": "/etc/key"}}, "secrets has the name '..', which is not a file's"),
        ({"secrets": {"a" * 64: "/etc/key"}}, "which is not a file's: use at most 63 letters"),
        ({"secrets": {5: "/etc/key"}}, "secrets has the name 5, which is not a file's"),
        ({"secrets": {"key": "etc/key"}}, "host api: secrets gives key no absolute path"),
        ({"secrets": {"key": ["/etc/key"]}}, "host api: secrets gives key no absolute path"),
        ({"secrets": {"key": "/etc/a\nb"}}, "host api: secrets gives key a path with a line break or NUL character"),
        ({"egress": None}, "host api: egress must be none, any, or a list of host names"),
        (
            {"egress": ["https://packages.example.org/x"]},
            "has 'https://packages.example.org/x', which is not a host name",
        ),
        ({"egress": ["-x.example.org"]}, "has '-x.example.org', which is not a host name"),
    ],
)
def test_a_bad_value_is_refused_with_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    found = problems(**changes)
    assert any(sentence in problem for problem in found), found
    assert all(problem.startswith("host ") and problem.endswith(".") for problem in found)


@pytest.mark.parametrize("secrets", ["s3cr3t", {"key": "s3cr3t"}, ["s3cr3t"], {"key": {"value": "s3cr3t"}}])
def test_a_secret_in_place_of_its_path_is_not_shown(secrets: Any) -> None:
    (problem,) = problems(secrets=secrets)
    assert "s3cr3t" not in problem


def test_each_wrong_secret_is_reported() -> None:
    assert len(problems(secrets={"a/b": "/etc/key", "key": "", "good": "/etc/key"})) == 2
    assert read_project({**GOOD, "secrets": {"b": "/etc/b", "a": "/etc/a"}})[0].secrets == ("a", "b")


def test_all_problems_of_all_projects_are_reported_at_once() -> None:
    found = project_problems([{**GOOD, "memory": "x", "cpus": "y"}, {**GOOD, "id": "web", "pids": 0}], ["python"])
    assert [problem.split(":")[0] for problem in found] == ["host api", "host api", "host web"]


def test_a_project_that_is_declared_twice_is_refused() -> None:
    assert project_problems([GOOD, GOOD], ["python"]) == ["host api: it is declared 2 times: keep one."]


@pytest.mark.parametrize(
    ("text", "size"), [("512m", 2**29), ("2g", 2**31), ("1.5G", 3 * 2**29), ("1 GiB", 2**30), (2**30, 2**30)]
)
def test_sizes_can_have_the_usual_notations(text: Any, size: int) -> None:
    assert read_project({**GOOD, "memory": text})[0].limits.memory == size


@pytest.mark.parametrize(
    ("age", "seconds"),
    [("90s", 90), ("45m", 2700), ("12h", 43200), ("30d", 2592000), ("2w", 1209600), ("3650d", 315360000)],
)
def test_a_time_can_have_each_unit(declared: dict[str, Any], age: str, seconds: int) -> None:
    read = parse_fleet({**declared["fleet"], "journal_age": age, "journal_size": "1m"}, declared["projects"])
    assert (read.journal_age, read.journal_size) == (seconds, 2**20)


def test_shell_characters_in_arguments_are_kept_as_they_are() -> None:
    argv = ["echo", "; rm -rf /", "$(id)", "--", "a\nb"]
    project, found = read_project({**GOOD, "tasks": {"test": argv}})
    assert (project.tasks["test"].argv, found) == (argv, [])


KNOWN: dict[str, Any] = {
    "ty": {"command": ["ty", "server"], "languages": {"*.py": "python"}, "settings": {"ty": {"a": {"x": 1, "y": 2}}}},
    "ruff": {"command": ["ruff", "server"], "languages": {"*.py": "python"}, "features": ["format"]},
}


def servers(*chosen: Any) -> list[dict[str, Any]]:
    declared = {**GOOD, "known_language_servers": KNOWN, "language_servers": list(chosen)}
    project, found = read_project(declared)
    assert found == []
    return list(project.language_servers)


def test_known_servers_are_chosen_by_name_in_the_order_of_the_project() -> None:
    assert [(one["name"], one["command"]) for one in servers("ruff", "ty")] == [
        ("ruff", ["ruff", "server"]),
        ("ty", ["ty", "server"]),
    ]


def test_a_project_overrides_a_known_server_key_by_key() -> None:
    (before,), (after,) = (
        servers("ty"),
        servers(
            {"name": "ty", "features": ["hover"], "languages": {"*.pyi": "python"}, "settings": {"ty": {"a": {"y": 3}}}}
        ),
    )
    assert after["settings"] == {"ty": {"a": {"x": 1, "y": 3}}}
    assert after["languages"] == {"*.py": "python", "*.pyi": "python"}
    assert after["features"] == ["hover"]
    assert {key: after[key] for key in ("name", "command", "ready")} == {
        key: before[key] for key in ("name", "command", "ready")
    }
    assert KNOWN["ty"]["settings"] == {"ty": {"a": {"x": 1, "y": 2}}}


def test_a_list_in_a_known_server_is_replaced_as_a_whole() -> None:
    (server,) = servers({"name": "ruff", "features": ["diagnostics"], "command": ["ruff"]})
    assert (server["features"], server["command"]) == (["diagnostics"], ["ruff"])


def test_a_server_that_no_profile_knows_is_described_in_full() -> None:
    new = {"name": "mine", "command": ["mine"], "languages": {"*.mine": "mine"}, "features": ["navigation"]}
    assert [one["name"] for one in servers("ty", new)] == ["ty", "mine"]
    assert servers(new)[0]["features"] == ["navigation"]


def test_numbers_in_the_environment_become_strings() -> None:
    assert read_project({**GOOD, "environment": {"PORT": 8080}})[0].environment == {"PORT": "8080"}


def test_a_number_may_be_written_as_text(declared: dict[str, Any]) -> None:
    fleet = {**declared["fleet"], "port": "3001", "uid": "1001", "run_width": "3"}
    typed = parse_fleet(fleet, declared["projects"])
    assert (typed.port, typed.uid, typed.run_width) == (3001, 1001, 3)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("name", "My Fleet", "codebuddy_fleet_name 'My Fleet' must be"),
        ("uid", 0, "codebuddy_uid 0 must be the number of a user or group other than root"),
        ("gid", -5, "codebuddy_gid -5 must be"),
        ("port", 70000, "codebuddy_port 70000 must be a port"),
        ("port", "http", "codebuddy_port 'http' must be a port"),
        ("port", True, "codebuddy_port True must be a port"),
        ("state_dir", "state", "codebuddy_state_dir 'state' must be an absolute path"),
        ("journal_size", "much", "codebuddy_journal_size 'much' is not a size: write it like 512m or 2g"),
        (
            "journal_size",
            "1000k",
            "codebuddy_journal_size '1000k' is too little for a journal of edits: give at least 1m",
        ),
        ("journal_age", "forever", "codebuddy_journal_age 'forever' is not a time: write a number and one of s, m, h"),
        ("journal_age", "0d", "codebuddy_journal_age '0d' is not a time"),
        ("journal_age", 30, "codebuddy_journal_age 30 is not a time"),
        ("journal_age", "3651d", "codebuddy_journal_age '3651d' is too long: give at most ten years"),
        ("address_pool", "10.0.0.0/28", "holds 2 networks, but 3 are needed"),
        ("hub", {"image": "x", "memory": "tiny"}, "hub: memory 'tiny' is not a size"),
        ("hub", {}, "hub.image is missing"),
    ],
)
def test_bad_settings_of_the_fleet_are_refused(declared: dict[str, Any], key: str, value: Any, sentence: str) -> None:
    with pytest.raises(FleetError) as caught:
        parse_fleet({**declared["fleet"], key: value}, declared["projects"])
    assert sentence in str(caught.value)
