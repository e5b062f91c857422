from __future__ import annotations

import re
from pathlib import Path

import pytest

from codebuddy.agent.code.redeclared import bindings, twins

# In each text the name is ``thing``; what binds it is marked with the number of its scope.
CASES = {
    "branches": "if x:\n    def thing¹(): ...\nelse:\n    async def thing¹(): ...\nthing()\n",
    "an import and a definition": "try:\n    from fast import thing¹\nexcept ImportError:\n    thing¹ = None\n",
    "imports by another name": "try:\n    import other as thing¹\nexcept ImportError:\n    import thing¹.more\n",
    "another import": "import a.thing\nimport thing as other\nfrom thing import more\nthing¹ = thing¹ = 1\n",
    "a method and a function": "def thing¹(): ...\nclass A:\n    def thing²(self): ...\n"
    "    @thing.setter\n    def thing²(self, x): ...\nthing¹: int = 3\n",
    "a function's own": "thing¹ = 1\ndef f(thing², x=thing):\n    for thing² in x: ...\n    with x as thing²: ...\n"
    "thing¹ += 1\n",
    "global": "thing¹ = 1\ndef f():\n    if x:\n        global thing\n    thing¹ = 2\n",
    "nonlocal": "def f():\n    thing¹ = 1\n    def g():\n        nonlocal thing\n        thing¹ = 2\n",
    "comprehensions": "thing¹ = [thing for thing in x if (y := thing)]\nthing¹ = [x for x in y if (thing¹ := x)]\n",
    "a class in a function": "def f():\n    thing¹ = 1\n    class A:\n        thing = 2\n    thing¹ = 3\n",
    "a lambda": "f = lambda thing: thing\nthing¹ = 1\nthing¹ = 2\n",
    "patterns": "match x:\n    case thing¹: ...\n    case [*thing¹]: ...\n    case int() as thing¹: ...\n",
    "wide characters": "é = '👋'; thing¹ = 1\n日 = thing¹ = 2\n",
    "a decorator": "@over(\n    thing)\ndef thing¹(): ...\n@thing\nclass thing¹: ...\n",
}


@pytest.mark.parametrize("marked", CASES.values(), ids=list(CASES))
def test_bindings_of_a_name_by_scope(marked: str) -> None:
    expected: dict[str, set[tuple[int, int]]] = {}
    for number, text in enumerate(marked.split("\n"), 1):
        for shift, match in enumerate(re.finditer("thing([¹²])", text)):
            expected.setdefault(match[1], set()).add((number, match.start() - shift + 1))
    found = bindings(re.sub("[¹²]", "", marked).split("\n"), "thing")
    assert sorted(map(sorted, found)) == sorted(
        map(sorted, (places for places in expected.values() if len(places) > 1))
    )


@pytest.mark.parametrize(
    "text", ["def thing(:\n", "print 'thing'\n", "thing = \0\n", "(" * 5000 + "thing" + ")" * 5000]
)
def test_what_cannot_be_read_binds_nothing(text: str) -> None:
    assert bindings(text.split("\n"), "thing") == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lib.js", ["lib.d.ts"]),
        ("lib.d.ts", ["lib.js", "lib.jsx"]),
        ("lib.d.mts", ["lib.mjs"]),
        ("lib.pyi", ["lib.py"]),
        ("lib.ts", []),
        ("lib.rs", []),
    ],
)
def test_files_beside_that_declare_the_same(name: str, expected: list[str]) -> None:
    assert twins(Path("/a") / name) == [Path("/a") / other for other in expected]
