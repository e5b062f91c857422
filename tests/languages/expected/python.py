"""What is right in cases/python. ``import a as b`` binds a new name: the uses of each are found by asking for it."""

from codebuddy_testing.language_cases import Case, CaseFile, Limited, method_cases

OVERLOADS = [
    "shop/formatting.py | def ⟦render⟧(value: float) ->",
    "shop/formatting.py | def ⟦render⟧(value: str, width: int)",
    "shop/formatting.py | def ⟦render⟧(value: float | str",
]
SAME_FUNCTION = "the overloads and their implementation are one function"
BY_NAME = [
    "shop/__init__.py | import ⟦render⟧ as",
    "shop/shapes.py | import ⟦render⟧",
    "shop/shapes.py | {⟦render⟧(self.area())}",
]
ALIAS = "shop/__init__.py | render as ⟦rendered⟧"
LISTED = 'shop/__init__.py | "⟦rendered⟧"]'
BY_ALIAS = [
    "shop/app.py | Store, ⟦rendered⟧\n",
    'shop/app.py | shout(⟦rendered⟧(largest.area()) if largest else ⟦rendered⟧("none", 6))',
    "shop/crlf.py | import ⟦rendered⟧",
    'shop/crlf.py | ("👋", ⟦rendered⟧(1))',
    'shop/crlf.py | second = ⟦rendered⟧("two", 4)',
    "shop/marked.py | import ⟦rendered⟧",
    "shop/marked.py | marked = ⟦rendered⟧(3)",
    "shop/marked.py | last = ⟦rendered⟧(4)",
    "shop/wide.py | import ⟦rendered⟧",
    'shop/wide.py | "e\u0301", ⟦rendered⟧(1)]) + ⟦rendered⟧("漢", 2)',
    'shop/wide.py | "👋" + ⟦rendered⟧(tabbed)',
]
ALIAS_OR_LIST = "a name in __all__ is a string, and what the alias stands for has another name"
AREAS = [
    "shop/shapes.py | @abstractmethod\n    def ⟦area⟧(self)",
    "shop/shapes.py | {render(self.⟦area⟧())}",
    "shop/app.py | rendered(largest.⟦area⟧())",
    "shop/store.py | item.⟦area⟧()",
]
OVERRIDES = [
    "shop/shapes.py | def ⟦area⟧(self) -> float:\n        return 3.14159",
    "shop/shapes.py | def ⟦area⟧(self) -> float:\n        return self.side",
    "tests/app_test.py | square.⟦area⟧()",
]
VIRTUAL = "a call of the abstract method may run them"
SHOUT = [
    "words/loud.py | def ⟦shout⟧(text",
    "words/__init__.py | import ⟦shout⟧",
    "shop/app.py | import ⟦shout⟧",
    "shop/app.py | return ⟦shout⟧(",
]
SHOUT_LISTED = ['words/__init__.py | "⟦shout⟧"]']
IN_LIST = "a name in __all__ is a string"
JEDI_TYPES = "jedi does not infer the type of an item of a list[TypeVar]; pylsp reports no such lack"
CALLS = [
    "shop/app.py | store.⟦add⟧(⟦Square⟧(side))",
    "shop/app.py | store.⟦add⟧(⟦Circle⟧(1))",
]

NOTEBOOK = """\
{
 "cells": [
  {"cell_type": "markdown", "metadata": {}, "source": ["report all"]},
  {"cell_type": "code", "metadata": {}, "outputs": [], "source": [
    "from shop.app import build, report\\n",
    "print('\\u00e9', \\"👋\\", report(build([1])))"
  ]}
 ],
 "metadata": {}, "nbformat": 4, "nbformat_minor": 5
}
"""
IN_NOTEBOOK = ["tour.ipynb | build, ⟦report⟧\\n", "tour.ipynb | , ⟦report⟧(build"]

