"""Compares the answers of code tools with the right answers of the language cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from codebuddy_testing.language_cases import NEW_NAME, Case, Limited, Location, locations_of

State = Literal["ok", "unsupported", "limited", "WRONG"]


@dataclass(frozen=True)
class Verdict:
    """Whether an answer is right.

    Args:
        state: ``unsupported``: the server says that it cannot; ``limited``: wrong in the known way.
        why: what is wrong, or why the server cannot.
    """

    state: State
    why: str = ""


@dataclass(frozen=True)
class Answer:
    """A tool's answer: whether it failed, and its structured content."""

    failed: bool
    content: Mapping[str, Any]


def judge(case: Case, project: str, texts: Mapping[str, str], answer: Answer) -> Verdict:
    """Compare a project's answer with the case; ``texts`` are the project's files at the time of the call, by path."""
    content = answer.content
    message = str(content.get("message"))
    # A tool that changes files fails as a whole when the server cannot do it.
    if content.get("reason", content.get("code")) == "unsupported" or (
        answer.failed and "does not announce" in message
    ):
        return Verdict("unsupported", message)
    expected_refusal = case.refused.get(project)
    if expected_refusal is not None:
        if answer.failed and expected_refusal in message:
            return Verdict("unsupported", message)
        return Verdict("WRONG", f"expected a refusal with {expected_refusal!r}; the answer was {dict(content)}")
    if answer.failed:
        return Verdict("WRONG", f"refused: {content.get('code')}: {message}")
    told = case.told.get(project)
    if told is not None:
        return _judge_told(replace(case, told={}), told, project, texts, content)
    if content.get("complete") is False:
        return Verdict("WRONG", f"not complete: {content.get('reason')}: {message}")
    compare = _COMPARE[case.tool]
    found = compare(case, None, project, texts, content)
    if found and case.alternative:
        found = compare(replace(case, expected=case.alternative), None, project, texts, content) and found
    limited = case.limited.get(project)
    if limited is None:
        return Verdict("WRONG", found) if found else Verdict("ok")
    if not found:
        return Verdict("WRONG", f"it is right now: remove its entry under limited ({limited.reason})")
    differs = compare(case, limited, project, texts, content)
    return (
        Verdict("WRONG", f"wrong in another way than known: {differs}")
        if differs
        else Verdict("limited", limited.reason)
    )


def _judge_told(
    case: Case, told: Sequence[str], project: str, texts: Mapping[str, str], content: Mapping[str, Any]
) -> Verdict:
    """Compare an answer that must say which places the server knows nothing of."""
    places = {_location(project, item) for item in content.get("text_matches") or ()}
    if content.get("reason") != "not_covered" or not _all(texts, told) <= places:
        return Verdict("WRONG", f"expected to be told of {list(told)}; the answer was {dict(content)}")
    found = _COMPARE[case.tool](case, Limited("", missing=told), project, texts, content)
    return Verdict("WRONG", found) if found else Verdict("ok")


def _expected(case: Case, limited: Limited | None, texts: Mapping[str, str]) -> tuple[set[Location], set[Location]]:
    """Return the locations that must be in the answer, and those that may be."""
    must = _all(texts, case.expected)
    may = _all(texts, case.allowed)
    if limited is not None:
        must = (must - _all(texts, limited.missing)) | _all(texts, limited.extra)
    return must, may


def _expected_names(case: Case, limited: Limited | None) -> list[str]:
    return [name for name in case.expected if limited is None or name not in limited.missing]


def _all(texts: Mapping[str, str], written: Sequence[str]) -> set[Location]:
    return {location for one in written for location in locations_of(texts, one)}


def _differs(found: Counter[Location], must: set[Location], may: set[Location]) -> str:
    faults = []
    if missing := sorted(must - set(found)):
        faults.append(f"misses {_shown(missing)}")
    if extra := sorted(set(found) - must - may):
        faults.append(f"has also {_shown(extra)}")
    if twice := sorted(location for location, count in found.items() if count > 1):
        faults.append(f"has twice {_shown(twice)}")
    return "; ".join(faults)


