"""Finding files and text: right places, nothing outside, nothing silently missing, and always an end."""

from __future__ import annotations

import codecs
import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codebuddy.files.confinement import ProjectRoot
from codebuddy.files.paths import WorkspacePath
from codebuddy.files.search import (
    Glob,
    LineFinder,
    Page,
    Position,
    Query,
    compile_glob,
    compile_search,
    find_files,
    find_word,
    list_directory,
    search_text,
)
from codebuddy.files.walking import Bounds
from codebuddy.tool import ToolError

PROJECT = WorkspacePath("p")


def soon(seconds: float = 60.0, max_entries: int = 200_000) -> Bounds:
    return Bounds(time.monotonic() + seconds, max_entries)


def plant(directory: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def found(root: ProjectRoot, pattern: str, **options: bool) -> list[str]:
    return [
        path
        for _, path in find_files(root, compile_glob(pattern), soon(), limit=1000, after=Position(), **options).found
    ]


def searched(
    root: ProjectRoot, pattern: str, *, regex: bool = False, case_sensitive: bool = True, include: str | None = None
) -> Page[Any]:
    glob = None if include is None else compile_glob(include)
    query = Query(compile_search(pattern, regex=regex, case_sensitive=case_sensitive), glob, limit=1000)
    return search_text(root, query, soon(), Position())


def places(page: Page[Any]) -> list[tuple[str, int, int, int, int]]:
    return [(m.path, m.line, m.column, m.end_line, m.end_column) for _, m in page.found]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.py", ["p/a.py", "p/src/b.py", "p/src/deep/c.py"]),
        ("src/*.py", ["p/src/b.py"]),
        ("p/src/*.py", ["p/src/b.py"]),
        ("src/**/*.py", ["p/src/b.py", "p/src/deep/c.py"]),
        ("src/**", ["p/src/b.py", "p/src/deep/c.py", "p/src/x.ts"]),
        ("src/", ["p/src/b.py", "p/src/deep/c.py", "p/src/x.ts"]),
        ("**/deep/*", ["p/src/deep/c.py"]),
        ("/a.py", ["p/a.py"]),
        ("./a.py", ["p/a.py"]),
        ("*.{py,ts}", ["p/a.py", "p/src/b.py", "p/src/deep/c.py", "p/src/x.ts"]),
        ("{src,lib}/{b,c}.py", ["p/src/b.py"]),
        ("[a-b].py", ["p/a.py", "p/src/b.py"]),
        ("[!a].py", ["p/src/b.py", "p/src/deep/c.py"]),
        ("?.ts", ["p/src/x.ts"]),
        ("A.PY", []),
        ("src", []),
        ("a.p", []),
        ("(a|b).py", []),
    ],
)
def test_globs(directory: Path, root: ProjectRoot, pattern: str, expected: list[str]) -> None:
    plant(directory, {"a.py": "", "src/b.py": "", "src/deep/c.py": "", "src/x.ts": ""})
    anchored = [path for path in expected if path.count("/") == 1] if pattern == "/a.py" else expected
    assert found(root, pattern) == anchored


