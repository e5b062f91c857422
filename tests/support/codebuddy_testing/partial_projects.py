"""Small projects of which a language server, left to itself, knows a part only; with the right answers.

What the texts in ``⟦⟧`` mean is said in `codebuddy_testing.language_cases`. All is about one name, ``thing``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import indent

_TSC = ("ts-tsc",)
_TYPESCRIPT = ("ts-tsc", "ts-tls")
_PYTHON = ("py-pylsp", "py-basedpyright", "py-ty", "py-mixed")


@dataclass(frozen=True)
class PartialProject:
    """A project, and what is right for the declaration of ``thing`` in it.

    Args:
        name: what it is about.
        projects: the projects of the fleet, one for each server, that it is for.
        files: its files, by path.
        links: symbolic links, path to target.
        declaration: where the question is asked.
        uses: where it is used, the declarations included.
        told: places of which the server does not know what stands there; the answer is not complete then.
        doubtful: places of which nobody can know, as in a dynamic language; they are told, and the answer is complete.
        rename: whether a rename changes all uses, by project; otherwise it is refused.
        named: whether its name alone means this one thing to a server.
    """

    name: str
    projects: Sequence[str]
    files: Mapping[str, str]
    declaration: str
    uses: Sequence[str]
    told: Sequence[str] = ()
    doubtful: Sequence[str] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    rename: Mapping[str, bool] = field(default_factory=dict)
    named: bool = True


def _config(**options: object) -> str:
    return json.dumps(options)


_THING = "export function thing() {\n  return 1;\n}\n"
_DECLARED = "⟦thing⟧() {"
_IMPORTED = ["import { ⟦thing⟧ }", "}';\n⟦thing⟧();"]


def _using(source: str) -> str:
    return f"import {{ thing }} from '{source}';\nconsole.log(thing());\n"


def _used(path: str) -> list[str]:
    return [f"{path} | import {{ ⟦thing⟧ }}", f"{path} | log(⟦thing⟧())"]


def _composite(**more: object) -> str:
    options = {"composite": True, "rootDir": ".", "outDir": "out", "module": "nodenext", "types": []}
    return _config(compilerOptions=options, exclude=["out"], **more)


def _package(name: str, **more: object) -> dict[str, str]:
    main = {"main": "out/index.js", "types": "out/index.d.ts"}
    return {
        f"packages/{name}/package.json": _config(name=f"@shop/{name}", version="1.0.0", **main),
        f"packages/{name}/tsconfig.json": _composite(**more),
    }


_TYPESCRIPT_PROJECTS = [
    PartialProject(
        "three composite projects without one above them",
        _TYPESCRIPT,
        {
            "core/tsconfig.json": _composite(),
            "core/thing.ts": _THING,
            "core/own.ts": _using("./thing"),
            "app/tsconfig.json": _composite(references=[{"path": "../core"}]).replace(
                '"rootDir": "."', '"rootDir": ".."'
            ),
            "app/main.ts": _using("../core/thing"),
            "web/tsconfig.json": _composite(references=[{"path": "../core"}]).replace(
                '"rootDir": "."', '"rootDir": ".."'
            ),
            "web/page.ts": _using("../core/thing"),
        },
        f"core/thing.ts | {_DECLARED}",
        [f"core/thing.ts | {_DECLARED}", *_used("core/own.ts"), *_used("app/main.ts"), *_used("web/page.ts")],
        rename={"ts-tsc": True, "ts-tls": True},
    ),
    PartialProject(
        "a list of files that is not complete",
        _TYPESCRIPT,
        {"tsconfig.json": _config(files=["thing.ts"]), "thing.ts": _THING, "other.ts": _using("./thing")},
        f"thing.ts | {_DECLARED}",
        [f"thing.ts | {_DECLARED}", *_used("other.ts")],
        rename={"ts-tsc": True, "ts-tls": True},
    ),
    PartialProject(
        "JavaScript beside TypeScript",
        _TYPESCRIPT,
        {
            "tsconfig.json": "{}",
            "thing.ts": _THING,
            "typed.ts": _using("./thing"),
            "plain.js": "const { thing } = require('./thing');\nconsole.log(thing()); // thing\n",
        },
        f"thing.ts | {_DECLARED}",
        [
            f"thing.ts | {_DECLARED}",
            *_used("typed.ts"),
            "plain.js | const { ⟦thing⟧ }",
            "plain.js | log(⟦thing⟧())",
        ],
    ),
    PartialProject(
        "types declared in a file beside",
        _TYPESCRIPT,
        {
            "tsconfig.json": "{}",
            "thing.js": _THING,
            "thing.d.ts": "export declare function thing(): number;\n",
            "other.ts": _using("./thing"),
        },
        f"thing.js | {_DECLARED}",
        [f"thing.js | {_DECLARED}", "thing.d.ts | function ⟦thing⟧()", *_used("other.ts")],
        rename={"ts-tsc": True, "ts-tls": True},
    ),
    PartialProject(
        "a member of this, with its type in a file beside",
        _TYPESCRIPT,
        {
            "tsconfig.json": "{}",
            "part.js": "export class Part {\n  constructor() {\n    this.thing = 1;\n  }\n"
            "  more() {\n    return this.thing + 1;\n  }\n}\n",
            "part.d.ts": "export declare class Part {\n  thing: number;\n  more(): number;\n}\n",
            "other.ts": "import { Part } from './part';\nconsole.log(new Part().thing);\n",
        },
        "part.d.ts | ⟦thing⟧: number",
        ["part.d.ts | ⟦thing⟧:", "part.js | this.⟦thing⟧ =", "part.js | this.⟦thing⟧ +", "other.ts | ().⟦thing⟧"],
        rename={"ts-tsc": True, "ts-tls": True},
        named=False,
    ),
    PartialProject(
        "an export by another name",
        _TYPESCRIPT,
        {
            "tsconfig.json": "{}",
            "thing.ts": _THING,
            "middle.ts": "export { thing as other } from './thing';\nexport { thing } from './thing';\n",
            "end.ts": "import { other, thing } from './middle';\nconsole.log(other() + thing());\n",
        },
        f"thing.ts | {_DECLARED}",
        [
            f"thing.ts | {_DECLARED}",
            "middle.ts | { ⟦thing⟧ as",
            "middle.ts | as ⟦other⟧",
            "middle.ts | { ⟦thing⟧ }",
            "end.ts | { ⟦other⟧",
            "end.ts | , ⟦thing⟧ }",
            "end.ts | (⟦other⟧()",
            "end.ts | + ⟦thing⟧()",
        ],
        rename={"ts-tsc": True, "ts-tls": True},
    ),
    PartialProject(
        "no configuration",
        _TYPESCRIPT,
        {"thing.ts": _THING, "one.ts": _using("./thing"), "two.ts": _using("./thing")},
        f"thing.ts | {_DECLARED}",
        [f"thing.ts | {_DECLARED}", *_used("one.ts"), *_used("two.ts")],
        rename={"ts-tsc": True, "ts-tls": True},
    ),
    PartialProject(
        "tests outside of what the configuration includes",
        _TYPESCRIPT,
        {
            "tsconfig.json": _config(include=["src"]),
            "src/thing.ts": _THING,
            "src/main.ts": _using("./thing"),
            "test/thing.test.ts": _using("../src/thing"),
        },
        f"src/thing.ts | {_DECLARED}",
        [f"src/thing.ts | {_DECLARED}", *_used("src/main.ts"), *_used("test/thing.test.ts")],
        rename={"ts-tsc": True, "ts-tls": True},
    ),
    PartialProject(
        "workspaces that import each other by name",
        _TYPESCRIPT,
        {
            "package.json": _config(private=True, workspaces=["packages/*"]),
            **_package("core"),
            **_package("app", references=[{"path": "../core"}]),
            **_package("web", references=[{"path": "../core"}]),
            "packages/core/index.ts": _THING,
            "packages/app/main.ts": _using("@shop/core"),
            "packages/web/page.ts": _using("@shop/core"),
        },
        f"packages/core/index.ts | {_DECLARED}",
        [
            f"packages/core/index.ts | {_DECLARED}",
            *_used("packages/app/main.ts"),
            *_used("packages/web/page.ts"),
        ],
        links={f"node_modules/@shop/{name}": f"../../packages/{name}" for name in ("core", "app", "web")},
        rename={"ts-tsc": True, "ts-tls": True},
    ),
    PartialProject(
        "imports that nothing resolves",
        _TYPESCRIPT,
        {
            "tsconfig.json": _config(compilerOptions={"paths": {"@/*": ["./src/*"]}}, include=["src"]),
            "src/thing.ts": _THING,
            "src/main.ts": _using("@/thing"),
            "test/thing.test.ts": _using("@/thing"),
            "test/other.test.ts": _using("not-installed"),
        },
        f"src/thing.ts | {_DECLARED}",
        [f"src/thing.ts | {_DECLARED}", *_used("src/main.ts")],
        told=_used("test/thing.test.ts"),
        named=False,
    ),
    PartialProject(
        "code within strings and a property of a parameter in files of no configuration",
        _TYPESCRIPT,
        {
            "tsconfig.json": _config(files=["thing.ts"]),
            "thing.ts": "export function take({ thing }: { thing: number }) {\n  return thing;\n}\n",
            "main.ts": "import { take } from './thing';\nconsole.log(`${take({ thing: 1 })}`);\n",
        },
        "thing.ts | take({ ⟦thing⟧",
        [
            "thing.ts | take({ ⟦thing⟧",
            "thing.ts | : { ⟦thing⟧: number",
            "thing.ts | return ⟦thing⟧",
            "main.ts | take({ ⟦thing⟧: 1",
        ],
    ),
    PartialProject(
        "other names in files of no configuration",
        _TYPESCRIPT,
        {
            "tsconfig.json": _config(files=["thing.ts"]),
            "thing.ts": _THING + "export default thing;\n",
            "again.ts": "export { thing as other } from './thing';\n",
            "one.ts": "import { other } from './again';\nother();\n",
            "two.ts": "import some from './thing';\nsome();\n",
        },
        f"thing.ts | {_DECLARED}",
        [
            f"thing.ts | {_DECLARED}",
            "thing.ts | default ⟦thing⟧",
            "again.ts | { ⟦thing⟧ as",
            "again.ts | as ⟦other⟧ }",
            "one.ts | { ⟦other⟧ }",
            "one.ts | ⟦other⟧();",
            "two.ts | import ⟦some⟧",
            "two.ts | ⟦some⟧();",
        ],
        rename={"ts-tsc": True, "ts-tls": True},
    ),
    PartialProject(
        "a component in another language",
        _TYPESCRIPT,
        {
            "tsconfig.json": "{}",
            "thing.ts": _THING,
            "main.ts": _using("./thing"),
            "Page.vue": "<script setup lang=\"ts\">\nimport { thing } from './thing';\n</script>\n",
        },
        f"thing.ts | {_DECLARED}",
        [f"thing.ts | {_DECLARED}", *_used("main.ts")],
        told=["Page.vue | import { ⟦thing⟧ }"],
    ),
]

_FUNCTION = "def thing() -> int:\n    return 1\n"
_PY_DECLARED = "def ⟦thing⟧()"
_INDENT = " " * 4
_ALL_PYTHON = dict.fromkeys(_PYTHON, True)


def _py_using(module: str) -> str:
    return f"from {module} import thing\n\nprint(thing())\n"


def _py_used(path: str) -> list[str]:
    return [f"{path} | import ⟦thing⟧", f"{path} | print(⟦thing⟧())"]


_PYTHON_PROJECTS = [
    PartialProject(
        "files that .gitignore hides",
        _PYTHON,
        {
            ".git/HEAD": "ref: refs/heads/main\n",
            ".gitignore": "made.py\ndist/\n",
            "parts.py": _FUNCTION,
            "main.py": _py_using("parts"),
            "made.py": _py_using("parts"),
            "dist/more.py": _py_using("parts"),
        },
        f"parts.py | {_PY_DECLARED}",
        [f"parts.py | {_PY_DECLARED}", *_py_used("main.py"), *_py_used("made.py"), *_py_used("dist/more.py")],
        rename={"py-basedpyright": True, "py-ty": True, "py-mixed": True},
    ),
    PartialProject(
        "members of a workspace of which none is installed",
        ("py-basedpyright", "py-ty"),  # pylsp finds the member by itself
        {
            "core/src/shop_core/__init__.py": _FUNCTION,
            "app/src/shop_app/__init__.py": "from shop_core import thing\n\nthing()\n",
        },
        f"core/src/shop_core/__init__.py | {_PY_DECLARED}",
        [f"core/src/shop_core/__init__.py | {_PY_DECLARED}"],
        told=["app/src/shop_app/__init__.py | import ⟦thing⟧", "app/src/shop_app/__init__.py | \n⟦thing⟧()"],
    ),
    PartialProject(
        "a parameter that a call elsewhere names",
        ("py-basedpyright", "py-ty", "py-mixed"),
        {
            "pyproject.toml": '[tool.pyright]\ninclude = ["inside"]\n',
            "inside/__init__.py": "",
            "inside/parts.py": "def take(thing: int) -> int:\n    return thing\n",
            "main.py": "from inside.parts import take\n\nprint(take(thing=1))\n",
        },
        "inside/parts.py | take(⟦thing⟧",
        ["inside/parts.py | take(⟦thing⟧", "inside/parts.py | return ⟦thing⟧", "main.py | take(⟦thing⟧=1"],
        rename={"py-basedpyright": True, "py-ty": True, "py-mixed": True},
        named=False,
    ),
    PartialProject(
        "a stub beside a module",
        _PYTHON,
        {"parts.py": _FUNCTION, "parts.pyi": "def thing() -> int: ...\n", "main.py": _py_using("parts")},
        f"parts.py | {_PY_DECLARED}",
        [f"parts.py | {_PY_DECLARED}", f"parts.pyi | {_PY_DECLARED}", *_py_used("main.py")],
        rename=_ALL_PYTHON,
    ),
    PartialProject(
        "a function defined in branches",
        _PYTHON,
        {
            "parts.py": f"import os\n\nif os.environ:\n{indent(_FUNCTION, _INDENT)}else:\n\n"
            f"{indent(_FUNCTION.replace('1', '2'), _INDENT)}",
            "main.py": _py_using("parts"),
            "other.py": _FUNCTION,
        },
        f"parts.py | environ:\n    {_PY_DECLARED}",
        [f"parts.py | environ:\n    {_PY_DECLARED}", f"parts.py | else:\n\n    {_PY_DECLARED}", *_py_used("main.py")],
        rename=_ALL_PYTHON,
        named=False,
    ),
    PartialProject(
        "a function for want of an import",
        _PYTHON,
        {
            "fast.py": _FUNCTION,
            "parts.py": f"try:\n    from fast import thing\nexcept ImportError:\n\n{indent(_FUNCTION, _INDENT)}",
            "main.py": _py_using("parts"),
        },
        f"parts.py | {_PY_DECLARED}",
        [f"fast.py | {_PY_DECLARED}", "parts.py | import ⟦thing⟧", f"parts.py | {_PY_DECLARED}", *_py_used("main.py")],
        rename=_ALL_PYTHON,
        named=False,
    ),
    PartialProject(
        "an attribute of self, with its type in a stub",
        _PYTHON,
        {
            "parts.py": "class Part:\n    def __init__(self) -> None:\n        self.thing = 1\n",
            "parts.pyi": "class Part:\n    thing: int\n    def __init__(self) -> None: ...\n",
            "main.py": "from parts import Part\n\nprint(Part().thing)\n",
        },
        "parts.pyi | ⟦thing⟧: int",
        ["parts.pyi | ⟦thing⟧: int", "parts.py | self.⟦thing⟧", "main.py | Part().⟦thing⟧"],
        rename=_ALL_PYTHON,
        named=False,
    ),
    PartialProject(
        "names in __all__",
        _PYTHON,
        {
            "parts/__init__.py": "from parts.core import thing\n\n__all__ = ['thing']\n",
            "parts/core.py": f'__all__ = [\n    "thing",\n]\n\n\n{_FUNCTION}',
            "main.py": _py_using("parts"),
        },
        f"parts/core.py | {_PY_DECLARED}",
        [
            f"parts/core.py | {_PY_DECLARED}",
            'parts/core.py | "⟦thing⟧"',
            "parts/__init__.py | import ⟦thing⟧",
            "parts/__init__.py | '⟦thing⟧'",
            *_py_used("main.py"),
        ],
        rename=_ALL_PYTHON,
    ),
    PartialProject(
        "a call of what nobody knows",
        _PYTHON,
        {
            "parts.py": "class Part:\n    def thing(self) -> int:\n        return 1\n",
            "main.py": "from parts import Part\n\nprint(Part().thing())\n\n\n"
            'def ask(part):\n    return part.thing()  # thing\n\n\nNAME = "thing"\n',
        },
        "parts.py | def ⟦thing⟧(self)",
        ["parts.py | def ⟦thing⟧(self)", "main.py | Part().⟦thing⟧()"],
        doubtful=["main.py | return part.⟦thing⟧()"],
        rename=_ALL_PYTHON,
    ),
    PartialProject(
        "modules outside of what the checker includes",
        _PYTHON,
        {
            "pyproject.toml": '[tool.pyright]\ninclude = ["inside"]\n',
            "inside/__init__.py": "",
            "inside/parts.py": _FUNCTION,
            "inside/main.py": _py_using("inside.parts"),
            "outside/__init__.py": "",
            "outside/more.py": _py_using("inside.parts"),
        },
        f"inside/parts.py | {_PY_DECLARED}",
        [f"inside/parts.py | {_PY_DECLARED}", *_py_used("inside/main.py"), *_py_used("outside/more.py")],
        rename=_ALL_PYTHON,
    ),
]

_OTHERS = [
    PartialProject(
        "files for other systems, tags and modules",
        ("go",),
        {
            "go.mod": "module example.com/parts\n\ngo 1.24\n",
            "thing.go": "package parts\n\nfunc thing() int { return 1 }\n\nfunc Thing() int { return thing() }\n",
            "here.go": "package parts\n\nvar here = thing()\n",
            "there_windows.go": "package parts\n\nvar there = thing()\n",
            "more_test.go": "//go:build integration\n\npackage parts\n\nvar more = thing()\n",
        },
        "thing.go | func ⟦thing⟧()",
        [
            "thing.go | func ⟦thing⟧()",
            "thing.go | return ⟦thing⟧()",
            "here.go | = ⟦thing⟧()",
            "there_windows.go | = ⟦thing⟧()",
        ],
        told=["more_test.go | = ⟦thing⟧()"],
    ),
    PartialProject(
        "a macro's body, a feature that is off, a file of no module",
        ("rust",),
        {
            "Cargo.toml": '[package]\nname = "parts"\nversion = "0.1.0"\nedition = "2021"\n\n[features]\nextra = []\n',
            "src/lib.rs": "pub fn thing() -> i32 {\n    1\n}\n\n"
            "#[macro_export]\nmacro_rules! twice {\n    () => {\n        2 * $crate::thing()\n    };\n}\n\n"
            '#[cfg(feature = "extra")]\npub fn more() -> i32 {\n    3 + thing()\n}\n\n'
            "pub fn here() -> i32 {\n    twice!() + thing()\n}\n",
            "src/lone.rs": "pub fn lone() -> i32 {\n    crate::thing()\n}\n",
        },
        "src/lib.rs | pub fn ⟦thing⟧()",
        ["src/lib.rs | pub fn ⟦thing⟧()", "src/lib.rs | 3 + ⟦thing⟧()", "src/lib.rs | twice!() + ⟦thing⟧()"],
        told=["src/lib.rs | $crate::⟦thing⟧()", "src/lone.rs | crate::⟦thing⟧()"],
    ),
    PartialProject(
        "the body of a macro",
        ("cpp",),
        {
            "thing.cpp": "struct A {\n  int thing();\n};\nint thing();\n#define CALL(x) \\\n  x.thing()\n"
            "int run(A a) { return CALL(a) + a.thing() + thing(); }\n",
            "compile_commands.json": json.dumps(
                [{"directory": "/workspace", "command": "c++ -std=c++20 -c thing.cpp", "file": "thing.cpp"}]
            ),
        },
        "thing.cpp |   int ⟦thing⟧()",
        ["thing.cpp |   int ⟦thing⟧()", "thing.cpp | + a.⟦thing⟧()", "thing.cpp | ⟦CALL⟧(a)"],
        told=["thing.cpp | x.⟦thing⟧()"],
        named=False,
    ),
    PartialProject(
        "a database that lists a part of the sources",
        ("cpp",),
        {
            "thing.hpp": "#pragma once\nint thing();\n",
            "thing.cpp": '#include "thing.hpp"\nint thing() { return 1; }\n',
            "listed.cpp": '#include "thing.hpp"\nint listed() { return thing(); }\n',
            "unlisted.cpp": '#include "thing.hpp"\nint unlisted() { return thing(); }\n',
            "lone.hpp": '#pragma once\n#include "thing.hpp"\ninline int lone() { return thing(); }\n',
            "compile_commands.json": json.dumps(
                [
                    {"directory": "/workspace", "command": f"c++ -std=c++20 -c {path}", "file": path}
                    for path in ("thing.cpp", "listed.cpp")
                ]
            ),
        },
        "thing.cpp | int ⟦thing⟧()",
        [
            "thing.hpp | int ⟦thing⟧()",
            "thing.cpp | int ⟦thing⟧()",
            "listed.cpp | return ⟦thing⟧()",
            "unlisted.cpp | return ⟦thing⟧()",
            "lone.hpp | return ⟦thing⟧()",
        ],
        rename={"cpp": True},
    ),
]

PARTIAL_PROJECTS = [*_TYPESCRIPT_PROJECTS, *_PYTHON_PROJECTS, *_OTHERS]
