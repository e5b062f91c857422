"""Advice for runs that had no network, by what their tools print."""

from __future__ import annotations

import pytest

from codebuddy.agent.runs.runs import network_advice

SEALED = [
    "curl: (6) Could not resolve host: packages.example.org",
    "npm error code ENOTCACHED\nnpm error request to https://example.org/x failed: cache mode is 'only-if-cached'",
    "warning: spurious network error: failed to lookup address information: Temporary failure in name resolution",
    "go: example.org/x@v1.0.0: module lookup disabled by GOPROXY=off",
    "error: failed to get `x`\n\nCaused by:\n  attempting to make an HTTP request, but --offline was specified",
    "urllib.error.URLError: <urlopen error [Errno -2] Name or service not known>",
]
REFUSED = [
    "fatal: unable to access 'https://example.org/x/': CONNECT tunnel failed, response 403",
    "curl: (56) Received HTTP code 403 from proxy after CONNECT",
    "urllib.error.URLError: <urlopen error Tunnel connection failed: 403 Forbidden>",
    "npm error 403 403 Forbidden - GET https://packages.example.org/x",
    'go: example.org/x@v1.0.0: Get "https://example.org/x/@v/v1.0.0.mod": Forbidden',
]


@pytest.mark.parametrize("output", SEALED)
def test_without_egress_the_advice_says_that_there_is_none(output: str) -> None:
    assert "egress is none for api" in str(network_advice(f"before\n{output}\nafter", "none", "api"))


@pytest.mark.parametrize("output", REFUSED)
def test_a_refusal_of_the_proxy_names_the_declared_egress(output: str) -> None:
    advice = str(network_advice(output, ["a.example.org", "*.b.example.org"], "api"))
    assert advice.startswith("The proxy of api refused what it asked for: ")
    assert "egress is a.example.org, *.b.example.org" in advice
    assert "egress is any" in str(network_advice(output, "any", "api"))


def test_a_refusal_names_the_undeclared_host() -> None:
    output = (
        "WARNING: Retrying after connection broken by 'OSError('Tunnel connection failed: 403 Forbidden')'\n"
        "HTTPSConnectionPool(host='files.example.org', port=443): Max retries exceeded\n"
        "see https://a.example.org/simple and https://deep.b.example.org"
    )
    advice = str(network_advice(output, ["a.example.org", "*.b.example.org"], "api"))
    assert ": its output names files.example.org, and egress is a.example.org, *.b.example.org; see" in advice
    declared = str(network_advice(output, ["a.example.org", "*.b.example.org", "files.example.org"], "api"))
    assert "(of others when their network is in codebuddy_egress_networks)" in declared
    assert "the container whose name ends in api.egress" in declared


def test_a_403_of_unknown_origin_is_called_a_possible_refusal() -> None:
    output = "curl: (22) The requested URL returned error: 403"
    assert str(network_advice(output, ["a.example.org"], "api")).startswith("If it was the proxy of api that answered")
    assert network_advice(output, "none", "api") is None


@pytest.mark.parametrize("output", SEALED[:1])
def test_a_run_that_bypasses_the_proxy_is_told_to_use_it(output: str) -> None:
    assert "It tried to bypass the proxy, which is the only way out of api" in str(network_advice(output, "any", "api"))


@pytest.mark.parametrize("output", ["", "AssertionError: 403 != 200", "HTTP error: Forbidden", "1 failed"])
@pytest.mark.parametrize("egress", ["none", "any", ["a.example.org"]])
def test_any_other_failure_gets_no_advice(output: str, egress: str | list[str]) -> None:
    assert network_advice(output, egress, "api") is None