ROUTES = (
    "app/(shop)/page.tsx",
    "app/[...slug]/page.tsx",
    "app/[[...rest]]/page.tsx",
    "app/[id]/page.tsx",
    "app/[user-id]/page.tsx",
    "app/@slot/page.tsx",
    "app/i/page.tsx",
    "app/users.$id/page.tsx",
    "{{cookiecutter.name}}/setup.py",
)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("app/[id]/*", ["app/[id]/page.tsx", "app/i/page.tsx"]),
        ("app/[id]/page.tsx", ["app/[id]/page.tsx", "app/i/page.tsx"]),
        ("p/app/[user-id]/*", ["app/[user-id]/page.tsx"]),
        ("**/[...slug]/*", ["app/[...slug]/page.tsx"]),
        ("app/[[...rest]]/**", ["app/[[...rest]]/page.tsx"]),
        ("app/(shop)/*.{ts,tsx}", ["app/(shop)/page.tsx"]),
        ("app/@slot/*", ["app/@slot/page.tsx"]),
        ("app/users.$id/", ["app/users.$id/page.tsx"]),
        ("{{cookiecutter.name}}/*", ["{{cookiecutter.name}}/setup.py"]),
        ("app/[!a]/*", ["app/i/page.tsx"]),
        ("app/[[]id]/*", ["app/[id]/page.tsx"]),
    ],
)
def test_a_glob_finds_the_directory_of_that_very_name(
    directory: Path, root: ProjectRoot, pattern: str, expected: list[str]
) -> None:
    plant(directory, dict.fromkeys(ROUTES, "here"))
    assert found(root, pattern) == [f"p/{path}" for path in expected]
    assert [at[0] for at in places(searched(root, "here", include=pattern))] == [f"p/{path}" for path in expected]


@pytest.mark.parametrize("pattern", ["[z-a]", "{a,b}" * 9])
def test_bad_globs_are_refused(pattern: str) -> None:
    with pytest.raises(ToolError) as refused:
        compile_glob(pattern)
    assert refused.value.code == "invalid_pattern"


@pytest.mark.parametrize(
    "pattern", ["[", "]", "{", "a{b", "a}b", "[[:alpha:]]", "\\", "a\nb", "(", "^$", "[]]", "[!]]"]
)
def test_odd_globs_are_globs(pattern: str) -> None:
    compile_glob(pattern)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("[[x]", "["),
        ("[]]", "]"),
        ("[!]]", "x"),
        ("[^a]", "b"),
        ("[a^]", "^"),
        ("[]a-c]", "b"),
        ("a\\b", "a\\b"),
        ("[a", "[a"),
    ],
)
def test_sets_and_backslashes_in_globs_are_what_they_say(pattern: str, name: str) -> None:
    assert compile_glob(pattern).matches("p", name)


IGNORED: dict[str, str | bytes] = {
    ".gitignore": "*.log\n/build\nnode_modules/\n!keep.log\ndocs/*.txt\n# comment\n[broken\n!\n\\\n[z-a]\n",
    "a.log": "x",
    "keep.log": "x",
    "build/out": "x",
    "src/build/kept": "x",
    "node_modules/m/i.js": "x",
    "docs/a.txt": "x",
    "docs/sub/b.txt": "x",
    "sub/.gitignore": "*.py\n!/yes.py\n",
    "sub/no.py": "x",
    "sub/yes.py": "x",
    "sub/b.log": "x",
    "top.py": "x",
}


def test_ignore_rules_hide_what_git_would_ignore(directory: Path, root: ProjectRoot) -> None:
    plant(directory, IGNORED)
    environment = {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "HOME": "/",
    }
    subprocess.run(["git", "init", "-q"], cwd=directory, env=environment, check=True)
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=directory,
        env=environment,
        check=True,
        capture_output=True,
    )
    expected = sorted("p/" + line for line in listed.stdout.decode().splitlines())
    assert sorted(found(root, "**")) == expected
    assert "p/.git/config" not in found(root, "**", include_ignored=True)
    assert "p/node_modules/m/i.js" in found(root, "**", include_ignored=True)


def test_an_ignored_directory_that_is_asked_for_by_name_is_listed(directory: Path, root: ProjectRoot) -> None:
    plant(directory, IGNORED)

    def listed(path: str, depth: int) -> list[str]:
        where = WorkspacePath.parse(path)
        page = list_directory(root, where, soon(), depth=depth, limit=100, after=Position())
        return [item.path for _, item in page.found]

    assert listed("p/node_modules", 9) == ["p/node_modules/m", "p/node_modules/m/i.js"]
    assert listed("p/node_modules/m", 9) == ["p/node_modules/m/i.js"]
    assert listed("p/sub", 9) == ["p/sub/.gitignore", "p/sub/yes.py"]  # the rules of directories above hold too


