"""How an egress is declared, which projects get a proxy, and what the proxy allows."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible.module_utils.codebuddy_fleet.declaration import parse_fleet, read_fleet
from ansible.module_utils.codebuddy_fleet.egress import proxy_environment, read_egress, read_networks
from ansible.module_utils.codebuddy_fleet.errors import FleetError
from ansible.module_utils.codebuddy_fleet.plan import Plan, spec_hash
from ansible.module_utils.codebuddy_fleet.proxies import proxy_config

PlanOf = Callable[[dict[str, Any]], Plan]


@pytest.fixture
def before(declared: dict[str, Any], plan_of: PlanOf) -> Plan:
    return plan_of(declared)


@pytest.fixture
def after(declared: dict[str, Any], plan_of: PlanOf, before: Plan) -> Plan:
    """The same with an egress for ``api``."""
    declared["fleet"]["proxy_image"] = "codebuddy/proxy:1"
    declared["projects"][0]["egress"] = ["packages.example.org"]
    return plan_of(declared)


@pytest.mark.parametrize(
    ("declared", "read"),
    [
        ("none", "none"),
        ("any", "any"),
        ([], "none"),
        (["b.example.org", "A.Example.org", "a.example.org"], ("a.example.org", "b.example.org")),
        (["*.example.org"], ("*.example.org",)),
        (["xn--bcher-kva.example"], ("xn--bcher-kva.example",)),
    ],
)
def test_an_egress_is_parsed(declared: Any, read: Any) -> None:
    assert read_egress(declared) == read


@pytest.mark.parametrize(
    "declared",
    [
        "all", "example.org", True, None, 5, {"example.org": True}, [5], [""], ["localhost"], ["*"], ["*.org"],
        ["example.org:443"], ["https://example.org"], ["example.org/x"], ["example.org."], [".example.org"],
        ["1.2.3.4"], ["[::1]"], ["a b.org"], ["a.org\nacl x"], ["-a.org"], ["a..org"], ["a." * 130 + "org"],
        ["*.*.org"],
        ["b\u00fccher.example"], ["a*.example.org"],
    ],
)  # fmt: skip
def test_an_invalid_egress_is_refused(declared: Any) -> None:
    with pytest.raises(ValueError, match=r"must be none, any, or a list|has .*: (write|declare|name|give) "):
        read_egress(declared)


@pytest.mark.parametrize(
    ("declared", "advice"),
    [
        ("*", "is every host: write egress: any"),
        ("*.com", "is a whole top-level domain"),
        ("pypi", "has no dot: give the full name"),
        ("10.0.0.1", "is an address: declare the host's name"),
        ("127.1", "is an address"),
        ("https://a.example.org", "write it without scheme"),
    ],
)
def test_all_invalid_host_names_are_reported_at_once_with_what_to_write(declared: str, advice: str) -> None:
    with pytest.raises(ValueError, match="which") as raised:
        read_egress([declared, "good.example.org", "bad_name:443"])
    first, second = raised.value.args
    assert advice in first
    assert "'bad_name:443'" in second


@pytest.mark.parametrize("declared", ["10.0.0.0/8", [10], ["10.0.0.1/8"], ["example.org"], ["fd00::/8"]])
def test_an_invalid_list_of_networks_is_refused(declared: Any) -> None:
    with pytest.raises(ValueError, match=r"like \[?10\.20\.0\.0/16"):
        read_networks(declared)


def test_a_project_with_an_egress_gets_a_proxy_and_a_network_for_it(before: Plan, after: Plan) -> None:
    name = "unitfleet-api.egress"
    assert set(after.containers) - set(before.containers) == {name}
    assert set(after.networks) - set(before.networks) == {name}
    assert after.volumes == before.volumes
    proxy = after.containers[name]
    assert set(proxy.networks) == {name, "unitfleet-api"}
    assert (proxy.image, proxy.project) == ("codebuddy/proxy:1", "api")
    assert list(proxy.mounts) == ["/etc/codebuddy"]
    assert not proxy.environment


def test_its_own_spoke_is_recreated_and_stays_sealed_and_the_hub_is_told(before: Plan, after: Plan) -> None:
    changed = {n for n, one in before.containers.items() if spec_hash(after.containers[n]) != spec_hash(one)}
    assert changed == {"unitfleet-api", "unitfleet-hub"}
    assert after.containers["unitfleet-api"].networks == before.containers["unitfleet-api"].networks
    assert all(after.networks[name] == network for name, network in before.networks.items())
    proxy = after.containers["unitfleet-api.egress"]
    assert f"egress:{proxy.networks['unitfleet-api']['address']}" in after.containers["unitfleet-api"].extra_hosts


def test_a_proxy_is_hardened_like_every_container(after: Plan) -> None:
    proxy, spoke = after.containers["unitfleet-api.egress"], after.containers["unitfleet-api"]
    for setting in (
        "user", "ulimits", "cap_drop", "security_options", "read_only", "init", "ipc", "cgroup_namespace", "sysctls",
        "restart", "log_driver", "log_options",
    ):  # fmt: skip
        assert getattr(proxy, setting) == getattr(spoke, setting), setting
    assert proxy.memory == proxy.memory_swap > 0


def test_the_hub_knows_which_projects_have_an_egress(after: Plan) -> None:
    projects = json.loads(after.files["/srv/state/config/hub/config.json"].content)["projects"]
    assert {name for name, one in projects.items() if one.get("has_egress")} == {"api"}
    assert len(projects) > 1


def test_runs_and_servers_have_the_proxy_in_their_environment_and_a_project_can_override_it(
    declared: dict[str, Any], after: Plan, plan_of: PlanOf
) -> None:
    def told(plan: Plan) -> dict[str, str]:
        environment: dict[str, str] = json.loads(plan.files["/srv/state/config/api/config.json"].content)["environment"]
        return environment

    assert told(after)["https_proxy"] == told(after)["HTTP_PROXY"] == "http://egress:3128"
    assert not [name for name in after.containers["unitfleet-api"].environment if "proxy" in name.lower()]
    declared["projects"][0]["environment"] = {"HTTP_PROXY": ""}
    assert told(plan_of(declared))["HTTP_PROXY"] == ""
    assert proxy_environment("none") == {}


def test_a_missing_proxy_image_is_refused(declared: dict[str, Any]) -> None:
    declared["projects"][0]["egress"] = "any"
    with pytest.raises(FleetError, match="proxy_image is missing"):
        parse_fleet(declared["fleet"], declared["projects"])


def test_a_bad_egress_network_is_reported_as_a_problem_of_the_fleet(declared: dict[str, Any]) -> None:
    declared["fleet"]["egress_networks"] = ["10.0.0.1/8"]
    (problem,) = read_fleet(declared["fleet"], declared["projects"])[1]
    assert problem.startswith("fleet: codebuddy_egress_networks has an item that is not a network")


def rules(*names: str, exempt: tuple[str, ...] = ()) -> list[str]:
    text: str = proxy_config(names or "any", listen="10.213.0.12", client="10.213.0.11", exempt=exempt)
    return text.splitlines()


def reserved(lines: list[str]) -> list[ipaddress.IPv4Network]:
    prefix = "acl reserved dst "
    return [ipaddress.IPv4Network(line.removeprefix(prefix)) for line in lines if line.startswith(prefix)]


def test_undeclared_names_are_denied_before_they_are_looked_up() -> None:
    order = [line for line in rules("a.example.org") if line.startswith("http_access")]
    assert order.index("http_access deny !declared") < order.index("http_access deny reserved")
    assert order[0] == "http_access deny !spoke"
    assert order[-1] == "http_access allow all"
    assert "http_access deny !declared" not in rules()


def test_an_exact_name_and_a_wildcard_become_different_rules() -> None:
    lines = rules("a.example.org", "*.b.example.org")
    assert "acl exact dstdomain -n a.example.org" in lines
    assert r"acl below dstdom_regex -n -i \.b\.example\.org$" in lines
    assert "acl declared any-of exact below" in lines


def test_no_address_that_is_not_public_can_be_reached() -> None:
    networks = reserved(rules())
    for text in ("10.1.2.3", "127.0.0.1", "169.254.169.254", "172.17.0.1", "192.168.0.1", "100.64.0.1", "0.0.0.0"):
        assert any(ipaddress.IPv4Address(text) in network for network in networks), text
    assert not any(ipaddress.IPv4Address("93.184.215.14") in network for network in networks)


def test_an_exempt_network_is_excluded_and_nothing_else() -> None:
    networks = reserved(rules(exempt=("10.20.0.0/16",)))
    inside = [
        text for text in ("10.20.0.1", "10.20.255.255") if any(ipaddress.IPv4Address(text) in n for n in networks)
    ]
    assert not inside
    for text in ("10.19.255.255", "10.21.0.0", "127.0.0.1"):
        assert any(ipaddress.IPv4Address(text) in network for network in networks), text
    assert reserved(rules(exempt=("93.0.0.0/8",))) == reserved(rules())