def _shown(found: Sequence[Location]) -> str:
    return ", ".join(f"{location.path}:{location.line}:{location.column}-{location.end_column}" for location in found)


def _location(project: str, item: Mapping[str, Any]) -> Location:
    path = str(item["path"])
    inside = path if item.get("external") else path.removeprefix(f"{project}/")
    end = item["end_column"] if item["end_line"] == item["line"] else -1
    return Location(inside, item["line"], item["column"], end)


def _check_texts(project: str, texts: Mapping[str, str], items: Sequence[Mapping[str, Any]]) -> str:
    """Say which location does not have the text of its line."""
    for item in items:
        inside = str(item["path"]).removeprefix(f"{project}/")
        if item.get("external"):
            continue
        line = texts[inside].replace("\r\n", "\n").split("\n")[item["line"] - 1]
        if item.get("line_text") != line:
            return f"{inside}:{item['line']} should have its line's text, not {item.get('line_text')!r}"
    return ""


def _locations(case: Case, limited: Limited | None, project: str, texts: Mapping[str, str], content: Any) -> str:
    items = content["locations"]
    wrong = _check_texts(project, texts, items)
    return wrong or _differs(Counter(_location(project, item) for item in items), *_expected(case, limited, texts))


def _symbols_found(case: Case, limited: Limited | None, project: str, texts: Mapping[str, str], content: Any) -> str:
    items = content["symbols"]
    query = case.arguments["query"].rpartition(".")[2].lower()
    odd = [item["name"] for item in items if not _subsequence(query, item["name"].lower())]
    must, _ = _expected(case, limited, texts)
    missing = sorted({(*location[:3],) for location in must} - {(*_location(project, item)[:3],) for item in items})
    faults = [f"misses {missing}"] if missing else []
    faults += [f"has {odd}, which do not match"] if odd else []
    return "; ".join(faults) or _check_texts(project, texts, items)


def _subsequence(short: str, long: str) -> bool:
    rest = iter(long)
    return all(letter in rest for letter in short)


def _outline(case: Case, limited: Limited | None, project: str, texts: Mapping[str, str], content: Any) -> str:
    paths = set(_paths(content["symbols"], ()))
    wanted = _expected_names(case, limited)
    missing = [name for name in wanted if tuple(name.split("/")) not in paths]
    flat = list(_flat(content["symbols"]))
    wrong = _check_texts(project, texts, flat)
    shown = sorted("/".join(path) for path in paths)
    return f"misses {missing}; has {shown}" if missing else wrong