def test_what_ignore_rules_left_out_is_counted(directory: Path, root: ProjectRoot) -> None:
    plant(directory, IGNORED)
    assert searched(root, "x").skipped["ignored"] == 6


@pytest.mark.timeout(60)  # a guard against hanging
@pytest.mark.parametrize("kind", ["link", "fifo", "directory", "huge", "catastrophic"])
def test_hostile_ignore_files_do_no_harm(directory: Path, root: ProjectRoot, kind: str) -> None:
    target = directory / ".gitignore"
    if kind == "link":
        (directory.parent / "rules").write_text("*\n")
        target.symlink_to("../rules")
    elif kind == "fifo":
        os.mkfifo(target)
    elif kind == "directory":
        target.mkdir()
    elif kind == "huge":
        with target.open("wb") as file:
            file.truncate(1 << 40)
    else:
        target.write_text("".join(f"{'*a' * 120}{number}b\n" for number in range(250)))
    plant(directory, {"a" * 250: "x"})
    assert "p/" + "a" * 250 in found(root, "**")


@pytest.mark.parametrize(
    ("content", "pattern", "regex", "expected"),
    [
        ("foo bar foo\n", "foo", False, [(1, 1, 1, 4), (1, 9, 1, 12)]),
        ("a\nfoo\n", "foo", False, [(2, 1, 2, 4)]),
        ("é🦀 foo", "foo", False, [(1, 4, 1, 7)]),
        ("e\u0301漢字foo", "foo", False, [(1, 5, 1, 8)]),
        ("a.b axb", "a.b", False, [(1, 1, 1, 4)]),
        ("a.b axb", "a.b", True, [(1, 1, 1, 4), (1, 5, 1, 8)]),
        ("a\r\nb\rc\nfoo", "foo", False, [(4, 1, 4, 4)]),
        ("foo\r\nfoo\r\n", "foo$", True, [(1, 1, 1, 4), (2, 1, 2, 4)]),
        ("foo\nfoo\n", "^f", True, [(1, 1, 1, 2), (2, 1, 2, 2)]),
        ("a\nb\n", "a[^x]b", True, []),
        ("a\nb\n", "a\\nb", True, [(1, 1, 2, 2)]),
        ("a\r\nb\r\n", "a\nb", False, [(1, 1, 2, 2)]),
        ("aa\n\nb\n", "^$", True, [(2, 1, 2, 1)]),
        ("a\n", "x*", True, [(1, 1, 1, 1), (1, 2, 1, 2)]),
        ("é\n", "x*", True, [(1, 1, 1, 1), (1, 2, 1, 2)]),
        ("a\\nb", "a\\nb", False, [(1, 1, 1, 5)]),
        ("", "x*", True, []),
    ],
)
def test_places_of_matches(
    directory: Path,
    root: ProjectRoot,
    *,
    content: str,
    pattern: str,
    regex: bool,
    expected: list[tuple[int, int, int, int]],
) -> None:
    plant(directory, {"f": content})
    assert [place[1:] for place in places(searched(root, pattern, regex=regex))] == expected


@pytest.mark.parametrize(
    "data",
    [
        codecs.BOM_UTF8 + "é foo\n".encode(),
        codecs.BOM_UTF16_LE + "é foo\n".encode("utf-16-le"),
        codecs.BOM_UTF16_BE + "é foo\n".encode("utf-16-be"),
    ],
)
def test_other_encodings_are_searched_and_the_mark_is_no_column(
    directory: Path, root: ProjectRoot, data: bytes
) -> None:
    plant(directory, {"f": data})
    assert places(searched(root, "foo")) == [("p/f", 1, 3, 1, 6)]


def test_case_and_include(directory: Path, root: ProjectRoot) -> None:
    plant(directory, {"a.ts": "Foo É", "b.py": "foo é"})
    assert len(searched(root, "foo").found) == 1
    assert len(searched(root, "foo", case_sensitive=False).found) == 2
    assert len(searched(root, "é", case_sensitive=False, include="*.ts").found) == 1


