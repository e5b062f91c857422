"""A request goes to the first declared server that supports it; if none does, the answer names what is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.anyio
DEFINITION, IMPLEMENTATION = "textDocument/definition", "textDocument/implementation"
REGISTER = {"registrations": [{"id": "7", "method": IMPLEMENTATION, "registerOptions": {}}]}
UNREGISTER = {"unregisterations": [{"id": "7", "method": IMPLEMENTATION}]}


@pytest.mark.parametrize("announced", [None, False])
async def test_a_request_that_no_server_announces_is_unsupported_and_not_sent(announced: Any, start: Any) -> None:
    async with start({}, {"implementationProvider": announced}) as fake:
        answer = await fake.implementations()
        assert (answer.complete, answer.reason, answer.locations) == (False, "unsupported", [])
        assert answer.message == "fake does not announce implementationProvider."
        assert fake.sent(IMPLEMENTATION) == []


async def test_an_empty_object_announces_a_capability(start: Any) -> None:
    async with start({}, {"implementationProvider": {}}) as fake:
        assert (await fake.implementations()).complete


async def test_a_registered_capability_counts_until_it_is_unregistered(start: Any, root: Path) -> None:
    on = {
        DEFINITION: [[{"ask": [1, "client/registerCapability", REGISTER]}, {"reply": None}]],
        IMPLEMENTATION: [[{"ask": [2, "client/unregisterCapability", UNREGISTER]}, {"reply": None}]],
    }
    async with start(on, {"implementationProvider": None}) as fake:
        assert (await fake.implementations()).reason == "unsupported"
        await fake.definition()
        assert (await fake.implementations()).complete
        assert (await fake.implementations()).reason == "unsupported"


async def test_the_second_server_is_asked_if_the_first_lacks_the_capability(start: Any, wire: Any) -> None:
    on = {IMPLEMENTATION: [[{"reply": wire.place("shop.py", 0, 4, 13)}]]}
    async with start({}, {"implementationProvider": None}, second=(on, {})) as fake:
        answer = await fake.implementations()
        assert (answer.complete, [one.path for one in answer.locations]) == (True, ["p/shop.py"])
        assert fake.sent(IMPLEMENTATION) == []


async def test_every_server_that_lacks_a_capability_is_named(start: Any) -> None:
    lacking = {"implementationProvider": None}
    async with start({}, lacking, second=({}, lacking)) as fake:
        message = (await fake.implementations()).message
        assert message == (
            "fake does not announce implementationProvider, second does not announce implementationProvider."
        )


async def test_a_dead_server_is_reported_if_no_other_supports_the_request(start: Any) -> None:
    lacking = {"implementationProvider": None}
    async with start({"initialize": [[{"exit": 1}]]}, second=({}, lacking)) as fake:
        answer = await fake.implementations()
        assert (answer.complete, answer.reason) == (False, "server_crashed")


async def test_the_second_server_answers_when_the_first_is_dead(start: Any, wire: Any) -> None:
    on = {DEFINITION: [[{"reply": wire.place("shop.py", 0, 4, 13)}]]}
    async with start({"initialize": [[{"exit": 1}]]}, second=(on, {})) as fake:
        answer = await fake.definition()
        assert (answer.complete, [one.path for one in answer.locations]) == (True, ["p/shop.py"])


async def test_a_server_that_does_not_start_in_time_is_reported_as_indexing(start: Any) -> None:
    async with start({"initialize": [[{"deaf": True}]]}) as fake:
        answer = await fake.definition(timeout_seconds=0.3)
        assert (answer.complete, answer.reason) == (False, "indexing")


async def test_a_server_is_not_asked_for_features_that_it_is_not_declared_for(start: Any) -> None:
    async with start(features=["hover"]) as fake:
        answer = await fake.definition()
        assert answer.reason == "unsupported"
        assert "declared for navigation" in (answer.message or "")


MODULES = {
    "a.cjs": ("", True),
    "b.js": ("exports.f = 1;\n", True),
    "c.js": ("const f = require('./b');\n", True),
    "d.js": ("import f from './b.js';\nrequire('x');\n", False),
    "e.js": ("const f = 1;\n", False),
    "esm/f.js": ("module.exports = 1;\n", False),
    "esm/old/g.js": ("module.exports = 1;\n", True),
    "esm/package.json": ('{"type": "module"}', False),
    "esm/old/package.json": ("{", True),
}


async def test_a_server_of_commonjs_modules_is_started_by_a_question_about_one(start: Any, root: Path) -> None:
    for path, (text, _) in MODULES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    scripts = {"*.js": "javascript", "*.cjs": "javascript"}
    async with start(modules="commonjs", languages=scripts) as fake:
        served = {path: bool(fake.servers.serving(root / path, "navigation")) for path in MODULES if "json" not in path}
        assert served == {path: yes for path, (_, yes) in MODULES.items() if "json" not in path}
        assert (await fake.definition(path="p/e.js", line=1, column=1)).reason == "unsupported"
        assert [state["state"] for state in fake.servers.states()] == ["stopped"]
        assert await fake.servers.restart(None, 0.0, fake.report) == []
        assert (await fake.definition(path="p/b.js", line=1, column=1)).complete
        assert [state["state"] for state in fake.servers.states()] == ["ready"]


async def test_a_server_of_commonjs_modules_is_asked_before_the_others(start: Any, root: Path) -> None:
    async with start({}, second=({}, {})) as fake:
        first, second = fake.servers._servers
        second.config = replace(second.config, modules="commonjs", languages={"*.cjs": "javascript"})
        first.config = replace(first.config, languages={"*.cjs": "javascript"})
        asked = fake.servers.serving(root / "a.cjs", "navigation")
        assert [server.config.name for server in asked] == ["second", "fake"]
