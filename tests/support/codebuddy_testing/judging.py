"""Judging an answer of a code tool against a case that was written down by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from codebuddy_testing.language_cases import NEW_NAME, Case, Limited, Spot, spots

__all__ = ["Answer", "Verdict", "judge"]

State = Literal["ok", "unsupported", "limited", "WRONG"]


@dataclass(frozen=True)
class Verdict:
    """What an answer is worth.

    Args:
        state: ``unsupported``: the server says that it cannot; ``limited``: wrong in the way that is written down.
        why: what is wrong, or why it is not done.
    """

    state: State
    why: str = ""


@dataclass(frozen=True)
class Answer:
    """What a tool answered: an error or not, and its structured content."""

    failed: bool
    content: Mapping[str, Any]


def judge(case: Case, project: str, texts: Mapping[str, str], answer: Answer) -> Verdict:
    """Judge an answer.

    Args:
        case: the question.
        project: whom it was put to.
        texts: the project's texts when it was asked, by path.
        answer: what was answered.
    """
    content = answer.content
    told = str(content.get("message"))
    # What would change files is refused as a whole when a server cannot do it.
    if content.get("reason", content.get("code")) == "unsupported" or (answer.failed and "does not announce" in told):
        return Verdict("unsupported", told)
    expected_refusal = case.refused.get(project)
    if expected_refusal is not None:
        if answer.failed and expected_refusal in str(content.get("message")):
            return Verdict("unsupported", str(content.get("message")))
        return Verdict("WRONG", f"it is to be refused with {expected_refusal!r}; it was answered {dict(content)}")
    if answer.failed:
        return Verdict("WRONG", f"refused: {content.get('code')}: {content.get('message')}")
    if content.get("complete") is False:
        return Verdict("WRONG", f"not complete: {content.get('reason')}: {content.get('message')}")
    compare = _COMPARE[case.tool]
    found = compare(case, None, project, texts, content)
    if found and case.instead:
        found = compare(replace(case, right=case.instead), None, project, texts, content) and found
    limited = case.limited.get(project)
    if limited is None:
        return Verdict("WRONG", found) if found else Verdict("ok")
    if not found:
        return Verdict("WRONG", f"it is right now: take away what is written down as limited ({limited.because})")
    differs = compare(case, limited, project, texts, content)
    return Verdict("WRONG", f"beyond what is known: {differs}") if differs else Verdict("limited", limited.because)


def _wanted(case: Case, limited: Limited | None, texts: Mapping[str, str]) -> tuple[set[Spot], set[Spot]]:
    """Give what must and what may be in the answer."""
    must = _all(texts, case.right)
    may = _all(texts, case.may)
    if limited is not None:
        must = (must - _all(texts, limited.lacks)) | _all(texts, limited.extra)
    return must, may


def _all(texts: Mapping[str, str], written: Sequence[str]) -> set[Spot]:
    return {spot for one in written for spot in spots(texts, one)}


def _differs(found: Counter[Spot], must: set[Spot], may: set[Spot]) -> str:
    told = []
    if lacks := sorted(must - set(found)):
        told.append(f"lacks {_shown(lacks)}")
    if extra := sorted(set(found) - must - may):
        told.append(f"has besides {_shown(extra)}")
    if twice := sorted(spot for spot, count in found.items() if count > 1):
        told.append(f"has twice {_shown(twice)}")
    return "; ".join(told)


def _shown(found: Sequence[Spot]) -> str:
    return ", ".join(f"{spot.path}:{spot.line}:{spot.column}-{spot.end_column}" for spot in found)


def _spot(project: str, item: Mapping[str, Any]) -> Spot:
    path = str(item["path"])
    inside = path if item.get("external") else path.removeprefix(f"{project}/")
    end = item["end_column"] if item["end_line"] == item["line"] else -1
    return Spot(inside, item["line"], item["column"], end)


def _check_texts(project: str, texts: Mapping[str, str], items: Sequence[Mapping[str, Any]]) -> str:
    """Say which location does not carry its line's text."""
    for item in items:
        inside = str(item["path"]).removeprefix(f"{project}/")
        if item.get("external"):
            continue
        line = texts[inside].replace("\r\n", "\n").split("\n")[item["line"] - 1]
        if item.get("line_text") != line:
            return f"{inside}:{item['line']} has not its line's text but {item.get('line_text')!r}"
    return ""


def _locations(case: Case, limited: Limited | None, project: str, texts: Mapping[str, str], content: Any) -> str:
    items = content["locations"]
    wrong = _check_texts(project, texts, items)
    return wrong or _differs(Counter(_spot(project, item) for item in items), *_wanted(case, limited, texts))


def _symbols_found(case: Case, limited: Limited | None, project: str, texts: Mapping[str, str], content: Any) -> str:
    items = content["symbols"]
    query = case.more["query"].lower()
    odd = [item["name"] for item in items if not _subsequence(query, item["name"].lower())]
    must, _ = _wanted(case, limited, texts)
    lacks = sorted({(*spot[:3],) for spot in must} - {(*_spot(project, item)[:3],) for item in items})
    told = [f"lacks {lacks}"] if lacks else []
    told += [f"has {odd}, which do not match"] if odd else []
    return "; ".join(told) or _check_texts(project, texts, items)


