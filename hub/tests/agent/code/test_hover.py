"""Hover, completions and signature help: bounded, in code points, in an order that stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codebuddy.agent.code import hover
from codebuddy.agent.code.hover import markdown
from codebuddy.tool import ToolError

pytestmark = pytest.mark.anyio
HOVER, COMPLETION, SIGNATURE = "textDocument/hover", "textDocument/completion", "textDocument/signatureHelp"
RESOLVE = "completionItem/resolve"


@pytest.mark.parametrize(
    ("contents", "shown"),
    [
        ("plain", "plain"),
        ({"kind": "markdown", "value": "*x*"}, "*x*"),
        ({"language": "python", "value": "x: int"}, "```python\nx: int\n```"),
        (["a", {"language": "c", "value": "b"}, "", "d"], "a\n\n```c\nb\n```\n\nd"),
        ("half \ud83d", "half ?"),
        (None, ""),
        ([], ""),
    ],
)
def test_prose_comes_in_three_forms_and_leaves_as_markdown(contents: Any, shown: str) -> None:
    assert markdown(contents) == shown


@pytest.mark.parametrize("contents", [5, {"value": 5}, [5], {}])
def test_prose_that_is_none_is_a_value_error(contents: Any) -> None:
    with pytest.raises(ValueError, match="text"):
        markdown(contents)


async def test_a_hover_tells_what_it_is_about_in_code_points(start: Any, root: Path, wire: Any) -> None:
    (root / "main.py").write_text('"👋"; open_shop()\n')
    reply = {"contents": {"kind": "markdown", "value": "opens"}, "range": wire.span(0, 6, 15)}
    async with start({HOVER: [[{"reply": reply}]]}) as fake:
        answer = await fake.hover(line=1, text="open_shop")
        assert (answer.complete, answer.contents) == (True, "opens")
        assert answer.range.model_dump() == {"line": 1, "column": 6, "end_line": 1, "end_column": 15}
        assert fake.sent(HOVER)[0]["params"]["position"] == {"line": 0, "character": 6}


async def test_a_hover_that_is_too_long_is_cut_and_says_so(start: Any) -> None:
    async with start({HOVER: [[{"reply": {"contents": "x" * 30_000}}]]}) as fake:
        answer = await fake.hover()
        assert (answer.complete, answer.reason) == (False, "truncated")
        assert len(answer.contents) < 21_000
        assert answer.contents.endswith("[…]")
        assert "of 30000 characters" in answer.text()


def item(label: str, **more: Any) -> dict[str, Any]:
    return {"label": label, "kind": 3, **more}


async def test_completions_are_for_the_word_before_the_place_the_likeliest_first(start: Any, root: Path) -> None:
    (root / "main.py").write_text('"👋"; shop.op\n')
    items = [
        item("zip"),
        item("Open", sortText="1"),
        item("open_shop", sortText="2", insertText="open_shop()"),
        item("close_op", sortText="0"),
    ]
    async with start({COMPLETION: [[{"reply": {"isIncomplete": True, "items": items}}]]}) as fake:
        answer = await fake.completions(line=1, text="shop.op")
        assert [one.label for one in answer.items] == ["open_shop", "Open", "close_op"]
        assert (answer.items[0].kind, answer.items[0].insert_text) == ("function", "open_shop()")
        assert (answer.complete, answer.is_incomplete) == (True, True)
        assert fake.sent(COMPLETION)[0]["params"]["position"] == {"line": 0, "character": 13}


async def test_the_first_completions_of_a_page_are_resolved(start: Any) -> None:
    items = [item(f"f{number:02}", data=number) for number in range(30)]
    resolved = {"documentation": {"kind": "markdown", "value": "does it"}, "detail": "()"}
    on = {COMPLETION: [[{"reply": items}]], RESOLVE: [[{"reply": resolved}], [{"error": [-32603, "no"]}]]}
    async with start(on) as fake:
        answer = await fake.completions(limit=20)
        assert (answer.items[0].documentation, answer.items[0].detail) == ("does it", "()")
        assert (answer.items[1].documentation, answer.items[1].label) == (None, "f01")
        assert [one["params"]["data"] for one in fake.sent(RESOLVE)] == list(range(10))
        rest = await fake.completions(limit=20, cursor=answer.cursor)
        assert [one.label for one in answer.items + rest.items] == [f"f{number:02}" for number in range(30)]
        assert [one["params"]["data"] for one in fake.sent(RESOLVE)[10:]] == list(range(20, 30))


async def test_a_label_that_is_set_off_by_a_space_is_told_without_it(start: Any) -> None:
    async with start({COMPLETION: [[{"reply": [{"label": " f(int)", "filterText": "f"}]}]]}) as fake:
        (found,) = (await fake.completions()).items
        assert (found.label, found.insert_text) == ("f(int)", "f(int)")


async def test_a_server_that_cannot_resolve_is_not_asked_to(start: Any) -> None:
    async with start({COMPLETION: [[{"reply": [item("f")]}]]}, {"completionProvider": {}}) as fake:
        assert len((await fake.completions()).items) == 1
        assert fake.sent(RESOLVE) == []


async def test_of_very_many_completions_some_are_looked_at_and_those_of_the_page_are_read(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, completion = list[str](), hover._completion

    def counted(item: Any) -> Any:
        read.append(item["label"])
        return completion(item)

    monkeypatch.setattr(hover, "_completion", counted)
    labels = [f"f{number:05}" for number in range(20_001)]
    async with start({COMPLETION: [[{"reply": [item(label) for label in labels]}]]}) as fake:
        answer = await fake.completions(limit=5)
        assert (answer.complete, answer.reason, len(answer.items)) == (False, "truncated", 5)
        assert "first 20000" in (answer.message or "")
        assert "5 of 20000" in (answer.message or "")
        assert read == labels[:5]
        rest = await fake.completions(limit=5, cursor=answer.cursor)
        assert [one.label for one in rest.items] == labels[5:10]
        assert read == labels[:5] + labels[:10]


async def test_nothing_yet_is_not_nothing(start: Any) -> None:
    async with start({COMPLETION: [[{"reply": {"isIncomplete": True, "items": []}}]]}) as fake:
        answer = await fake.completions()
        assert (answer.complete, answer.reason, answer.items) == (False, "truncated", [])


@pytest.mark.parametrize("ask", ["completions", "signature_help"])
@pytest.mark.parametrize(("place", "said"), [({"line": 99}, "no line 99"), ({"line": 1, "text": "nowhere"}, "has no")])
async def test_a_place_that_is_not_there_is_refused(ask: str, place: Any, said: str, start: Any) -> None:
    async with start() as fake:
        with pytest.raises(ToolError, match=said):
            await getattr(fake, ask)(**place)


async def test_a_signature_tells_its_parameters_and_the_active_one(start: Any) -> None:
    label = 'f(👋: "é", b: int)'
    signature = {
        "label": label,
        "documentation": "calls",
        "parameters": [{"label": [2, 9], "documentation": "first"}, {"label": "b: int"}],
    }
    reply = {"signatures": [{"label": "g()"}, signature], "activeSignature": 1, "activeParameter": 1}
    async with start({SIGNATURE: [[{"reply": reply}]]}) as fake:
        answer = await fake.signature_help(text="open_shop(")
        assert (answer.complete, answer.active_signature) == (True, 1)
        other, active = answer.signatures
        assert (other.label, other.parameters, other.active_parameter) == ("g()", [], None)
        assert [one.label for one in active.parameters] == ['👋: "é"', "b: int"]
        assert (active.parameters[0].documentation, active.active_parameter) == ("first", 1)
        assert answer.lean() == {
            "complete": True,
            "count": 2,
            "signatures": [label, "g()"],
            "active_parameter": "b: int",
        }
        assert fake.sent(SIGNATURE)[0]["params"]["position"] == {"line": 1, "character": 10}


@pytest.mark.parametrize("label", [[9, 2], [0, 10**9]])
async def test_offsets_out_of_the_signature_do_no_harm(label: list[int], start: Any) -> None:
    reply = {"signatures": [{"label": "f(x)", "parameters": [{"label": label}]}]}
    async with start({SIGNATURE: [[{"reply": reply}]]}) as fake:
        (signature,) = (await fake.signature_help()).signatures
        assert signature.parameters[0].label in ("", "f(x)")
