"""Over its network a spoke reaches the hub's link, and nothing else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from codebuddy_testing.deployment import PROJECTS, SPOKE_PYTHON, Deployment, host_addresses
from codebuddy_testing.reachability import connect, reached

RESOLVE = """
import socket, sys
try:
    print(socket.getaddrinfo(sys.argv[1], 443))
except OSError:
    print("failed")
"""

HTTP = """
import http.client, sys
connection = http.client.HTTPConnection("codebuddy", 3000, timeout=5)
headers = {"Authorization": f"Bearer {sys.argv[2]}"} if len(sys.argv) > 2 else {}
if sys.argv[1] == "upgrade":
    headers |= {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
connection.request("GET", "/" if sys.argv[1] == "upgrade" else sys.argv[1], headers=headers)
print(connection.getresponse().status)
"""

each_project = pytest.mark.parametrize("project", sorted(PROJECTS))


@pytest.fixture(scope="module")
def service_on_the_host() -> Iterator[int]:
    """The port of a service that listens on every address of the host."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        threading.Thread(target=_accept, args=(server,), daemon=True).start()
        yield server.getsockname()[1]


def _accept(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        connection.close()


@each_project
def test_a_spoke_reaches_its_link(fleet: Deployment, project: str) -> None:
    # Without this test, a probe that cannot connect at all would pass the others.
    assert connect(fleet, project, "codebuddy:3000") == {"codebuddy:3000": "connected"}


@each_project
def test_a_spoke_reaches_no_other_spoke(fleet: Deployment, project: str) -> None:
    others = [fleet.address(other, other) for other in fleet.projects if other != project]
    assert not reached(connect(fleet, project, *(f"{other}:{port}" for other in others for port in (22, 3000))))


@each_project
def test_a_spoke_reaches_the_hub_only_at_its_own_link(fleet: Deployment, project: str) -> None:
    elsewhere = [fleet.address("hub", network) for network in ("hub", *fleet.projects) if network != project]
    own = fleet.address("hub", project)
    targets = [f"{one}:3000" for one in elsewhere]
    assert not reached(connect(fleet, project, *targets))
    assert "connected" not in connect(fleet, project, *(f"{own}:{port}" for port in (22, 80, 2375, 8080))).values()


@each_project
def test_a_spoke_reaches_no_service_of_the_host(fleet: Deployment, project: str, service_on_the_host: int) -> None:
    gateways = {
        config["Gateway"].split("/")[0]
        for network in fleet.engine.networks.list()
        for config in (network.attrs["IPAM"]["Config"] or [])
        if "Gateway" in config
    }
    own = {address for address in host_addresses() if not address.startswith("127.")}
    for address in own:
        with socket.create_connection((address, service_on_the_host), timeout=1):
            pass  # it listens there
    targets = [f"{address}:{service_on_the_host}" for address in gateways | own]
    assert not reached(connect(fleet, project, *targets))


@each_project
def test_a_spoke_reaches_neither_the_internet_nor_a_cloud_metadata_service(fleet: Deployment, project: str) -> None:
    targets = ("1.1.1.1:53", "1.1.1.1:443", "8.8.8.8:53", "169.254.169.254:80")
    assert not reached(connect(fleet, project, *targets))


def test_the_hub_does_not_reach_the_internet_either(fleet: Deployment) -> None:
    assert not reached(connect(fleet, "hub", "1.1.1.1:53", "1.1.1.1:443", "169.254.169.254:80"))


@each_project
def test_resolving_a_name_fails_without_waiting_for_a_resolver(fleet: Deployment, project: str) -> None:
    # With these options an unanswered query takes 30 seconds; only one that is refused fails before the time limit.
    command = ["env", "RES_OPTIONS=timeout:30 attempts:1", "timeout", "20", SPOKE_PYTHON, "-c", RESOLVE, "example.com"]
    assert fleet.run(project, *command).output == "failed\n"


@each_project
def test_a_spoke_has_no_ipv6(fleet: Deployment, project: str) -> None:
    assert fleet.run(project, "cat", "/proc/net/if_inet6").output == ""


@each_project
def test_a_spoke_cannot_open_raw_sockets(fleet: Deployment, project: str) -> None:
    for family in ("socket.AF_INET, socket.SOCK_RAW, 1", "socket.AF_PACKET, socket.SOCK_RAW, 0"):
        done = fleet.python(project, f"import socket; socket.socket({family})")
        assert "PermissionError" in done.output


@each_project
def test_the_link_accepts_only_the_projects_own_token(fleet: Deployment, project: str) -> None:
    own = (fleet.state / f"tokens/{project}/token").read_text().strip()
    assert fleet.python(project, HTTP, "upgrade", own).output.strip() == "101"
    for other in fleet.projects:
        if other != project:
            stolen = (fleet.state / f"tokens/{other}/token").read_text().strip()
            assert fleet.python(project, HTTP, "upgrade", stolen).output.strip() in ("401", "403")
    assert fleet.python(project, HTTP, "upgrade", fleet.token()).output.strip() == "401"
    assert fleet.python(project, HTTP, "upgrade").output.strip() == "401"


@each_project
def test_the_client_endpoint_is_not_on_the_projects_network(fleet: Deployment, project: str) -> None:
    # The token is one that the link accepts there, so the paths fail only because they do not exist.
    own = (fleet.state / f"tokens/{project}/token").read_text().strip()
    for path in ("/mcp", "/health", "/metrics"):
        assert fleet.python(project, HTTP, path, own).output.strip() == "404"


@each_project
def test_the_client_endpoint_rejects_a_link_token(fleet: Deployment, project: str) -> None:
    link = (fleet.state / f"tokens/{project}/token").read_text().strip()
    assert fleet.get("/mcp", link).status_code == 401
    assert fleet.get("/health", link).status_code == 401


RESOLVER = """
import socket, struct, sys
query = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0)
query += b"".join(bytes([len(part)]) + part.encode() for part in sys.argv[1].split(".")) + b"\\0"
query += struct.pack(">HH", 1, 1)
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(5)
client.sendto(query, ("127.0.0.11", 53))
try:
    answer = client.recv(512)
except OSError:
    print("nobody answered")
else:
    print("answers", struct.unpack(">H", answer[6:8])[0])
"""


@each_project
def test_the_engines_resolver_forwards_no_query(fleet: Deployment, project: str) -> None:
    """The engine answers name queries in every container; some engines forward them to the host's name server."""
    assert fleet.python(project, RESOLVER, "secret.example.com").output.strip() in ("nobody answered", "answers 0")
    # It is there and answers; otherwise the test would prove nothing.
    assert fleet.python(project, RESOLVER, f"{fleet.name}-{project}").output.strip() == "answers 1"