@given(
    st.lists(st.text("ab\né🦀", max_size=12), max_size=12), st.sampled_from(["a", "b+", "ab", "é", "a|🦀", "^a", "b$"])
)
def test_places_agree_with_a_simple_search_line_by_line(lines: list[str], pattern: str) -> None:
    import re

    text = "\n".join(lines)
    data = text.encode()
    finder = LineFinder(data)
    spans = compile_search(pattern, regex=True, case_sensitive=True).spans(data)
    matches = [finder.match("f", *span, 1) for span in spans if span is not None]
    expected = [
        (number, hit.start() + 1, hit.end() + 1, line)
        for number, line in enumerate(text.split("\n"), 1)
        for hit in re.finditer(pattern, line)
    ]
    assert [(m.line, m.column, m.end_column, m.line_text) for m in matches] == expected
    numbered = text.split("\n")
    for match in matches:
        assert match.before == numbered[max(0, match.line - 2) : match.line - 1]
        behind = numbered[match.line : match.line + 1]
        assert match.after == ([] if match.line == len(numbered) - 1 and behind == [""] else behind)


@pytest.mark.parametrize("pattern", ["(", "(?=x)", r"(a)\1", "a{1000}{1000}", "(" + "x" * 800 + "){900}"])
def test_patterns_that_re2_refuses_get_a_sentence(pattern: str) -> None:
    with pytest.raises(ToolError) as refused:
        compile_search(pattern, regex=True, case_sensitive=True)
    assert refused.value.code == "invalid_pattern"
    assert "b'" not in refused.value.message


@pytest.mark.timeout(60)  # a guard against hanging
@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        ("a" * 100_000 + "b", "(a*)*c"),
        ("a" * 100_000, "(a|aa)+$x"),
        ("ab" * 2_000_000, "[ab]*a[ab]{900}c"),
        ("a" * 4_000_000, "(?:a.*z)|a"),
        ("\n" * 4_000_000, "(?:a|\\n)*b"),
    ],
)
def test_no_pattern_keeps_a_search_busy_much_beyond_its_time(
    directory: Path, root: ProjectRoot, content: str, pattern: str
) -> None:
    plant(directory, {"f": content})
    query = Query(compile_search(pattern, regex=True, case_sensitive=True), limit=10**9, answer_chars=10**12)
    page = search_text(root, query, soon(0.5), Position())
    assert page.reason in {"timed_out", None}


def test_a_line_too_long_for_a_complex_pattern_is_told_as_not_searched(directory: Path, root: ProjectRoot) -> None:
    plant(directory, {"long": "ab" * 1_000_000, "short": "abab\n" * 1000 + "a" + "b" * 900 + "c"})
    page = searched(root, "[ab]*a[ab]{900}c", regex=True)
    assert [place[0] for place in places(page)] == ["p/short"]
    assert page.skipped == {"too_costly": 1}


def test_what_is_not_searched_is_counted(directory: Path, root: ProjectRoot) -> None:
    plant(directory, {"binary": b"x\0x", "latin": "x é".encode("latin-1"), "good": "x"})
    with (directory / "huge").open("wb") as file:
        file.truncate(1 << 40)
    os.mkfifo(directory / "fifo")
    (directory / "link").symlink_to("good")
    (directory / "out").symlink_to("..")
    page = searched(root, "x")
    assert [place[0] for place in places(page)] == ["p/good"]
    assert page.skipped == {"binary_file": 1, "unsupported_encoding": 1, "too_large": 1}
    assert page.reason is None


def test_long_lines_are_cut_around_the_match(directory: Path, root: ProjectRoot) -> None:
    plant(directory, {"f": "é" * 50_000 + "needle" + "🦀" * 50_000})
    match = searched(root, "needle").found[0][1]
    assert match.column == 50_001
    assert len(match.line_text) <= 400
    assert "é" * 100 + "needle" + "🦀" * 100 in match.line_text
    assert match.line_cut