def _subsequence(short: str, long: str) -> bool:
    rest = iter(long)
    return all(letter in rest for letter in short)


def _outline(case: Case, limited: Limited | None, project: str, texts: Mapping[str, str], content: Any) -> str:
    paths = set(_paths(content["symbols"], ()))
    wanted = [name for name in case.right if limited is None or name not in limited.lacks]
    lacks = [name for name in wanted if tuple(name.split("/")) not in paths]
    flat = list(_flat(content["symbols"]))
    wrong = _check_texts(project, texts, flat)
    shown = sorted("/".join(path) for path in paths)
    return f"lacks {lacks}; has {shown}" if lacks else wrong


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
        wanted = [text for text in case.right if limited is None or text not in limited.lacks]
        lacks = [text for text in wanted if text not in plain]
        return f"lacks {lacks}; says {plain[:300]!r}" if lacks else ""

    return compare


def _labels(key: str, name: str) -> Callable[..., str]:
    """Compare names that must be there, as a whole or as a part, and names that must not."""

    def compare(case: Case, limited: Limited | None, project: str, texts: Mapping[str, str], content: Any) -> str:
        names = [str(item[name]) for item in content[key]]
        wanted = [text for text in case.right if limited is None or text not in limited.lacks]
        lacks = [text for text in wanted if not any(text in one for one in names)]
        extra = [text for text in case.lacks if text in names]
        told = [f"lacks {lacks}"] if lacks else []
        told += [f"has {extra}"] if extra else []
        return f"{'; '.join(told)}; has {names[:40]}" if told else ""

    return compare


def _calls(case: Case, limited: Limited | None, project: str, texts: Mapping[str, str], content: Any) -> str:
    own = [item for item in content["items"] if item["depth"] > 0 and not item.get("external")]
    found = {(*_spot(project, item)[:3],) for item in own}
    must, may = _wanted(case, limited, texts)
    lacks = sorted({(*spot[:3],) for spot in must} - found)
    extra = sorted(found - {(*spot[:3],) for spot in must | may})
    told = [f"lacks {lacks}"] if lacks else []
    told += [f"has besides {extra}"] if extra else []
    calls = {(*_spot(project, at)[:3],) for item in own for at in item.get("calls") or ()}
    wanted = {(*spot[:3],) for spot in _all(texts, limited.calls if limited is not None else case.calls)}
    told += [f"calls at {sorted(calls)}, not {sorted(wanted)}"] if calls != wanted else []
    return "; ".join(told) or _check_texts(project, texts, own)


def _diagnostics(case: Case, limited: Limited | None, project: str, texts: Mapping[str, str], content: Any) -> str:
    grave = [item for item in content["diagnostics"] if item["severity"] in ("error", "warning")]
    must, may = _wanted(case, limited, texts)
    found = {_spot(project, item) for item in grave}
    shown = [f"{item['path']}:{item['line']}:{item['column']}: {item['message']}" for item in grave]
    if must - found or found - must - may:
        return f"wants {_shown(sorted(must))}; has {shown}"
    return _check_texts(project, texts, content["diagnostics"])


def _rename(case: Case, limited: Limited | None, project: str, texts: Mapping[str, str], content: Any) -> str:
    must, may = _wanted(case, limited, texts)
    found: Counter[tuple[str, str]] = Counter()
    for file in content["files"]:
        path = file["path"].removeprefix(f"{project}/")
        for line in file["diff"].splitlines():
            if line.startswith(("+", "-")) and not line.startswith(("+++ ", "--- ")):
                found[path, line.rstrip("\r")] += 1
    new_name = str(case.more.get("new_name", NEW_NAME))
    with_all, without = _diff_of(texts, must | may, new_name), _diff_of(texts, must, new_name)
    if found in (with_all, without):
        return ""
    lacks, extra = without - found, found - with_all
    return f"lacks {sorted(lacks)}; has besides {sorted(extra)}"


def _diff_of(texts: Mapping[str, str], places: set[Spot], new_name: str) -> Counter[tuple[str, str]]:
    """Give the changed lines, old and new, when all places get the new name."""
    lines: dict[tuple[str, int], list[Spot]] = {}
    for spot in places:
        lines.setdefault((spot.path, spot.line), []).append(spot)
    changed: Counter[tuple[str, str]] = Counter()
    for (path, number), there in lines.items():
        old = texts[path].replace("\r\n", "\n").split("\n")[number - 1]
        new = old
        for spot in sorted(there, reverse=True):
            new = new[: spot.column - 1] + new_name + new[spot.end_column - 1 :]
        changed[path, f"-{old}"] += 1
        changed[path, f"+{new}"] += 1
    return changed


def _format(case: Case, limited: Limited | None, project: str, texts: Mapping[str, str], content: Any) -> str:
    assert case.plant is not None
    (file,) = content["files"] or [{"diff": ""}]
    # All of the small file is in the diff: what is kept or added is the new text.
    kept = [line[1:] for line in file["diff"].splitlines() if line[:1] in ("+", " ") and not line.startswith("+++ ")]
    made = "".join(f"{line}\n" for line in kept)
    return "" if made == case.right[0] else f"made {made!r} of it"


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
