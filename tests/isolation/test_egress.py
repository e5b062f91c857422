"""A project with an egress reaches what it declares, through its proxy, and nothing else."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from codebuddy_testing.deployment import PROXIES, Deployment, host_addresses
from codebuddy_testing.reachability import connect, reached
from codebuddy_testing.waiting import wait_until

LISTED, ANY = "project-b", "project-c"
# Sends requests to a proxy, each over its own connection; prints the status of each.
ASK = """
import json, socket, sys
statuses = {}
for line in sys.argv[3:]:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20) as proxy:
        host = line.split()[1].removeprefix("http://").split("/")[0]
        proxy.sendall(f"{line} HTTP/1.1\\r\\nHost: {host}\\r\\nConnection: close\\r\\n\\r\\n".encode())
        statuses[line] = int(proxy.makefile("rb").readline().split()[1])
print(json.dumps(statuses))
"""
READ_BODY = """
import socket, sys
with socket.create_connection(("egress", 3128), timeout=20) as proxy:
    proxy.sendall(f"{sys.argv[1]} HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n".encode())
    print(proxy.makefile("rb").read().decode().partition("\\r\\n\\r\\n")[2])
"""


def ask(fleet: Deployment, part: str, *lines: str, proxy: str = "egress") -> dict[str, int]:
    done = fleet.python(part, ASK, proxy, "3128", *lines)
    assert done.code == 0, done.output
    statuses: dict[str, int] = json.loads(done.output)
    return statuses


def tunnels(fleet: Deployment, part: str, *targets: str) -> dict[str, int]:
    """Ask for a tunnel to each target."""
    statuses = ask(fleet, part, *(f"CONNECT {target}" for target in targets))
    return {line.split()[1]: status for line, status in statuses.items()}


def listed(fleet: Deployment) -> list[str]:
    document = json.loads((fleet.state / f"config/{LISTED}/config.json").read_text())
    return list(document["egress"])


@pytest.fixture
def service_on_the_host() -> Iterator[int]:
    """A listener on port 80 of every address of the host."""
    with socket.create_server(("0.0.0.0", 80)):
        yield 80


def test_the_declared_names_are_reached(fleet: Deployment) -> None:
    # Without this test, a proxy that refuses everything would pass the others.
    targets = [f"{name}:443" for name in listed(fleet)]
    assert targets
    assert set(tunnels(fleet, LISTED, *targets, *map(str.upper, targets)).values()) == {200}


@pytest.mark.parametrize(
    ("request_line", "sentence"),
    [
        ("GET http://example.com/x", "example.com is not in the egress of this project: declare it in the inventory"),
        ("CONNECT example.com:443", "example.com is not in the egress of this project"),
        ("CONNECT example.com:8443", "HTTP can go to the ports 80 and 443 only, and TLS to 443"),
        ("GET ftp://example.com/", "HTTP can go to the ports 80 and 443 only"),
    ],
)
def test_the_body_of_a_refusal_says_why(fleet: Deployment, request_line: str, sentence: str) -> None:
    done = fleet.python(LISTED, READ_BODY, request_line)
    assert done.output.startswith("CodeBuddy: ")
    assert sentence in done.output
    assert "<" not in done.output


def test_the_refusal_of_a_private_address_says_so(fleet: Deployment) -> None:
    done = fleet.python(ANY, READ_BODY, "GET http://127.0.0.1/")
    assert "127.0.0.1 leads to an address that is not public" in done.output


def test_the_address_that_is_connected_to_is_checked_too(fleet: Deployment, service_on_the_host: int) -> None:
    """A name may resolve differently between the two checks: without the first, the second still refuses."""
    network = fleet.inspected[f"{ANY}.egress"]["NetworkSettings"]["Networks"][f"{fleet.name}-{ANY}.egress"]
    second = "sed -e s/:3128/:3129/ -e '/http_access deny reserved/d' /etc/codebuddy/squid.conf > /tmp/second.conf"
    proxy = fleet.container(f"{ANY}.egress")
    proxy.exec_run(["bash", "-c", f"{second}; timeout 20 squid -N -f /tmp/second.conf"], detach=True)
    line = f"GET http://{network['Gateway']}:{service_on_the_host}/"
    question = (ANY, ASK, "egress", "3129", line)
    wait_until(lambda: fleet.python(*question).code == 0, "the second proxy answers", 15)
    assert json.loads(fleet.python(*question).output) == {line: 503}


def test_no_other_name_is_reached_however_similar(fleet: Deployment) -> None:
    names = [
        other
        for name in listed(fleet)
        for other in (f"x{name}", f"{name}.example.com", f"www.{name}", f"{name}x", name.partition(".")[2])
    ]
    targets = [f"{name}:443" for name in (*names, "example.com", "localhost", "codebuddy")]
    assert set(tunnels(fleet, LISTED, *targets).values()) == {403}


def test_the_address_of_a_declared_name_is_refused(fleet: Deployment) -> None:
    addresses = {info[4][0] for name in listed(fleet) for info in socket.getaddrinfo(name, 443, socket.AF_INET)}
    assert set(tunnels(fleet, LISTED, *(f"{one}:443" for one in addresses)).values()) == {403}


@pytest.mark.parametrize("project", [LISTED, ANY])
def test_only_the_ports_of_http_and_tls_are_reached(fleet: Deployment, project: str) -> None:
    name = listed(fleet)[0]
    lines = [f"CONNECT {name}:22", f"CONNECT {name}:80", f"GET http://{name}:8080/", f"GET ftp://{name}/"]
    assert set(ask(fleet, project, *lines).values()) == {403}


def test_with_egress_any_every_name_is_reached_but_no_private_address(
    fleet: Deployment, service_on_the_host: int
) -> None:
    name = listed(fleet)[0]
    assert tunnels(fleet, ANY, f"{name}:443") == {f"{name}:443": 200}
    own = {one for one in host_addresses() if not one.startswith("127.")}
    for one in own:
        socket.create_connection((one, service_on_the_host), timeout=1).close()  # it does listen there
    inside = [fleet.address(part, part) for part in (*fleet.projects, *PROXIES.values())]
    others = ["127.0.0.1", "0.0.0.0", "169.254.169.254", "10.0.0.1", "192.168.1.1", "[::1]", "[::ffff:127.0.0.1]"]
    lines = [f"GET http://{one}/" for one in (*own, *inside, *others)]
    assert set(ask(fleet, ANY, *lines).values()) == {403}
    tunnelled = [f"{one}:443" for one in (*own, *inside, *others, "2130706433", "0x7f000001", "0177.0.0.1")]
    assert 200 not in tunnels(fleet, ANY, *tunnelled).values()


def test_a_name_that_resolves_to_a_private_address_is_refused(fleet: Deployment) -> None:
    # The proxy can resolve the name: it is the hub's on the project's network.
    resolved = fleet.run(PROXIES[ANY], "getent", "hosts", "codebuddy")
    assert resolved.output.split()[0] == fleet.address("hub", ANY)
    assert tunnels(fleet, ANY, "codebuddy:443") == {"codebuddy:443": 403}


def test_the_proxy_is_the_only_way_out(fleet: Deployment) -> None:
    for project, proxy in PROXIES.items():
        outside = fleet.address(proxy, proxy)
        gateway = fleet.inspected[proxy]["NetworkSettings"]["Networks"][f"{fleet.name}-{proxy}"]["Gateway"]
        targets = [f"{address}:{port}" for address in (outside, gateway, "1.1.1.1") for port in (3128, 443)]
        assert not reached(connect(fleet, project, *targets))


def test_a_proxy_serves_only_its_own_spoke(fleet: Deployment) -> None:
    name = listed(fleet)[0]
    for project, proxy in PROXIES.items():
        inside = fleet.address(proxy, project)
        assert ask(fleet, "hub", f"CONNECT {name}:443", proxy=inside) == {f"CONNECT {name}:443": 403}
        for other in fleet.projects:
            if other != project:
                assert not reached(connect(fleet, other, f"{inside}:3128"))
    assert fleet.python("project-a", "import socket; socket.gethostbyname('egress')").code == 1


def test_a_proxys_management_pages_are_refused(fleet: Deployment) -> None:
    lines = [f"GET http://egress:3128/squid-internal-mgr/{page}" for page in ("menu", "config", "shutdown")]
    assert set(ask(fleet, ANY, *lines, "GET /squid-internal-mgr/menu").values()) == {403}
