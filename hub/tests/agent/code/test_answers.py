"""What a server answers is validated: a required part that is malformed refuses it, an optional one is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codebuddy.agent.code import answers
from codebuddy.agent.code.answers import Malformed, NoAnswer, validated
from codebuddy.agent.code.decoding import Reader
from codebuddy.agent.code.hover import markdown
from codebuddy.agent.code.places import read_symbols
from codebuddy.agent.lsp.tree import Tree

RANGE = {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 1}}


def test_a_malformed_optional_part_counts_as_missing() -> None:
    item = {"label": "f", "kind": "x", "detail": 5, "insertText": [], "textEdit": 7}
    assert validated(answers.COMPLETION_ITEM, item, "an item") == answers.CompletionItem(label="f")
    fix = {"title": "Fix", "kind": 5, "diagnostics": [{"message": "a"}, 5, {"message": 5}]}
    (action,) = validated(answers.CODE_ACTIONS, [fix], "an action")
    assert (action.kind, [one and one.message for one in action.diagnostics or []]) == (None, ["a", None, None])


@pytest.mark.parametrize("item", [5, {}, {"label": 5}, {"label": None}])
def test_a_malformed_required_part_refuses_the_answer_and_the_message_says_where(item: Any) -> None:
    with pytest.raises(Malformed, match="an item") as refused:
        validated(answers.COMPLETION_ITEM, item, "an item")
    assert isinstance(refused.value, NoAnswer)
    assert (refused.value.answer.reason, refused.value.answer.result) == ("server_error", None)
    assert "malformed answer: an item" in (refused.value.answer.message or "")


def test_an_outline_is_not_lost_for_a_negative_number_or_for_its_depth() -> None:
    symbol: dict[str, Any] = {"name": "s", "range": RANGE, "selectionRange": {**RANGE, "start": RANGE["end"]}}
    negative = {**symbol, "range": {**RANGE, "start": {"line": -1, "character": -1}}}
    (found,) = read_symbols([negative], ["s"], "utf-16")
    assert (found.full.line, found.full.column) == (1, 1)
    for _ in range(400):
        symbol = {**symbol, "children": [symbol]}
    assert len(read_symbols([symbol], ["s"], "utf-16")) == 50


def test_numbers_beyond_the_protocol_do_no_harm_outside_the_project(tmp_path: Path) -> None:
    far = {"start": {"line": 10**30, "character": 0}, "end": {"line": 10**30, "character": 10**40}}
    (found,) = Reader(Tree("p", tmp_path), "utf-16", {}).locations({"uri": "file:///usr/x.py", "range": far})
    assert (found.external, found.line) == (True, 2**31)


@pytest.mark.parametrize("bad", [None, []])
def test_an_empty_part_of_a_hover_does_not_take_the_good_one_with_it(bad: Any) -> None:
    assert markdown([bad, {"value": "good"}]) == "good"


@pytest.mark.parametrize("disabled", [True, "x", []])
def test_an_action_is_not_lost_for_a_malformed_reason_why_it_is_disabled(disabled: Any) -> None:
    both = [{"title": "One", "disabled": disabled}, {"title": "Two"}]
    assert [action.title for action in validated(answers.CODE_ACTIONS, both, "an action")] == ["One", "Two"]


@pytest.mark.parametrize("parameters", [{}, "", 5])
def test_a_signature_is_not_lost_for_parameters_that_are_no_list(parameters: Any) -> None:
    found = validated(answers.SIGNATURE_HELP, {"signatures": [{"label": "f()", "parameters": parameters}]}, "help")
    assert found is not None
    assert [(one.label, one.parameters) for one in found.signatures] == [("f()", None)]


@pytest.mark.parametrize("bad", [1.5, "1", None])
def test_an_outline_is_not_lost_for_a_position_that_is_no_number_or_for_children_that_are_no_list(bad: Any) -> None:
    symbol = {"name": "s", "range": RANGE, "selectionRange": RANGE, "children": ""}
    odd = {**symbol, "name": "odd", "range": {**RANGE, "start": {"line": bad, "character": bad}}}
    assert [found.path for found in read_symbols([symbol, odd], ["s"], "utf-16")] == [("s",), ("odd",)]


def test_a_location_whose_uri_is_no_unicode_is_malformed(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="not Unicode"):
        Reader(Tree("p", tmp_path), "utf-16", {}).locations({"uri": "file:///\ud800", "range": RANGE})
