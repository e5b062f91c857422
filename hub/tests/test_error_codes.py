"""The error codes that clients may rely on: each one is listed here, so that none disappears or appears unnoticed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import codebuddy

ROOT = Path(codebuddy.__file__).parent

CODES = """
already_exists already_undone ambiguous_match ambiguous_place ambiguous_symbol bad_answer binary_file busy
cannot_rename changed_meanwhile conflict disabled_action disk_full forbidden internal_error invalid_arguments
invalid_cursor invalid_path invalid_pattern invalid_range invalid_text io_error is_a_directory journal_damaged
journal_failed link_not_followed lost name_too_long needs_editor no_match no_such_action no_such_place no_such_symbol
not_a_directory not_a_file not_complete not_empty not_found not_readable outside_project overlapping_edits
permission_denied project_unavailable read_only revert_failed revert_incomplete reverting same_file_twice
server_crashed shares_line spoke_offline stale_cursor timed_out too_costly too_large too_many_entries too_many_jobs
too_many_links too_many_matches two_edits unknown_edit unknown_job unknown_project unknown_server unknown_task
unsupported unsupported_encoding
"""


def made_in(tree: ast.AST) -> Iterator[ast.expr]:
    """Return what a module passes as the code of a ToolError, also of its own kinds of ToolError."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and "ToolError" in map(ast.unparse, node.bases):
            calls = [call for call in ast.walk(node) if isinstance(call, ast.Call)]
            yield from (call.args[0] for call in calls if ast.unparse(call.func) == "super().__init__")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "ToolError":
            yield node.args[0]


def spelled_out(code: ast.expr) -> Iterator[str]:
    if isinstance(code, ast.Constant):
        yield str(code.value)
    elif isinstance(code, ast.IfExp):
        yield from spelled_out(code.body)
        yield from spelled_out(code.orelse)
    else:  # a variable, see `assigned_in`, or the code of another error
        assert ast.unparse(code).split(".")[-1] == "code", f"cannot tell which codes this is: {ast.unparse(code)}"


def assigned_in(tree: ast.AST) -> Iterator[str]:
    """Return the values of variables ``code`` in a module, assigned alone or as a pair of code and message."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "code":
            yield from spelled_out(node.value)
        elif isinstance(node, ast.Tuple) and len(node.elts) == 2 and is_message(node.elts[1]):
            yield from spelled_out(node.elts[0])


def is_message(node: ast.expr) -> bool:
    last = node.values[-1] if isinstance(node, ast.JoinedStr) else node
    return isinstance(last, ast.Constant) and str(last.value).endswith(".")


def test_the_error_codes_are_those_that_are_listed() -> None:
    found: set[str] = set()
    for path in ROOT.rglob("*.py"):
        tree = ast.parse(path.read_text())
        codes = [*made_in(tree)]
        found.update(code for made in codes for code in spelled_out(made))
        if any(isinstance(code, ast.Name) for code in codes):
            found.update(assigned_in(tree))
    assert sorted(found) == CODES.split()
