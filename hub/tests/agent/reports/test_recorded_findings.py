"""What compilers and linters found in recorded runs: real output of the profiles' tools, see recorded/README.md."""

# ruff: noqa: E501, RUF001 - messages are as the tools write them

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from codebuddy.agent.reports.collector import Finding, Report, column_at_cell

# By recording: place, severity, code, source and first line of each finding.
CASES: list[tuple[str, list[tuple[str, str, str | None, str, str]]]] = [
    (
        "tsc/syntax.txt",
        [
            ("src/b.ts:2:9", "error", "TS1109", "tsc", "Expression expected."),
        ],
    ),
    (
        "tsc/types-pretty.txt",
        [
            (
                "src/a.ts:1:1",
                "error",
                "TS1287",
                "tsc",
                "A top-level 'export' modifier cannot be used on value declarations in a CommonJS module when 'verbatimModuleSyntax' is enabled.",
            ),
            ("src/a.ts:1:14", "error", "TS2322", "tsc", "Type 'string' is not assignable to type 'number'."),
            ("src/a.ts:2:27", "error", "TS2322", "tsc", "Type 'number' is not assignable to type 'string'."),
            (
                "src/a.ts:3:1",
                "error",
                "TS1287",
                "tsc",
                "A top-level 'export' modifier cannot be used on value declarations in a CommonJS module when 'verbatimModuleSyntax' is enabled.",
            ),
            ("src/a.ts:3:57", "error", "TS2339", "tsc", "Property 'c' does not exist on type '{ b: number; }'."),
            ("src/a.ts:4:10", "error", "TS2322", "tsc", "Type 'string' is not assignable to type 'number'."),
            (
                "src/a.ts:6:1",
                "error",
                "TS1287",
                "tsc",
                "A top-level 'export' modifier cannot be used on value declarations in a CommonJS module when 'verbatimModuleSyntax' is enabled.",
            ),
            ("src/a.ts:6:52", "error", "TS2322", "tsc", "Type 'number' is not assignable to type 'string'."),
            (
                "src/a.ts:8:1",
                "error",
                "TS1287",
                "tsc",
                "A top-level 'export' modifier cannot be used on value declarations in a CommonJS module when 'verbatimModuleSyntax' is enabled.",
            ),
            (
                "src/a.ts:8:14",
                "error",
                "TS2322",
                "tsc",
                "Type '(n: Row) => string' is not assignable to type '(n: { cells: { text: number; }[]; }) => string'.",
            ),
        ],
    ),
    (
        "tsc/types.txt",
        [
            (
                "src/a.ts:1:1",
                "error",
                "TS1287",
                "tsc",
                "A top-level 'export' modifier cannot be used on value declarations in a CommonJS module when 'verbatimModuleSyntax' is enabled.",
            ),
            ("src/a.ts:1:14", "error", "TS2322", "tsc", "Type 'string' is not assignable to type 'number'."),
            ("src/a.ts:2:27", "error", "TS2322", "tsc", "Type 'number' is not assignable to type 'string'."),
            (
                "src/a.ts:3:1",
                "error",
                "TS1287",
                "tsc",
                "A top-level 'export' modifier cannot be used on value declarations in a CommonJS module when 'verbatimModuleSyntax' is enabled.",
            ),
            ("src/a.ts:3:57", "error", "TS2339", "tsc", "Property 'c' does not exist on type '{ b: number; }'."),
            ("src/a.ts:4:10", "error", "TS2322", "tsc", "Type 'string' is not assignable to type 'number'."),
            (
                "src/a.ts:6:1",
                "error",
                "TS1287",
                "tsc",
                "A top-level 'export' modifier cannot be used on value declarations in a CommonJS module when 'verbatimModuleSyntax' is enabled.",
            ),
            ("src/a.ts:6:52", "error", "TS2322", "tsc", "Type 'number' is not assignable to type 'string'."),
            (
                "src/a.ts:8:1",
                "error",
                "TS1287",
                "tsc",
                "A top-level 'export' modifier cannot be used on value declarations in a CommonJS module when 'verbatimModuleSyntax' is enabled.",
            ),
            (
                "src/a.ts:8:14",
                "error",
                "TS2322",
                "tsc",
                "Type '(n: Row) => string' is not assignable to type '(n: { cells: { text: number; }[]; }) => string'.",
            ),
        ],
    ),
    (
        "mypy/column.txt",
        [
            (
                "typed.py:2:32",
                "error",
                "assignment",
                "mypy",
                'Incompatible types in assignment (expression has type "str", variable has type "int")',
            ),
            ("typed.py:4:1", "error", "call-arg", "mypy", 'Too many arguments for "g"'),
            (
                "typed.py:4:3",
                "error",
                "arg-type",
                "mypy",
                'Argument 1 to "g" has incompatible type "str"; expected "int"',
            ),
            (
                "typed.py:5:1",
                "error",
                "import-not-found",
                "mypy",
                'Cannot find implementation or library stub for module named "nowhere"',
            ),
            ("typed.py:6:13", "information", None, "mypy", 'Revealed type is "def (n: int) -> int"'),
            ("typed.py:8:5", "error", "empty-body", "mypy", "Missing return statement"),
            ("typed.py:10:5", "error", "override", "mypy", 'Signature of "f" incompatible with supertype "A"'),
        ],
    ),
    (
        "mypy/columns.txt",
        [
            (
                "typed.py:2:32-2:38",
                "error",
                "assignment",
                "mypy",
                'Incompatible types in assignment (expression has type "str", variable has type "int")',
            ),
            ("typed.py:4:1-4:10", "error", "call-arg", "mypy", 'Too many arguments for "g"'),
            (
                "typed.py:4:3-4:6",
                "error",
                "arg-type",
                "mypy",
                'Argument 1 to "g" has incompatible type "str"; expected "int"',
            ),
            (
                "typed.py:5:1-5:2",
                "error",
                "import-not-found",
                "mypy",
                'Cannot find implementation or library stub for module named "nowhere"',
            ),
            ("typed.py:6:13-6:14", "information", None, "mypy", 'Revealed type is "def (n: int) -> int"'),
            ("typed.py:8:5-8:28", "error", "empty-body", "mypy", "Missing return statement"),
            ("typed.py:10:5-10:41", "error", "override", "mypy", 'Signature of "f" incompatible with supertype "A"'),
        ],
    ),
    (
        "mypy/default.txt",
        [
            (
                "typed.py:2",
                "error",
                "assignment",
                "mypy",
                'Incompatible types in assignment (expression has type "str", variable has type "int")',
            ),
            ("typed.py:4", "error", "call-arg", "mypy", 'Too many arguments for "g"'),
            (
                "typed.py:4",
                "error",
                "arg-type",
                "mypy",
                'Argument 1 to "g" has incompatible type "str"; expected "int"',
            ),
            (
                "typed.py:5",
                "error",
                "import-not-found",
                "mypy",
                'Cannot find implementation or library stub for module named "nowhere"',
            ),
            ("typed.py:6", "information", None, "mypy", 'Revealed type is "def (n: int) -> int"'),
            ("typed.py:8", "error", "empty-body", "mypy", "Missing return statement"),
            ("typed.py:10", "error", "override", "mypy", 'Signature of "f" incompatible with supertype "A"'),
        ],
    ),
    ("mypy/passing.txt", []),
    (
        "mypy/pretty.txt",
        [
            (
                "typed.py:2",
                "error",
                "assignment",
                "mypy",
                'Incompatible types in assignment (expression has type "str", variable has type "int")',
            ),
            ("typed.py:4", "error", "call-arg", "mypy", 'Too many arguments for "g"'),
            (
                "typed.py:4",
                "error",
                "arg-type",
                "mypy",
                'Argument 1 to "g" has incompatible type "str"; expected "int"',
            ),
            (
                "typed.py:5",
                "error",
                "import-not-found",
                "mypy",
                'Cannot find implementation or library stub for module named "nowhere"',
            ),
            ("typed.py:6", "information", None, "mypy", 'Revealed type is "def (n: int) -> int"'),
            ("typed.py:8", "error", "empty-body", "mypy", "Missing return statement"),
            ("typed.py:10", "error", "override", "mypy", 'Signature of "f" incompatible with supertype "A"'),
        ],
    ),
    (
        "mypy/syntax.txt",
        [
            ("bad.py:1", "error", "syntax", "mypy", "Expected a parameter or the end of the parameter list"),
            ("bad.py:1", "error", "syntax", "mypy", "Expected `)`, found newline"),
        ],
    ),
    (
        "ruff/color.txt",
        [
            ("a.py:1:8", "warning", "F401", "ruff", "`os` imported but unused"),
            ("a.py:2:21", "warning", "F401", "ruff", "`sys` imported but unused"),
            ("a.py:4:12", "error", "F821", "ruff", "Undefined name `undefined`"),
        ],
    ),
    (
        "ruff/concise.txt",
        [
            ("a.py:1:1", "warning", "I001", "ruff", "Import block is un-sorted or un-formatted"),
            ("a.py:1:8", "warning", "F401", "ruff", "`os` imported but unused"),
            ("a.py:2:14", "warning", "I001", "ruff", "Import block is un-sorted or un-formatted"),
            ("a.py:2:21", "warning", "F401", "ruff", "`sys` imported but unused"),
            ("a.py:4:12", "error", "F821", "ruff", "Undefined name `undefined`"),
            ("a.py:6:5", "warning", "F841", "ruff", "Local variable `smile` is assigned to but never used"),
            ("bad.py:1:7", "error", "invalid-syntax", "ruff", "Expected a parameter or the end of the parameter list"),
            ("bad.py:1:8", "error", "invalid-syntax", "ruff", "Expected `)`, found newline"),
            ("typed.py:2:5", "warning", "F841", "ruff", "Local variable `smile` is assigned to but never used"),
            ("typed.py:5:1", "warning", "I001", "ruff", "Import block is un-sorted or un-formatted"),
            ("typed.py:5:8", "warning", "F401", "ruff", "`nowhere` imported but unused"),
            ("typed.py:6:1", "error", "F821", "ruff", "Undefined name `reveal_type`"),
        ],
    ),
    ("ruff/format-diff.txt", []),
    (
        "ruff/format.txt",
        [
            ("a.py:2:1", "warning", "unformatted", "ruff", "File would be reformatted"),
            ("bad.py:1:7", "error", "invalid-syntax", "ruff", "Expected a parameter or the end of the parameter list"),
            ("typed.py:2:21", "warning", "unformatted", "ruff", "File would be reformatted"),
        ],
    ),
    (
        "ruff/full.txt",
        [
            ("a.py:1:1", "warning", "I001", "ruff", "Import block is un-sorted or un-formatted"),
            ("a.py:1:8", "warning", "F401", "ruff", "`os` imported but unused"),
            ("a.py:2:14", "warning", "I001", "ruff", "Import block is un-sorted or un-formatted"),
            ("a.py:2:21", "warning", "F401", "ruff", "`sys` imported but unused"),
            ("a.py:4:12", "error", "F821", "ruff", "Undefined name `undefined`"),
            ("a.py:6:5", "warning", "F841", "ruff", "Local variable `smile` is assigned to but never used"),
            ("bad.py:1:7", "error", "invalid-syntax", "ruff", "Expected a parameter or the end of the parameter list"),
            ("bad.py:1:8", "error", "invalid-syntax", "ruff", "Expected `)`, found newline"),
        ],
    ),
    ("ruff/passing.txt", []),
    (
        "pyflakes/findings.txt",
        [
            ("typed.py:2:5", "warning", None, "pyflakes", "local variable 'smile' is assigned to but never used"),
            ("typed.py:5:1", "warning", None, "pyflakes", "'nowhere' imported but unused"),
            ("typed.py:6:1", "error", None, "pyflakes", "undefined name 'reveal_type'"),
            ("a.py:1:1", "warning", None, "pyflakes", "'os' imported but unused"),
            ("a.py:2:17", "warning", None, "pyflakes", "'sys' imported but unused"),
            ("a.py:4:12", "error", None, "pyflakes", "undefined name 'undefined'"),
            ("a.py:6:5", "warning", None, "pyflakes", "local variable 'smile' is assigned to but never used"),
            ("bad.py:1:7", "error", None, "pyflakes", "invalid syntax"),
        ],
    ),
    ("pyflakes/passing.txt", []),
    (
        "black/diff.txt",
        [
            ("a.py:1", "warning", None, "black", "File would be reformatted"),
        ],
    ),
    (
        "black/findings.txt",
        [
            ("/workspace/lint/bad.py:1:7", "error", None, "black", "cannot parse"),
            ("/workspace/lint/a.py:1", "warning", None, "black", "File would be reformatted"),
            ("/workspace/lint/typed.py:1", "warning", None, "black", "File would be reformatted"),
        ],
    ),
    ("black/passing.txt", []),
    (
        "cargo/broken-json.txt",
        [
            ("src/lib.rs:2:38-2:44", "error", "E0308", "rustc", "mismatched types"),
        ],
    ),
    (
        "cargo/broken-short.txt",
        [
            (
                "src/lib.rs:8:12",
                "error",
                "E0425",
                "rustc",
                "cannot find value `missing` in this scope: not found in this scope",
            ),
            ("src/lib.rs:2:38", "error", "E0308", "rustc", "mismatched types: expected `i32`, found `&str`"),
        ],
    ),
    (
        "cargo/broken.txt",
        [
            ("src/lib.rs:8:12", "error", "E0425", "rustc", "cannot find value `missing` in this scope"),
            ("src/lib.rs:2:38", "error", "E0308", "rustc", "mismatched types"),
        ],
    ),
    (
        "cargo/clippy-color.txt",
        [
            ("src/lib.rs:1:5", "warning", "unused_imports", "rustc", "unused import: `std::fmt`"),
            ("src/lib.rs:3:9", "warning", "unused_variables", "rustc", "unused variable: `unused`"),
            ("src/lib.rs:4:5", "warning", "clippy::needless_return", "clippy", "unneeded `return` statement"),
            (
                "src/lib.rs:2:13",
                "warning",
                "clippy::ptr_arg",
                "clippy",
                "writing `&Vec` instead of `&[_]` involves a new object where a slice will do",
            ),
            ("src/lib.rs:4:12", "warning", "clippy::len_zero", "clippy", "length comparison to zero"),
            ("src/main.rs:3:5", "warning", "deprecated", "rustc", "use of deprecated function `old`: use another"),
        ],
    ),
    (
        "cargo/clippy-json.txt",
        [
            ("src/lib.rs:1:5-1:13", "warning", "unused_imports", "rustc", "unused import: `std::fmt`"),
            ("src/lib.rs:3:9-3:15", "warning", "unused_variables", "rustc", "unused variable: `unused`"),
        ],
    ),
    (
        "cargo/clippy.txt",
        [
            ("src/lib.rs:1:5", "error", "unused_imports", "rustc", "unused import: `std::fmt`"),
            ("src/lib.rs:3:9", "error", "unused_variables", "rustc", "unused variable: `unused`"),
            ("src/lib.rs:4:5", "error", "clippy::needless_return", "clippy", "unneeded `return` statement"),
            (
                "src/lib.rs:2:13",
                "error",
                "clippy::ptr_arg",
                "clippy",
                "writing `&Vec` instead of `&[_]` involves a new object where a slice will do",
            ),
            ("src/lib.rs:4:12", "error", "clippy::len_zero", "clippy", "length comparison to zero"),
        ],
    ),
    (
        "cargo/manifest.txt",
        [
            ("Cargo.toml:3:11", "error", None, "cargo", "unexpected character 'x' while parsing major version number"),
        ],
    ),
    ("cargo/passing.txt", []),
    (
        "cargo/warnings.txt",
        [
            ("src/lib.rs:1:5", "warning", "unused_imports", "rustc", "unused import: `std::fmt`"),
            ("src/lib.rs:3:9", "warning", "unused_variables", "rustc", "unused variable: `unused`"),
            ("src/main.rs:3:5", "warning", "deprecated", "rustc", "use of deprecated function `old`: use another"),
        ],
    ),
    (
        "go/build.txt",
        [
            ("nobuild/nobuild.go:4:8", "error", None, "go", '"os" imported and not used'),
            ("nobuild/nobuild.go:8:2", "error", None, "go", "declared and not used: smile"),
            ("nobuild/nobuild.go:8:23", "error", None, "go", "declared and not used: late"),
            (
                "nobuild/nobuild.go:8:34",
                "error",
                None,
                "go",
                'cannot use "text" (untyped string constant) as int value in variable declaration',
            ),
            ("nobuild/nobuild.go:9:9", "error", None, "go", "undefined: missing"),
        ],
    ),
    ("go/passing.txt", []),
    (
        "go/syntax.txt",
        [
            ("syntax.go:3:9", "error", None, "go", "expected ')', found '{'"),
            (
                "nobuild/nobuild.go:8:34",
                "error",
                None,
                "go",
                'cannot use "text" (untyped string constant) as int value in variable declaration',
            ),
            ("vet/vet.go:10:2", "warning", None, "vet", "self-assignment of x to x"),
            ("vet/vet.go:8:2", "warning", None, "vet", 'fmt.Printf format %d has arg "text" of wrong type string'),
        ],
    ),
    (
        "go/test.txt",
        [
            ("nobuild/nobuild.go:4:8", "error", None, "go", '"os" imported and not used'),
            ("nobuild/nobuild.go:8:2", "error", None, "go", "declared and not used: smile"),
            ("nobuild/nobuild.go:8:23", "error", None, "go", "declared and not used: late"),
            (
                "nobuild/nobuild.go:8:34",
                "error",
                None,
                "go",
                'cannot use "text" (untyped string constant) as int value in variable declaration',
            ),
            ("nobuild/nobuild.go:9:9", "error", None, "go", "undefined: missing"),
            ("vet/vet.go:8:2", "warning", None, "vet", 'fmt.Printf format %d has arg "text" of wrong type string'),
        ],
    ),
    (
        "go/vet.txt",
        [
            (
                "nobuild/nobuild.go:8:34",
                "error",
                None,
                "go",
                'cannot use "text" (untyped string constant) as int value in variable declaration',
            ),
            ("vet/vet.go:10:2", "warning", None, "vet", "self-assignment of x to x"),
            ("vet/vet.go:8:2", "warning", None, "vet", 'fmt.Printf format %d has arg "text" of wrong type string'),
        ],
    ),
    (
        "gcc/broken.txt",
        [
            (
                "/workspace/broken/b.cpp:2:32",
                "warning",
                "-Wempty-body",
                "gcc",
                "suggest braces around empty body in an ‘if’ statement",
            ),
            ("/workspace/broken/b.cpp:2:22", "warning", "-Wunused-variable", "gcc", "unused variable ‘x’"),
            (
                "/workspace/broken/a.hpp:3:59",
                "error",
                None,
                "gcc",
                "‘std::string’ {aka ‘class std::__cxx11::basic_string<char>’} has no member named ‘siz’; did you mean ‘size’?",
            ),
            ("/workspace/broken/a.hpp:3:47", "warning", "-Wunused-variable", "gcc", "unused variable ‘x’"),
            ("/workspace/broken/a.hpp:3:18", "warning", "-Wunused-parameter", "gcc", "unused parameter ‘unused’"),
            (
                "/workspace/broken/a.cpp:2:44",
                "error",
                "-fpermissive",
                "gcc",
                "invalid conversion from ‘const char*’ to ‘int’",
            ),
            ("/workspace/broken/a.cpp:2:59", "error", None, "gcc", "‘missing’ was not declared in this scope"),
            ("/workspace/broken/a.cpp:2:26", "warning", "-Wunused-variable", "gcc", "unused variable ‘s’"),
            ("/workspace/broken/a.cpp:2:40", "warning", "-Wunused-variable", "gcc", "unused variable ‘x’"),
            (
                "/workspace/broken/a.cpp:3:44",
                "error",
                None,
                "gcc",
                "no match for ‘operator*’ (operand types are ‘std::__cxx11::basic_string<char>’ and ‘int’)",
            ),
        ],
    ),
    (
        "gcc/clang-format.txt",
        [
            ("format.cpp:1:4", "error", "-Wclang-format-violations", "clang-format", "code should be clang-formatted"),
            ("format.cpp:1:11", "error", "-Wclang-format-violations", "clang-format", "code should be clang-formatted"),
            ("format.cpp:1:15", "error", "-Wclang-format-violations", "clang-format", "code should be clang-formatted"),
            ("format.cpp:2:11", "error", "-Wclang-format-violations", "clang-format", "code should be clang-formatted"),
        ],
    ),
    (
        "gcc/cmake.txt",
        [
            ("CMakeLists.txt:3", "warning", None, "cmake", "a warning 😀"),
            ("CMakeLists.txt:4", "error", None, "cmake", "Cannot find source file:"),
            ("CMakeLists.txt:4", "error", None, "cmake", "No SOURCES given to target: x"),
        ],
    ),
    (
        "gcc/color.txt",
        [
            (
                "a.hpp:3:59",
                "error",
                None,
                "gcc",
                "‘std::string’ {aka ‘class std::__cxx11::basic_string<char>’} has no member named ‘siz’; did you mean ‘size’?",
            ),
            ("a.hpp:3:47", "warning", "-Wunused-variable", "gcc", "unused variable ‘x’"),
            ("a.hpp:3:18", "warning", "-Wunused-parameter", "gcc", "unused parameter ‘unused’"),
            ("a.cpp:2:44", "error", "-fpermissive", "gcc", "invalid conversion from ‘const char*’ to ‘int’"),
            ("a.cpp:2:59", "error", None, "gcc", "‘missing’ was not declared in this scope"),
            ("a.cpp:2:26", "warning", "-Wunused-variable", "gcc", "unused variable ‘s’"),
            ("a.cpp:2:40", "warning", "-Wunused-variable", "gcc", "unused variable ‘x’"),
            (
                "a.cpp:3:44",
                "error",
                None,
                "gcc",
                "no match for ‘operator*’ (operand types are ‘std::__cxx11::basic_string<char>’ and ‘int’)",
            ),
        ],
    ),
    (
        "gcc/include.txt",
        [
            ("inc.cpp:1:10", "error", None, "gcc", "none.hpp: No such file or directory"),
        ],
    ),
    (
        "gcc/link.txt",
        [
            ("l.cpp:1", "error", None, "ld", "undefined reference to `g()'"),
        ],
    ),
    ("gcc/passing.txt", []),
    (
        "gcc/tab.txt",
        [
            ("tab.c:2:35", "error", None, "gcc", "‘missing’ was not declared in this scope"),
            ("tab.c:2:13", "warning", "-Wunused-variable", "gcc", "unused variable ‘x’"),
        ],
    ),
    (
        "gcc/warnings.txt",
        [
            ("b.cpp:2:22", "warning", "-Wunused-variable", "gcc", "unused variable ‘x’"),
        ],
    ),
    (
        "pytest/collection-continued.txt",
        [
            (
                "tests/test_import.py:1",
                "error",
                None,
                "pytest",
                "ModuleNotFoundError: No module named 'nothing_of_that_name'",
            ),
        ],
    ),
    (
        "pytest/collection.txt",
        [
            (
                "tests/test_import.py:1",
                "error",
                None,
                "pytest",
                "ModuleNotFoundError: No module named 'nothing_of_that_name'",
            ),
            ("/workspace/collection/tests/test_syntax.py:1", "error", None, "pytest", "SyntaxError: invalid syntax"),
        ],
    ),
    (
        "pytest/none-selected.txt",
        [
            (
                "tests/test_import.py:1",
                "error",
                None,
                "pytest",
                "ModuleNotFoundError: No module named 'nothing_of_that_name'",
            ),
        ],
    ),
    (
        "go-test/broken.txt",
        [
            ("nobuild/nobuild.go:4:8", "error", None, "go", '"os" imported and not used'),
            ("nobuild/nobuild.go:8:2", "error", None, "go", "declared and not used: smile"),
            ("nobuild/nobuild.go:8:23", "error", None, "go", "declared and not used: late"),
            (
                "nobuild/nobuild.go:8:34",
                "error",
                None,
                "go",
                'cannot use "text" (untyped string constant) as int value in variable declaration',
            ),
            ("nobuild/nobuild.go:9:9", "error", None, "go", "undefined: missing"),
            ("vet/vet.go:8:2", "warning", None, "vet", 'fmt.Printf format %d has arg "text" of wrong type string'),
        ],
    ),
    (
        "go-test/syntax.txt",
        [
            ("syntax.go:3:9", "error", None, "go", "syntax error: unexpected {, expected )"),
        ],
    ),
    (
        "cargo-test/broken.txt",
        [
            ("src/lib.rs:8:12", "error", "E0425", "rustc", "cannot find value `missing` in this scope"),
            ("src/lib.rs:2:38", "error", "E0308", "rustc", "mismatched types"),
        ],
    ),
    (
        "junit/pytest-collection.xml",
        [
            (
                "tests/test_import.py:1",
                "error",
                None,
                "pytest",
                "ModuleNotFoundError: No module named 'nothing_of_that_name'",
            ),
            ("/workspace/collection/tests/test_syntax.py:1", "error", None, "pytest", "SyntaxError: invalid syntax"),
        ],
    ),
]
LINTERS = ("tsc", "mypy", "ruff", "pyflakes", "black", "cargo", "go", "gcc")


