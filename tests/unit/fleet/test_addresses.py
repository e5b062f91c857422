"""Each network has a subnet of its own, which does not change when others are added or removed."""

from __future__ import annotations

import ipaddress

import pytest
from ansible.module_utils.codebuddy_fleet.addresses import PoolError, allocate, parse_pool

POOL = parse_pool("10.213.0.0/16")


def test_no_two_networks_overlap_even_in_a_full_pool() -> None:
    pool = parse_pool("10.213.0.0/24")
    front, subnets = allocate(pool, [f"p{n}" for n in range(31)])
    networks = [ipaddress.ip_network(s.cidr) for s in (front, *subnets.values())]
    assert len(set(networks)) == 32
    assert all(network.subnet_of(pool) for network in networks)
    assert networks[0].network_address == pool.network_address


def test_gateway_hub_spoke_and_proxy_are_the_first_four_hosts_of_the_subnet() -> None:
    _, subnets = allocate(POOL, ["api"])
    base = ipaddress.ip_network(subnets["api"].cidr).network_address
    api = subnets["api"]
    assert [api.gateway, api.hub, api.spoke, api.proxy] == [str(base + n) for n in (1, 2, 3, 4)]


def test_the_order_of_the_declaration_does_not_matter() -> None:
    assert allocate(POOL, ["b", "a", "c"]) == allocate(POOL, ["c", "b", "a"])


def test_a_new_project_does_not_change_the_addresses_of_the_others() -> None:
    ids = [f"project-{n}" for n in range(50)]
    before = allocate(POOL, ids)[1]
    after = allocate(POOL, [*ids, "aaa"])[1]
    assert {key: after[key] for key in ids} == before


def test_a_pool_that_is_too_small_is_refused_with_the_number_that_is_needed() -> None:
    with pytest.raises(PoolError, match=r"holds 2 networks, but 3 are needed"):
        allocate(parse_pool("10.213.0.0/28"), ["a", "b"])


@pytest.mark.parametrize(
    ("pool", "reason"),
    [
        ("10.213.0.1/16", "is not an IPv4 network"),
        ("10.213.0.0", "too small"),
        ("fd00::/64", "is not an IPv4 network"),
        ("--pool", "is not an IPv4 network"),
        ("8.8.0.0/16", "not a private range"),
        ("10.213.0.0/30", "too small"),
    ],
)
def test_a_bad_pool_is_refused_and_names_the_variable(pool: str, reason: str) -> None:
    with pytest.raises(PoolError, match=reason) as caught:
        parse_pool(pool)
    assert "codebuddy_address_pool" in str(caught.value)
