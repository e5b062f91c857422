"""Allocates a subnet of the declared pool to each network: a pure function of the pool and the networks' ids.

Every network is a /29: .0 network, .1 gateway, .2 hub, .3 spoke, .4 proxy. The hub's front network is the first /29 of
the pool. The position of any other comes from the hash of its id, so that a new project does not change the addresses
of the others.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

PREFIX = 29
_SIZE = 2 ** (32 - PREFIX)
_PRIVATE = tuple(ipaddress.IPv4Network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"))


class PoolError(ValueError):
    """The pool cannot be used; the message is a sentence with the reason and what to set."""


@dataclass(frozen=True)
class Subnet:
    """One /29 and the addresses in it."""

    cidr: str
    gateway: str
    hub: str
    spoke: str
    proxy: str


def parse_pool(text: str) -> ipaddress.IPv4Network:
    """Parse a private IPv4 network of at least one /29.

    Raises:
        PoolError: it is anything else.
    """
    try:
        pool = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise PoolError(
            f"codebuddy_address_pool '{text}' is not an IPv4 network ({error}): write it like 10.213.0.0/16."
        ) from None
    if not any(pool.subnet_of(private) for private in _PRIVATE):
        raise PoolError(f"codebuddy_address_pool {pool} is not a private range: take one like 10.213.0.0/16.")
    if pool.prefixlen > PREFIX:
        raise PoolError(
            f"codebuddy_address_pool {pool} is too small: it must hold /{PREFIX} networks, like 10.213.0.0/16."
        )
    return pool


def allocate(pool: ipaddress.IPv4Network, network_ids: Iterable[str]) -> tuple[Subnet, dict[str, Subnet]]:
    """Return the front subnet, and the subnet of each other network by its id.

    Ids with the same hash position are resolved by linear probing in sorted order.

    Raises:
        PoolError: the pool has fewer /29 networks than the fleet needs.
    """
    ids = sorted(network_ids)
    count = 2 ** (PREFIX - pool.prefixlen)
    if len(ids) + 1 > count:
        raise PoolError(
            f"codebuddy_address_pool {pool} holds {count} networks, but {len(ids) + 1} are needed (the hub's, one for "
            "each project, one more for each egress): declare a larger one, like 10.213.0.0/16."
        )
    taken = {0}
    subnets: dict[str, Subnet] = {}
    for network_id in ids:
        index = int.from_bytes(hashlib.sha256(network_id.encode()).digest(), "big") % count
        while index in taken:
            index = (index + 1) % count
        taken.add(index)
        subnets[network_id] = _subnet(pool, index)
    return _subnet(pool, 0), subnets


def _subnet(pool: ipaddress.IPv4Network, index: int) -> Subnet:
    base = pool.network_address + index * _SIZE
    return Subnet(f"{base}/{PREFIX}", str(base + 1), str(base + 2), str(base + 3), str(base + 4))
