"""Error messages, quoted from real engines, become sentences that name the thing to change."""

from __future__ import annotations

import pytest
from ansible.module_utils.codebuddy_fleet.engine_errors import explain


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("Pool overlaps with other one on this address space", "set codebuddy_address_pool"),
        ("invalid pool request: Pool overlaps with other one on this address space", "set codebuddy_address_pool"),
        (
            "cannot create network 1 (br-1): conflicts with network 2 (br-2): networks have overlapping IPv4",
            "set codebuddy_address_pool",
        ),
        (
            "driver failed programming external connectivity on endpoint x (0): Bind for 127.0.0.1:3950 failed: "
            "port is already allocated",
            "set codebuddy_port",
        ),
        (
            "driver failed programming external connectivity on endpoint x (0): Error starting userland proxy: "
            "listen tcp4 127.0.0.1:3950: bind: address already in use",
            "set codebuddy_port",
        ),
        ("Address already in use", "taken by another container on its network"),
        (
            'invalid mount config for type "bind": bind source path does not exist: /srv/api',
            "the directory /srv/api does not exist",
        ),
        ("No such image: codebuddy/hub:1", "the image codebuddy/hub:1 is not there: build it first"),
        ("Minimum memory limit allowed is 6MB", "declare more memory"),
        (
            "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container "
            "process: error during container init: error setting rlimits for ready process: error setting rlimit "
            "type 7: operation not permitted: unknown",
            "hard limit of at least 16384",
        ),
        ("something that nobody knows {yet}", "the engine says: something that nobody knows {yet}."),
    ],
)
def test_the_sentence_names_the_subject_and_the_fix(said: str, advice: str) -> None:
    sentence = explain("Container codebuddy-hub", said)
    assert sentence.startswith("Container codebuddy-hub: ")
    assert advice in sentence
    assert sentence.endswith(".")