def test_walks_do_not_follow_links(directory: Path, root: ProjectRoot) -> None:
    (directory / "out").symlink_to("..")
    (directory / "loop").symlink_to(".")
    (directory / "file").symlink_to("../secret")
    page = list_directory(root, PROJECT, soon(), depth=9, limit=100, after=Position())
    assert [(item.path, item.type) for _, item in page.found] == [
        ("p/file", "link"),
        ("p/loop", "link"),
        ("p/out", "link"),
    ]
    assert searched(root, "secret").found == []


def test_a_directory_swapped_for_a_link_during_the_walk_is_not_entered(directory: Path, root: ProjectRoot) -> None:
    plant(directory, {"x/secret": "inside\n"})
    (directory / "evil").symlink_to("../p-evil")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for source, target in (("x", "spare"), ("evil", "x"), ("spare", "evil")):
                os.rename(directory / source, directory / target)

    thread = threading.Thread(target=swap)
    thread.start()
    inside = 0
    try:
        for _ in range(1000):
            assert searched(root, "secret").found == []
            inside += len(searched(root, "inside").found)
    finally:
        stop.set()
        thread.join()
    assert inside


class Swapping(Glob):
    """A glob that lets a hostile process act between the listing of a file and its opening."""

    def matches(self, project: str, relative: str) -> bool:
        link = Path(str(self.compiled)) / relative
        link.unlink()
        link.symlink_to("../secret")
        return True


def test_a_file_swapped_for_a_link_after_it_was_listed_is_not_searched(directory: Path, root: ProjectRoot) -> None:
    plant(directory, {"x": "inside\n"})
    query = Query(compile_search("secret", regex=False, case_sensitive=True), Swapping(directory))
    page = search_text(root, query, soon(), Position())
    assert (page.found, page.skipped) == ([], {"unreadable": 1})


def test_strange_names_are_found_and_searched(directory: Path, root: ProjectRoot) -> None:
    names = [b"new\nline", b"not-utf8-\xff", b"..foo", b"-rf", b"n" * 255, b"back\\xff", " é🦀".encode()]
    for name in names:
        (directory / os.fsdecode(name)).write_text("needle")
    paths = found(root, "**")
    assert paths == [place[0] for place in places(searched(root, "needle"))]
    assert sorted(os.fsencode(WorkspacePath.parse(path).parts[0]) for path in paths) == sorted(names)
    "\n".join(paths).encode()


