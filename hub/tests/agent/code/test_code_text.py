"""Places in comments and strings are told from places in code."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from codebuddy.agent.code.code_text import code_places
from codebuddy.agent.lsp.tree import Tree
from codebuddy.files.search import WordPlace

CASES = {
    "a.py": """\
code()
# no
x = "no" + 'no' + code
\"\"\"no
no\"\"\"
f"no {code} no" + rf'''no {code!r} no'''
r'no' + 'no\\'no' + code
f"{x["no"]} no {code}" + f"{code({1: code})} {{no}} no" + code
f'''no {code(
code)} no''' + code
""",
    "a.ts": """\
code(); // no
/* no
no */ code
const a = "no" + 'no' + `no` + `no ${code} no ${code()}`;
const b = it's code;
`${code({ a: 1 })} no ${x ? `no` : code} no` + code;
x.replace(/[`/]no/g, ""); code; /"/.test(code) || "no" || code / 2 / code;
case'no': return'no';
const c = <p>it's {code} isn't http://x {code}</p>;
""",
    "a.vue": "<!-- no -->\n<b>code</b>\n<b @click=\"code()\">{{ code }}</b>\n'no'\n",
    "a.go": "code() // no\n/* no */ code\nx := `no\nno` + \"no\" + 'c' + code\n",
    "a.rs": """\
code(); // no
fn f<'a>(x: &'a str) { code }
let s = r#"no " no"# + "no
no" + code;
let c = '"'; code;
""",
    "a.cpp": """\
code(); // no
R"x(no
)" no)x" + code + "no" + 'c';
int n = 1'000'000 + code;
""",
    "a.txt": "code # code\n",
}


@pytest.mark.parametrize("name", CASES)
def test_a_place_is_code_unless_it_is_in_a_comment_or_a_string(name: str, tmp_path: Path) -> None:
    text = CASES[name]
    (tmp_path / name).write_text(text)
    places = [
        (word, WordPlace(number, line.index(word, start) + 1, line))
        for number, line in enumerate(text.split("\n"), 1)
        for word in ("code", "no")
        for start in range(len(line))
        if line.startswith(word, start) and not line[start + len(word) :][:1].isalnum()
    ]
    found = code_places(Tree("p", tmp_path), tmp_path / name, [place for _, place in places])
    assert {word for word, place in places if place in found} == {"code"}
    assert sum(word == "code" for word, _ in places) == len(found)


def test_a_file_that_is_gone_is_all_code(tmp_path: Path) -> None:
    place = WordPlace(1, 1, "x")
    assert code_places(Tree("p", tmp_path), tmp_path / "gone.py", [place]) == [place]


@pytest.mark.parametrize(
    "text",
    [
        "'" * 100_000,
        '"""' * 50_000,
        "/*" * 100_000,
        "`${" * 50_000,
        "\\" * 100_000,
        'r#"' * 50_000,
        'R"x(' * 50_000,
        "<!--" * 50_000,
    ],
)
@pytest.mark.parametrize("name", ["a.py", "a.ts", "a.go", "a.rs", "a.cpp"])
def test_hostile_text_takes_linear_time(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert len(code_places(Tree("p", tmp_path), tmp_path / name, [WordPlace(1, 1, "x")])) <= 1


def test_of_a_notebook_only_cells_of_code_are_code(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["no\n"]},
        {"cell_type": "code", "metadata": {}, "outputs": ["no"], "source": ["code()\n", "code\n"]},
    ]
    text = json.dumps({"cells": cells, "metadata": {"no": 1}}, indent=1)
    (tmp_path / "a.ipynb").write_text(text)
    places = [
        WordPlace(number, line.index(word) + 1, line)
        for number, line in enumerate(text.split("\n"), 1)
        for word in ("code()", '"code\\n', '"no')
        if word in line
    ]
    found = code_places(Tree("p", tmp_path), tmp_path / "a.ipynb", [replace(at, column=at.column + 1) for at in places])
    assert [at.line_text.strip() for at in found] == ['"code()\\n",', '"code\\n"']
