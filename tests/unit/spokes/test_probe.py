"""The probe finds each hole in the isolation."""

from __future__ import annotations

import importlib.util
import os
import socket
from pathlib import Path
from typing import Any

import pytest

ROLE = Path(__file__).parents[3] / "roles/spokes"


def load(path: str) -> Any:
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROLE / path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


probe = load("library/codebuddy_probe.py")
SEALED = dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0000000000000000") | {
    "NoNewPrivs": "1",
    "Seccomp": "2",
}


def found(breaches: Any) -> list[str]:
    return [breach for breach in breaches if breach]


def status(**fields: str) -> str:
    return "".join(f"{name}:\t{value}\n" for name, value in {**SEALED, **fields}.items())


def test_a_sealed_process_has_no_breach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert found(probe.privileges(status())) == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"CapBnd": "00000000a80425fb"}, "CapBnd"),
        ({"CapEff": "0000000000000001"}, "CapEff"),
        ({"NoNewPrivs": "0"}, "no-new-privileges"),
        ({"Seccomp": "0"}, "seccomp"),
    ],
)
def test_each_privilege_is_a_breach(monkeypatch: pytest.MonkeyPatch, fields: dict[str, str], words: str) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    breaches = found(probe.privileges(status(**fields)))
    assert len(breaches) == 1
    assert words in breaches[0]


def test_root_is_a_breach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert found(probe.privileges(status())) == ["it runs as root"]


def test_a_service_that_accepts_connections_is_a_breach() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert found(probe.connections([("127.0.0.1", port)], 2)) == [f"127.0.0.1:{port} can be reached"]


def test_a_refused_connection_is_a_breach_because_something_answered() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        assert found(probe.connections([("127.0.0.1", port)], 2)) == [f"127.0.0.1:{port} answers, if only to refuse"]


def test_every_target_counts_as_an_attempt() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        # 240.0.0.0/4 is reserved (RFC 1112): there is no route, or no answer.
        targets = [("127.0.0.1", server.getsockname()[1]), ("240.0.0.1", 9), ("240.0.0.2", 9)]
        assert len(list(probe.connections(targets, 0.2))) == len(targets)


def test_a_writable_directory_is_a_breach_and_no_file_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "READ_ONLY", (str(tmp_path), str(tmp_path / "missing")))
    assert found(probe.writes()) == [f"{tmp_path} can be written to"]
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_file_is_a_breach_even_if_it_is_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    paths = [str(tmp_path / "link"), str(tmp_path / "none")]
    assert found(probe.forbidden_files(paths)) == [f"{tmp_path / 'link'} is there"]


def test_names_that_can_be_looked_up_are_a_breach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [])
    assert found(probe.names()) == ["names of hosts outside can be looked up"]


FLEET = {
    "networks": {
        "f-hub": {"gateway": "10.0.0.1"},
        "f-a": {"gateway": "10.0.0.9"},
        "f-b": {"gateway": "10.0.0.17"},
    },
    "containers": {
        "f-hub": {
            "networks": {
                "f-hub": {"address": "10.0.0.2"},
                "f-a": {"address": "10.0.0.10"},
                "f-b": {"address": "10.0.0.18"},
            }
        },
        "f-a": {"networks": {"f-a": {"address": "10.0.0.11"}}},
        "f-b": {"networks": {"f-b": {"address": "10.0.0.19"}}},
    },
}


def test_all_addresses_outside_the_own_network_are_foreign() -> None:
    isolation = load("filter_plugins/spokes.py")
    assert set(isolation.foreign_addresses(FLEET, "f-a")) == {
        *("10.0.0.1", "10.0.0.9", "10.0.0.17"),  # gateways, also the own one, which is the host
        *("10.0.0.2", "10.0.0.18"),  # the hub elsewhere
        "10.0.0.19",  # the other spoke
    }


def test_the_directories_of_all_other_projects_are_foreign() -> None:
    isolation = load("filter_plugins/spokes.py")
    projects = [{"id": "a", "path": "/home/me/a"}, {"id": "b", "path": "/home/me/b"}]
    assert isolation.foreign_paths(projects, "a") == ["/home/me/b", "/workspaces/b"]


def test_each_project_has_its_own_token_in_a_directory_of_its_own() -> None:
    tokens = load("filter_plugins/spokes.py").link_tokens([{"id": "a"}, {"id": "b"}], "/state/tokens")
    assert [(one["dest"], one["subject"], one["projects"]) for one in tokens] == [
        ("/state/tokens/a/token", "a", ["a"]),
        ("/state/tokens/b/token", "b", ["b"]),
    ]