def test_very_deep_trees_end_and_say_so(directory: Path, root: ProjectRoot) -> None:
    current = os.open(directory, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d", dir_fd=current)
        below = os.open("d", os.O_RDONLY, dir_fd=current)
        os.close(current)
        current = below
    os.close(current)
    page = find_files(root, compile_glob("**"), soon(), limit=10, after=Position())
    assert page.skipped["unreadable"] == 1


Collect = Callable[[ProjectRoot, Position, int], Page[Any]]


def _find(root: ProjectRoot, after: Position, number: int) -> Page[Any]:
    return find_files(root, compile_glob("**"), soon(), limit=number, after=after)


def _find_few_entries(root: ProjectRoot, after: Position, number: int) -> Page[Any]:
    glob = compile_glob("**")
    return find_files(root, glob, soon(max_entries=number + 5), limit=999, after=after)


def _list(root: ProjectRoot, after: Position, number: int) -> Page[Any]:
    return list_directory(root, PROJECT, soon(), depth=9, limit=number, after=after)


def _search(root: ProjectRoot, after: Position, number: int) -> Page[Any]:
    query = Query(compile_search("x", regex=False, case_sensitive=True), limit=number)
    return search_text(root, query, soon(), after)


def _search_small_answers(root: ProjectRoot, after: Position, number: int) -> Page[Any]:
    query = Query(compile_search("x", regex=False, case_sensitive=True), limit=999, answer_chars=150 * number)
    return search_text(root, query, soon(), after)


@pytest.mark.parametrize("collect", [_find, _find_few_entries, _list, _search, _search_small_answers])
@pytest.mark.parametrize("number", [1, 2, 3, 7])
def test_pages_together_are_the_whole(directory: Path, root: ProjectRoot, collect: Collect, number: int) -> None:
    plant(
        directory,
        {".gitignore": "ignored-*\n", "b/a": "x x\nx", "b.c": "x", "b/c/d": "x", "a": "x", "e": "none\nx\nx x x"},
    )
    plant(directory, {f"ignored-{name}": "x" for name in range(20)})
    (directory / "empty").mkdir()
    whole = collect(root, Position(), 500)
    assert whole.reason is None
    pieces: list[Any] = []
    after = Position()
    for _ in range(100):
        page = collect(root, after, number)
        pieces += [item for _, item in page.found]
        if page.resume is None:
            break
        after = page.resume
    assert pieces == [item for _, item in whole.found]
    assert len(pieces) >= 6


def test_a_search_ends_at_its_time_and_says_where_it_got(directory: Path, root: ProjectRoot) -> None:
    plant(directory, {"a": "x", "b": "x"})
    page = searched_until(root, time.monotonic() - 1)
    assert (page.reason, page.found) == ("timed_out", [])
    assert page.resume == Position()


def searched_until(root: ProjectRoot, deadline: float) -> Page[Any]:
    query = Query(compile_search("x", regex=False, case_sensitive=True))
    return search_text(root, query, Bounds(deadline), Position())


def test_a_walk_that_nobody_waits_for_ends(directory: Path, root: ProjectRoot) -> None:
    plant(directory, {"a": "x"})
    bounds = soon()
    bounds.stop.set()
    assert find_files(root, compile_glob("**"), bounds, limit=9, after=Position()).reason == "timed_out"


def test_places_of_a_word(directory: Path, root: ProjectRoot) -> None:
    plant(
        directory,
        {
            "a.txt": "shop\r\n\r\n  shop, $shop shops_shop\rü shop",
            "utf16.txt": "ü shop\n".encode("utf-16"),
            "latin.txt": b"\xff shop\n",
            "binary": b"\0 shop\n",
            "without.txt": "shops\n",
            ".gitignore": "hidden.txt\n",
            "hidden.txt": "shop\n",
        },
    )
    files = {str(file.path): file.places for file in find_word(root, "shop", soon())}
    assert {name: [(at.line, at.column) for at in places] for name, places in files.items()} == {
        "p/a.txt": [(1, 1), (3, 3), (4, 3)],
        "p/utf16.txt": [(1, 3)],
    }
    assert [at.line_text for at in files["p/a.txt"]] == ["shop", "  shop, $shop shops_shop", "ü shop"]


@pytest.mark.timeout(60)  # a guard against hanging
def test_a_word_that_is_often_in_a_long_line_is_found_in_time(directory: Path, root: ProjectRoot) -> None:
    plant(directory, {"long.txt": "shop " * 20_000 + "x" * 4_000_000})
    assert len(find_word(root, "shop", soon())[0].places) == 20_000


@pytest.mark.parametrize("number", [20_001, 2_001])
def test_a_word_in_too_many_places_is_refused(directory: Path, root: ProjectRoot, number: int) -> None:
    many = {"a.txt": "shop " * number} if number > 20_000 else {f"{one}.txt": "shop" for one in range(number)}
    plant(directory, many)
    with pytest.raises(ToolError) as refused:
        find_word(root, "shop", soon())
    assert refused.value.code == "too_many_matches"


def test_a_search_for_a_word_ends_at_its_time(directory: Path, root: ProjectRoot) -> None:
    plant(directory, {"a.txt": "shop"})
    with pytest.raises(ToolError) as refused:
        find_word(root, "shop", soon(-1))
    assert refused.value.code == "timed_out"
