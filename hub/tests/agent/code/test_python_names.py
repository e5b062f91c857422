from __future__ import annotations

import re

import pytest

from codebuddy.agent.code.python_names import read_names

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
    "a walrus in a class": "thing = 1\nclass A:\n    if (thing¹ := 2): pass\n    thing¹ = 3\n",
    "an exception": "try: ...\nexcept OSError as thing¹: ...\nthing¹ = 1\n",
    "an import that is shadowed": "from a import thing\nthing¹ = 2\nthing¹ = 3\n",
    "imports in turn": "def f():\n    from a import thing\n    thing()\n    from b import thing\n",
    "a class of what it shadows": "from a import thing\nclass thing(thing): ...\n",
    "imports in branches": "if x:\n    from a import thing¹\nelif y:\n    from b import thing¹\n"
    "else:\n    thing¹ = 1\n",
    "an import in a branch and in none": "if x:\n    from a import thing\nfrom b import thing\n",
    "the rest of a try": "try:\n    import a\nexcept OSError:\n    thing¹ = 1\nelse:\n    from a import thing¹\n",
    "a class in a function": "def f():\n    thing¹ = 1\n    class A:\n        thing = 2\n    thing¹ = 3\n",
    "a lambda": "f = lambda thing: thing\nthing¹ = 1\nthing¹ = 2\n",
    "patterns": "match x:\n    case thing¹: ...\n    case [*thing¹]: ...\n    case int() as thing¹: ...\n",
    "wide characters": "é = '👋'; thing¹ = 1\n日 = thing¹ = 2\n",
    "a decorator": "@over(\n    thing)\ndef thing¹(): ...\n@thing\nclass thing¹: ...\n",
}


@pytest.mark.parametrize("marked", CASES.values(), ids=list(CASES))
def test_what_binds_the_same_variable(marked: str) -> None:
    expected: dict[str, set[tuple[int, int]]] = {}
    for number, text in enumerate(marked.split("\n"), 1):
        for shift, match in enumerate(re.finditer("thing([¹²])", text)):
            expected.setdefault(match[1], set()).add((number, match.start() - shift + 1))
    names = read_names(re.sub("[¹²]", "", marked).split("\n"), "thing")
    assert names is not None
    for places in expected.values():
        for place in places:
            assert names.same_as({place}) - {place} == places - {place}
    others = {one.place for one in names.bindings} - set().union(*expected.values())
    for place in others:
        assert names.same_as({place}) <= {place}


@pytest.mark.parametrize("text", ["def thing(:\n", "print 'thing'\n", "thing = \0\n"])
def test_what_is_no_python_cannot_be_read(text: str) -> None:
    assert read_names(text.split("\n"), "thing") is None


def test_long_sums_and_chains_are_read() -> None:
    lines = ["x = " + "'a' + " * 1200 + "'b'", "y = f" + "()" * 1500, "def thing(): ...", "def thing(): ..."]
    names = read_names(lines, "thing")
    assert names is not None
    assert names.same_as({(3, 5)}) == {(3, 5), (4, 5)}


@pytest.mark.parametrize(
    ("text", "is_exported"),
    [
        ("from a import thing\n__all__ = ['<thing']\n", True),
        ('def thing(): ...\n__all__: list[str] = [\n    r"<thing",\n]\n', True),
        ("if x:\n    thing = 1\n    __all__ += ('other', '<thing')\n", True),
        ("thing = 1\n__all__.extend(['<thing'])\n__all__.append('<thing')\n", True),
        ("thing = 1\n__all__ = base.__all__ + ['<thing'] + other\n", True),
        ("from a import thing as other\ndef f(): thing = 1\n__all__ = ['<thing']\n", False),
        ("thing = 1\n__all__ = base.__all__\ndef f(row): return row['thing'], ['thing']\n", False),
        ("thing = 1\n__all__ = 'other thing'.split()\nall = ['thing']\n", False),
    ],
)
def test_names_in_all(text: str, is_exported: bool) -> None:
    lines = text.split("\n")
    places = {(n, m.start() - k + 1) for n, line in enumerate(lines, 1) for k, m in enumerate(re.finditer("<", line))}
    names = read_names([line.replace("<", "") for line in lines], "thing")
    assert names is not None
    bound = {one.place for one in names.bindings if is_exported}
    exported = set(names.exported(bound or {one.place for one in names.bindings if one.scope > 0}))
    assert exported == (places if is_exported else set())