def _place(finding: Finding) -> str:
    column = f":{finding.column}" if finding.column else ""
    end = f"-{finding.end_line}:{finding.end_column}" if finding.end_line else ""
    return f"{finding.path}:{finding.line}{column}{end}"


@pytest.mark.parametrize(("file", "expected"), CASES, ids=[file for file, _ in CASES])
def test_a_recorded_run_gives_its_findings_where_they_are(
    file: str, expected: list[tuple[str, str, str | None, str, str]], recorded: Callable[[str], Report]
) -> None:
    found = [
        (_place(each), each.severity, each.code, each.source, each.message.split("\n")[0])
        for each in recorded(file).findings
    ]
    assert found == expected


def test_every_recording_of_a_compiler_is_expected_to_give_something() -> None:
    directory = Path(__file__).parent / "recorded"
    recordings = {f"{name}/{path.name}" for name in LINTERS for path in (directory / name).iterdir()}
    assert recordings == {file for file, _ in CASES if file.startswith(tuple(f"{name}/" for name in LINTERS))}


@pytest.mark.parametrize(
    ("file", "unit"),
    [
        ("tsc/types.txt", "utf16"),
        ("gcc/broken.txt", "display"),
        ("gcc/clang-format.txt", "byte"),
        ("go/vet.txt", "byte"),
        ("go-test/broken.txt", "byte"),
        ("pyflakes/findings.txt", "byte"),
        ("cargo/broken.txt", "codepoint"),
        ("ruff/full.txt", "codepoint"),
        ("mypy/columns.txt", "codepoint"),
    ],
)
def test_a_finding_says_what_its_tool_counts_columns_in(
    file: str, unit: str, recorded: Callable[[str], Report]
) -> None:
    assert {each.unit for each in recorded(file).findings} == {unit}


