"""What CommonJS modules of plain JavaScript export is found where it is used, as in Express."""

from __future__ import annotations

import os
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import pytest

from codebuddy.agent.code.rename import plan_rename
from codebuddy.schemas.code import RenameArguments

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(os.environ.get("CODEBUDDY_SERVER_PROFILE") != "typescript", reason="modules of JavaScript"),
]
Running = AbstractAsyncContextManager[Any]

FILES: Final = {
    "package.json": '{"name": "express-like", "version": "1.0.0"}\n',
    "index.js": "module.exports = require('./lib/express');\n",
    "lib/express.js": """\
var Route = require('./route');
var utils = require('./utils');
var { etag, charset: set } = require('./utils');

exports = module.exports = create;

function create() {
  return [utils.etag(1), etag(2), set(3)];
}

exports.Route = Route;
""",
    "lib/utils.js": """\
exports.etag = function (val) { return val; };
exports.charset = charset;
exports.flag = true;
function charset(type) { return exports.etag(type); }
""",
    "lib/route.js": """\
module.exports = Route;
function Route(path) { this.path = path; }
Route.prototype.dispatch = function dispatch() { return this.path; };
""",
    "test/all.js": """\
const express = require('..');
const u = require('../lib/utils');
const R = require('../lib/route');
u.etag(u.charset(u.flag));
new R('/').dispatch();
u.use(express.Route);
""",
}


@pytest.fixture
def express(project: Running, tmp_path: Path) -> Running:
    """The project's servers, on other files."""
    for old in sorted((tmp_path / "project").rglob("*"), reverse=True):
        old.rmdir() if old.is_dir() else old.unlink()
    for path, text in FILES.items():
        (tmp_path / "project" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "project" / path).write_text(text)
    return project


def at(here: Any, path: str, text: str) -> dict[str, int]:
    line, column = here.place(path, text)
    return {"line": line, "column": column}


CHARSET = "lib/express.js:3:13 lib/utils.js:2:9 lib/utils.js:2:19 lib/utils.js:4:10 test/all.js:4:10"
ROUTE = (
    "lib/express.js:1:5 lib/express.js:11:9 lib/express.js:11:17 lib/route.js:1:18 lib/route.js:2:10 lib/route.js:3:1 "
    "test/all.js:3:7 test/all.js:5:5 test/all.js:6:15"
)


USES: Final = [  # the first question is at a use, of a server that knows no file yet
    ("test/all.js", "charset", CHARSET),
    ("lib/utils.js", "charset = ", CHARSET),
    ("lib/utils.js", "charset(type", CHARSET),
    (
        "lib/utils.js",
        "etag = ",
        "lib/express.js:3:7 lib/express.js:8:17 lib/express.js:8:26 lib/utils.js:1:9 lib/utils.js:4:41 test/all.js:4:3",
    ),
    ("lib/utils.js", "flag", "lib/utils.js:3:9 test/all.js:4:20"),
    ("lib/route.js", "dispatch = ", "lib/route.js:3:17 test/all.js:5:12"),
    ("lib/route.js", "Route(path", ROUTE),
    ("lib/express.js", "Route = Route", ROUTE),
]


async def test_what_a_module_exports_is_found_in_all_others(express: Running) -> None:
    async with express as here:
        for path, text, uses in USES:
            answer = await here.references(path, **at(here, path, text))
            found = {f"{one.path.removeprefix('p/')}:{one.line}:{one.column}" for one in answer.locations}
            assert (answer.complete, found) == (True, set(uses.split())), (path, text, answer.message)
        for text, where in (("etag(u", ("p/lib/utils.js", 1)), ("dispatch", ("p/lib/route.js", 3))):
            (defined,) = (await here.definition("test/all.js", **at(here, "test/all.js", text))).locations
            assert (defined.path, defined.line) == where


async def test_a_rename_reaches_the_other_modules(express: Running) -> None:
    async def report(message: str) -> None:
        return None

    async with express as here:
        place = at(here, "lib/route.js", "dispatch = ")
        arguments = RenameArguments(path="p/lib/route.js", new_name="run", timeout_seconds=120.0, **place)
        planned = await plan_rename(here.servers, arguments, report)
        assert {change.path for change in planned.changes} == {"p/lib/route.js", "p/test/all.js"}
        assert planned.left_out == []