def _flat(items: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for item in items:
        yield item
        yield from _flat(item.get("children") or [])


def _paths(items: Sequence[Mapping[str, Any]], around: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for item in items:
        path = tuple(item["symbol"].split("/")) if item.get("symbol") else (*around, item["name"])
        yield path
        yield from _paths(item.get("children") or [], path)


def _says(key: str) -> Callable[..., str]:
    def compare(case: Case, limited: Limited | None, project: str, texts: Mapping[str, str], content: Any) -> str:
        said = content.get(key) or ""
        plain = " ".join(str(said).split())
        wanted = _expected_names(case, limited)
        missing = [text for text in wanted if text not in plain]
        return f"misses {missing}; says {plain[:300]!r}" if missing else ""

    return compare


def _labels(key: str, name: str) -> Callable[..., str]:
    """Compare names: each expected text is in one of them, and no forbidden name is there."""

    def compare(case: Case, limited: Limited | None, project: str, texts: Mapping[str, str], content: Any) -> str:
        names = [str(item[name]) for item in content[key]]
        wanted = _expected_names(case, limited)
        missing = [text for text in wanted if not any(text in one for one in names)]
        extra = [text for text in case.forbidden if text in names]
        faults = [f"misses {missing}"] if missing else []
        faults += [f"has {extra}"] if extra else []
        return f"{'; '.join(faults)}; has {names[:40]}" if faults else ""

    return compare


def _calls(case: Case, limited: Limited | None, project: str, texts: Mapping[str, str], content: Any) -> str:
    own = [item for item in content["items"] if item["depth"] > 0 and not item.get("external")]
    found = {(*_location(project, item)[:3],) for item in own}
    must, may = _expected(case, limited, texts)
    missing = sorted({(*location[:3],) for location in must} - found)
    extra = sorted(found - {(*location[:3],) for location in must | may})
    faults = [f"misses {missing}"] if missing else []
    faults += [f"has also {extra}"] if extra else []
    calls = {(*_location(project, at)[:3],) for item in own for at in item.get("calls") or ()}
    wanted = {(*location[:3],) for location in _all(texts, limited.calls if limited is not None else case.calls)}
    faults += [f"calls at {sorted(calls)}, not {sorted(wanted)}"] if calls != wanted else []
    return "; ".join(faults) or _check_texts(project, texts, own)


def _diagnostics(case: Case, limited: Limited | None, project: str, texts: Mapping[str, str], content: Any) -> str:
    grave = [item for item in content["diagnostics"] if item["severity"] in ("error", "warning")]
    must, may = _expected(case, limited, texts)
    found = {_location(project, item) for item in grave}
    shown = [f"{item['path']}:{item['line']}:{item['column']}: {item['message']}" for item in grave]
    if must - found or found - must - may:
        return f"wants {_shown(sorted(must))}; has {shown}"
    return _check_texts(project, texts, content["diagnostics"])


def _rename(case: Case, limited: Limited | None, project: str, texts: Mapping[str, str], content: Any) -> str:
    must, may = _expected(case, limited, texts)
    found: Counter[tuple[str, str]] = Counter()
    for file in content["files"]:
        path = file["path"].removeprefix(f"{project}/")
        for line in file["diff"].splitlines():
            if line.startswith(("+", "-")) and not line.startswith(("+++ ", "--- ")):
                found[path, line.rstrip("\r")] += 1
    new_name = str(case.arguments.get("new_name", NEW_NAME))
    with_all, without = _diff_of(texts, must | may, new_name), _diff_of(texts, must, new_name)
    if found in (with_all, without):
        return ""
    missing, extra = without - found, found - with_all
    return f"misses {sorted(missing)}; has also {sorted(extra)}"


def _diff_of(texts: Mapping[str, str], places: set[Location], new_name: str) -> Counter[tuple[str, str]]:
    """Return the changed lines, old and new, if all places get the new name."""
    lines: dict[tuple[str, int], list[Location]] = {}
    for location in places:
        lines.setdefault((location.path, location.line), []).append(location)
    changed: Counter[tuple[str, str]] = Counter()
    for (path, number), there in lines.items():
        old = texts[path].replace("\r\n", "\n").split("\n")[number - 1]
        new = old
        for location in sorted(there, reverse=True):
            new = new[: location.column - 1] + new_name + new[location.end_column - 1 :]
        changed[path, f"-{old}"] += 1
        changed[path, f"+{new}"] += 1
    return changed


def _format(case: Case, limited: Limited | None, project: str, texts: Mapping[str, str], content: Any) -> str:
    assert case.file is not None
    (file,) = content["files"] or [{"diff": ""}]
    # The diff holds all of the small file: kept and added lines are the new text.
    kept = [line[1:] for line in file["diff"].splitlines() if line[:1] in ("+", " ") and not line.startswith("+++ ")]
    made = "".join(f"{line}\n" for line in kept)
    return "" if made == case.expected[0] else f"the new text is {made!r}"


_COMPARE: Final[Mapping[str, Callable[..., str]]] = {
    "find_definition": _locations,
    "find_references": _locations,
    "find_implementations": _locations,
    "find_symbols": _symbols_found,
    "document_symbols": _outline,
    "hover": _says("contents"),
    "completions": _labels("items", "label"),
    "signature_help": _labels("signatures", "label"),
    "call_hierarchy": _calls,
    "type_hierarchy": _calls,
    "diagnostics": _diagnostics,
    "rename_symbol": _rename,
    "format_file": _format,
    "code_actions": _labels("actions", "title"),
}