@pytest.mark.parametrize(
    ("file", "column", "line", "word"),
    [
        ("tsc/types.txt", 27, 'const smile = "😀"; const late: string = 3;', "late"),
        ("gcc/broken.txt", 59, 'int late() { const char *s = "😀"; int x = "text"; return missing; }', "missing"),
        ("gcc/tab.txt", 35, "\tint x; /* 漢e\u0301😀 */ return missing;", "missing"),
        ("go/build.txt", 23, '\tsmile := "😀"; var late int = "text"', "late"),
        ("pyflakes/findings.txt", 17, 'smile = "😀"; import sys', "import"),
        ("cargo/broken.txt", 38, '    let smile = "😀"; let late: i32 = "text";', '"text"'),
        ("ruff/full.txt", 21, 'smile = "😀"; import sys', "sys"),
    ],
)
def test_a_column_behind_an_emoji_is_right_in_the_unit_that_is_told(
    file: str, column: int, line: str, word: str, recorded: Callable[[str], Report]
) -> None:
    finding = next(each for each in recorded(file).findings if each.column == column)
    before = line[: line.index(word)]
    widths = {
        "codepoint": len(before),
        "utf16": len(before.encode("utf-16-le")) // 2,
        "byte": len(before.encode("utf-8")),
    }
    if finding.unit == "display":
        assert column_at_cell(line, column) == len(before) + 1
    else:
        assert widths[finding.unit] + 1 == column


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (
            "tsc/types.txt",
            "Type '(n: Row) => string' is not assignable to type '(n: { cells: { text: number; }[]; }) => string'.\n"
            "  Types of parameters 'n' and 'n' are incompatible.\n"
            "    Type '{ cells: { text: number; }[]; }' is not assignable to type 'Row'.\n"
            "      Types of property 'cells' are incompatible.\n"
            "        Type '{ text: number; }[]' is not assignable to type '{ text: string; }[]'.\n"
            "          Type '{ text: number; }' is not assignable to type '{ text: string; }'.\n"
            "            Types of property 'text' are incompatible.\n"
            "              Type 'number' is not assignable to type 'string'.",
        ),
        (
            "tsc/types-pretty.txt",
            "Type 'string' is not assignable to type 'number'.\n"
            "note: src/a.ts:3:29 - The expected type comes from property 'b' which is declared here "
            "on type '{ b: number; }'",
        ),
        (
            "mypy/default.txt",
            'Signature of "f" incompatible with supertype "A"\nnote:      Superclass:\n'
            "note:          def f(self) -> int\nnote:      Subclass:\nnote:          def f(self, x: str) -> str",
        ),
        (
            "gcc/color.txt",
            "‘std::string’ {aka ‘class std::__cxx11::basic_string<char>’} has no member named ‘siz’; "
            "did you mean ‘size’?\nIn file included from a.cpp:1",
        ),
        ("gcc/cmake.txt", "Cannot find source file:\nnowhere.cpp"),
        ("cargo/broken.txt", "mismatched types\nexpected `i32`, found `&str`"),
        ("cargo/clippy.txt", "unneeded `return` statement\nhelp: remove `return`"),
    ],
)
def test_what_a_tool_notes_on_a_finding_is_in_its_message(
    file: str, message: str, recorded: Callable[[str], Report]
) -> None:
    assert message in [each.message for each in recorded(file).findings]


def test_what_stops_a_compiler_before_any_file_is_a_problem(read: Callable[..., Report]) -> None:
    told = {
        "tsc": "error TS5058: The specified path does not exist: '/workspace/passing/nowhere.json'.",
        "mypy": "mypy: can't read file 'nowhere.py': No such file or directory",
        "go": "go: cannot find main module, but found .git/config in /workspace",
        "cargo": "error: could not find `Cargo.toml` in `/workspace` or any parent directory",
    }
    problems = {name: read(name, text).problem for name, text in told.items()}
    assert problems == {**told, "cargo": told["cargo"].removeprefix("error: ")}