CASES = [
    Case(
        "find_definition",
        "re-exported overload",
        'shop/app.py | if largest else ⟦rendered⟧("none", 6)',
        OVERLOADS[2:],
        [*OVERLOADS[:2], ALIAS],
        SAME_FUNCTION,
    ),
    Case(
        "find_definition",
        "overridden method",
        "tests/app_test.py | square.⟦describe⟧()",
        ['shop/shapes.py | def ⟦describe⟧(self) -> str:\n        return f"{super'],
    ),
    Case("find_definition", "generic", "shop/app.py | store.⟦largest⟧()", ["shop/store.py | def ⟦largest⟧(self)"]),
    Case(
        "find_definition",
        "generated file",
        "shop/store.py | len(self.items) < ⟦MAX_SHAPES⟧",
        ["generated/limits.py | ⟦MAX_SHAPES⟧ = 8"],
    ),
    Case("find_definition", "workspace package", "shop/app.py | return ⟦shout⟧(", SHOUT[:1]),
    *(
        Case("find_definition", name, ask, OVERLOADS[2:], [*OVERLOADS[:2], ALIAS], SAME_FUNCTION)
        for name, ask in {
            "after wide characters": 'shop/wide.py | "e\u0301", ⟦rendered⟧(1)',
            "after a tab": 'shop/wide.py | "👋" + ⟦rendered⟧(tabbed)',
            "CRLF": 'shop/crlf.py | ("👋", ⟦rendered⟧(1))',
            "byte order mark": "shop/marked.py | import ⟦rendered⟧",
            "no final newline": "shop/marked.py | last = ⟦rendered⟧(4)",
        }.items()
    ),
    Case("find_references", "used everywhere", OVERLOADS[2], [*OVERLOADS, *BY_NAME]),
    Case(
        "find_references",
        "asked at an alias",
        ALIAS,
        [ALIAS, *BY_ALIAS],
        [LISTED, *OVERLOADS, *BY_NAME],
        ALIAS_OR_LIST,
    ),
    Case(
        "find_references",
        "asked after wide characters",
        'shop/wide.py | "👋" + ⟦rendered⟧(tabbed)',
        [ALIAS, *BY_ALIAS],
        [LISTED, *OVERLOADS, *BY_NAME],
        ALIAS_OR_LIST,
    ),
    Case(
        "find_references",
        "interface method",
        AREAS[0],
        AREAS,
        OVERRIDES,
        VIRTUAL,
        limited={"py-pylsp": Limited(JEDI_TYPES, missing=AREAS[3:])},
    ),
    Case(
        "find_references",
        "overriding method",
        "tests/app_test.py | square.⟦describe⟧()",
        [
            'shop/shapes.py | def ⟦describe⟧(self) -> str:\n        return f"{super',
            "tests/app_test.py | square.⟦describe⟧()",
        ],
    ),
    Case(
        "find_references",
        "generic class",
        "shop/store.py | class ⟦Store⟧",
        [
            "shop/store.py | class ⟦Store⟧",
            "shop/__init__.py | import ⟦Store⟧",
            "shop/app.py | Square, ⟦Store⟧,",
            "shop/app.py | sides: list[float]) -> ⟦Store⟧[Base]",
            "shop/app.py | store = ⟦Store⟧[Base]()",
            "shop/app.py | report(store: ⟦Store⟧[Base])",
        ],
        ['shop/__init__.py | "⟦Store⟧"'],
        IN_LIST,
    ),
    Case(
        "find_references",
        "generic method",
        "shop/store.py | def ⟦largest⟧(self)",
        ["shop/store.py | def ⟦largest⟧(self)", "shop/app.py | store.⟦largest⟧()"],
    ),
    Case(
        "find_references",
        "generated file",
        "generated/limits.py | ⟦MAX_SHAPES⟧ = 8",
        [
            "generated/limits.py | ⟦MAX_SHAPES⟧ = 8",
            "shop/store.py | import ⟦MAX_SHAPES⟧",
            "shop/store.py | len(self.items) < ⟦MAX_SHAPES⟧",
        ],
    ),
    Case("find_references", "workspace package", SHOUT[0], SHOUT, SHOUT_LISTED, IN_LIST),
    Case(
        "find_references",
        "used in tests",
        "shop/app.py | def ⟦report⟧",
        ["shop/app.py | def ⟦report⟧", "tests/app_test.py | build, ⟦report⟧", "tests/app_test.py | ⟦report⟧(build([2"],
    ),
    Case(
        "find_references",
        "used in a notebook",
        "shop/app.py | def ⟦report⟧",
        [
            "shop/app.py | def ⟦report⟧",
            "tests/app_test.py | build, ⟦report⟧",
            "tests/app_test.py | ⟦report⟧(build([2",
            *IN_NOTEBOOK,
        ],
        file=CaseFile("tour.ipynb", NOTEBOOK),
        told=dict.fromkeys(("py-pylsp", "py-ty", "py-mixed"), IN_NOTEBOOK),
    ),
    Case(
        "find_implementations",
        "interface method",
        AREAS[0],
        OVERRIDES[:2],
        AREAS[:1],
        "a server may name the member itself",
    ),
    Case(
        "find_implementations",
        "interface",
        "shop/shapes.py | class ⟦Base⟧(ABC)",
        ["shop/shapes.py | class ⟦Circle⟧", "shop/shapes.py | class ⟦Square⟧"],
        ["shop/shapes.py | class ⟦Base⟧(ABC)"],
        "a server may name the class itself",
    ),
    *method_cases(
        "shop/store.py",
        ["Store", "largest"],
        ["shop/store.py | def ⟦largest⟧(self)", "shop/app.py | store.⟦largest⟧()"],
        ["shop/store.py | def ⟦largest⟧(self)"],
    ),
    Case("find_symbols", "class", expected=["shop/shapes.py | class ⟦Square⟧"], arguments={"query": "Square"}),
    Case("find_symbols", "workspace package", expected=SHOUT[:1], arguments={"query": "shout"}),
    Case(
        "document_symbols",
        "classes",
        expected=[
            "Shape",
            "Shape/area",
            "Base",
            "Base/area",
            "Base/describe",
            "Circle",
            "Circle/area",
            "Square",
            "Square/area",
            "Square/describe",
        ],
        arguments={"path": "shop/shapes.py"},
    ),
    Case("document_symbols", "byte order mark", expected=["marked", "last"], arguments={"path": "shop/marked.py"}),
    Case("hover", "function of another package", "shop/app.py | return ⟦shout⟧(", ["text: str", "Say it loudly."]),
    Case("hover", "after wide characters", 'shop/wide.py | "👋" + ⟦rendered⟧(tabbed)', ["Write a value with a width."]),
    Case(
        "completions",
        "members of a subclass",
        "shop/typed.py | square.⟦⟧\n",
        ["area", "describe", "side", "name"],
        forbidden=["largest", "radius"],
        file=CaseFile("shop/typed.py", "from shop import Square\n\nsquare = Square(1)\nsquare.\n"),
    ),
    Case("completions", "after wide characters", 'shop/wide.py | "👋" + ren⟦⟧dered(tabbed)', ["rendered"]),
    Case(
        "signature_help",
        "overloads",
        'shop/app.py | else rendered(⟦⟧"none", 6)',
        ["value: str, width: int"],
        limited={"py-pylsp": Limited("pylsp gives the first overload only", missing=["value: str, width: int"])},
    ),
    Case(
        "call_hierarchy",
        "who calls it",
        SHOUT[0],
        ["shop/app.py | def ⟦report⟧"],
        calls=["shop/app.py | return ⟦shout⟧("],
        arguments={"direction": "incoming"},
    ),
    Case(
        "call_hierarchy",
        "what it calls",
        "shop/app.py | def ⟦build⟧",
        [
            "shop/store.py | def ⟦add⟧",
            "shop/shapes.py | class ⟦Square⟧",
            "shop/shapes.py | class ⟦Circle⟧",
            "shop/store.py | class ⟦Store⟧",
        ],
        calls=[*CALLS, "shop/app.py | ⟦Store⟧[Base]()"],
        arguments={"direction": "outgoing"},
        limited=dict.fromkeys(
            ("py-basedpyright", "py-ty", "py-mixed"),
            Limited(
                "basedpyright and ty do not take Store[Base]() for a call of Store",
                missing=["shop/store.py | class ⟦Store⟧"],
                calls=CALLS,
            ),
        ),
    ),
    Case(
        "type_hierarchy",
        "subtypes",
        "shop/shapes.py | class ⟦Base⟧(ABC)",
        ["shop/shapes.py | class ⟦Circle⟧", "shop/shapes.py | class ⟦Square⟧"],
        arguments={"direction": "subtypes"},
    ),
    Case("diagnostics", "clean project"),
    Case(
        "diagnostics",
        "planted error",
        expected=["shop/broken.py | = ⟦no_such_name⟧"],
        file=CaseFile("shop/broken.py", 'text = "👋漢e\u0301"; count = no_such_name\n'),
        limited={
            "py-pylsp": Limited(
                "pyflakes counts columns in bytes of UTF-8, and pylsp passes them on as they are",
                missing=["shop/broken.py | = ⟦no_such_name⟧"],
                extra=["shop/broken.py | count = no_suc⟦h_name⟧"],
            )
        },
    ),
    Case("rename_symbol", "workspace package", SHOUT[0], SHOUT, SHOUT_LISTED, IN_LIST),
    Case(
        "rename_symbol",
        "awkward text",
        ALIAS,
        [ALIAS, *BY_ALIAS],
        [LISTED],
        IN_LIST,
        refused={"py-pylsp": "is another name for 'render'"},
    ),
    Case("rename_symbol", "overloads", OVERLOADS[2], [*OVERLOADS, *BY_NAME]),
    Case(
        "format_file",
        "planted file",
        expected=["def ugly(a):\n    return [a, 1]\n"],
        arguments={"path": "shop/ugly.py"},
        file=CaseFile("shop/ugly.py", "def ugly( a ):\n    return [ a,1 ]\n"),
        refused={"py-pylsp": "pylsp has no formatter"},
    ),
    Case(
        "code_actions",
        "fix of an error",
        "shop/lacking.py | = ⟦shout⟧(",
        ["import"],
        file=CaseFile("shop/lacking.py", 'loud = shout("a")\n'),
        limited={"py-pylsp": Limited("pylsp announces codeActionProvider and has no fixes", missing=["import"])},
    ),
]
