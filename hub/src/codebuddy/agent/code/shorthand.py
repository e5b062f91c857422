"""Finds shorthand properties (``{ name }``) in JavaScript and TypeScript, JSX included.

It reads tokens and brackets, and decides from the token before a brace what the brace opens. Where types and objects
look alike, it says object: a rename is then refused that need not be.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection
from typing import Final, Literal, NamedTuple

# What is open: an object or pattern, other braces, "(" or "[", a template, code in it or in JSX, a tag, its children.
_Open = Literal["object", "block", "(", "[", "`", "${", "tag", "children"]

_SKIPPED: Final = re.compile(r"(?:\s+|//[^\n]*|/\*.*?(?:\*/|\Z))*", re.DOTALL)
_TOKEN: Final = re.compile(
    r"""(?P<value>"(?:[^"\\\n]|\\.)*"?|'(?:[^'\\\n]|\\.)*'?|\d[\w.]*)
    |(?P<word>[\w$\#@]+)
    |(?P<sign>=>|===?|!==?|<=|\?\?=?|\?\.(?!\d)|&&=?|\|\|=?|\.\.\.|\+\+|--|[-+*/%&|^]=|.)""",
    re.DOTALL | re.VERBOSE,
)
_REGEX: Final = re.compile(r"/(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/\w*")
_TEMPLATE: Final = re.compile(r"(?:[^`\\$]|\\.|\$(?!\{))*", re.DOTALL)
_TAG: Final = re.compile(r"""[\w$.:-]+|"[^"]*"|'[^']*'|/?>|.""", re.DOTALL)
_TAG_BEGINS: Final = re.compile(r"<(?:[A-Za-z_$]|\s*>)")
_FRAGMENT: Final = re.compile(r"<\s*>")
_TYPE_PARAMETER: Final = re.compile(r"<\s*(?:const\s+)?[\w$]+\s*(?:,|=|extends\b)")
_CLOSES: Final = {")": ("(",), "]": ("[",), "}": ("object", "block", "${")}

_BEFORE_VALUE: Final = frozenset([
    "return", "yield", "await", "typeof", "void", "delete", "in", "of", "new", "throw", "case", "default",
    "instanceof", "const", "let", "var", "using",
])  # fmt: skip
_NO_VALUE_BEFORE: Final = _BEFORE_VALUE | {"else", "do", "extends"}
_BEFORE_BLOCK: Final = frozenset([")", "]", ";", "{", "}", "=>", "<"])

_LOOK_BACK: Final = 200
_ENDS_LIKE_ONE: Final = re.compile(r"[,}]|=(?![=>])")


class _Token(NamedTuple):
    kind: str
    text: str


def shorthands(text: str, names: Collection[int], *, jsx: bool) -> set[int]:
    """Return those of some names that are shorthand properties, of an object or in a pattern.

    Args:
        text: of the file.
        names: where they begin, as offsets.
        jsx: whether the file may hold JSX.
    """
    scanner, found = _Scanner(text, jsx), set[int]()
    last = max(names, default=-1)
    while scanner.at <= min(last, len(text) - 1):
        before, opened = scanner.before, scanner.opened[-1] if scanner.opened else None
        start = scanner.next()
        if start in names and opened == "object" and before in (("sign", "{"), ("sign", ",")):
            end = scanner.at
            after = _skip(text, end)
            if scanner.before.kind == "word" and _ENDS_LIKE_ONE.match(text, after):
                found.add(start)
    return found


def _skip(text: str, at: int) -> int:
    match = _SKIPPED.match(text, at)
    return match.end() if match else at


class _Scanner:
    def __init__(self, text: str, jsx: bool) -> None:
        self._text, self._jsx = text, jsx
        self._tokens: deque[_Token] = deque(maxlen=_LOOK_BACK)
        self._after_value = False  # whether a "/" divides and a "<" compares
        self.at = 0
        self.opened: list[_Open] = []

    @property
    def before(self) -> _Token:
        """The last token."""
        return self._tokens[-1] if self._tokens else _Token("sign", ";")

    def next(self) -> int:
        """Read a token; return where it began."""
        inside = self.opened[-1] if self.opened else None
        if inside == "`":
            return self._in_template()
        if inside == "children":
            return self._in_children()
        start = self.at = _skip(self._text, self.at)
        if inside == "tag":
            self._in_tag()
        elif start < len(self._text):
            self._in_code()
        return start

    def _take(self, kind: str, end: int, *, is_value: bool) -> None:
        self._tokens.append(_Token(kind, self._text[self.at : end]))
        self.at, self._after_value = end, is_value

    def _in_code(self) -> None:
        text, at = self._text, self.at
        if text[at] == "/" and not self._after_value and (regex := _REGEX.match(text, at)):
            self._take("value", regex.end(), is_value=True)
            return
        if self._jsx and not self._after_value and _TAG_BEGINS.match(text, at) and not _TYPE_PARAMETER.match(text, at):
            self._open_tag()
            return
        token = _TOKEN.match(text, at)
        kind, end = (token.lastgroup or "sign", token.end()) if token else ("sign", at + 1)
        word = text[at:end]
        if kind == "word":
            self._take(kind, end, is_value=word not in _NO_VALUE_BEFORE or self.before.text in (".", "?."))
        elif kind == "value":
            self._take(kind, end, is_value=True)
        elif word == "`":
            self.opened.append("`")
            self.at = end
        elif word == "{":
            self.opened.append("object" if self._begins_object() else "block")
            self._take(kind, end, is_value=False)
        elif word in ("(", "["):
            self.opened.append("(" if word == "(" else "[")
            self._take(kind, end, is_value=False)
        elif word in _CLOSES:
            closed = self.opened.pop() if self.opened and self.opened[-1] in _CLOSES[word] else None
            self._take(kind, end, is_value=word != "}" or closed == "object")
        else:
            self._take(kind, end, is_value=self._after_value and word in ("!", "++", "--"))

    def _open_code(self, end: int) -> None:
        self.opened.append("${")
        self._tokens.append(_Token("sign", "${"))
        self.at, self._after_value = end, False

    def _in_template(self) -> int:
        start = self.at
        match = _TEMPLATE.match(self._text, start)
        self.at = match.end() if match else start
        if self._text.startswith("${", self.at):
            self._open_code(self.at + 2)
        else:
            self.opened.pop()
            self._take("value", self.at + 1, is_value=True)
        return start

    def _open_tag(self) -> None:
        fragment = _FRAGMENT.match(self._text, self.at)
        self.opened.append("children" if fragment else "tag")
        self.at = fragment.end() if fragment else self.at + 1

    def _in_tag(self) -> None:
        match = _TAG.match(self._text, self.at)
        end = match.end() if match else self.at + 1
        part = self._text[self.at : end]
        if part == "{":
            self._open_code(end)
        elif part == ">":
            self.opened[-1] = "children"
            self.at = end
        elif part == "/>":
            self.opened.pop()
            self._take("value", end, is_value=True)
        else:
            self.at = end

    def _in_children(self) -> int:
        start = self.at
        while self.at < len(self._text) and self._text[self.at] not in "{<":
            self.at += 1
        if self._text.startswith("{", self.at):
            self._open_code(self.at + 1)
        elif self._text.startswith("</", self.at):
            self.opened.pop()
            closing = self._text.find(">", self.at)
            self._take("value", closing + 1 if closing >= 0 else len(self._text), is_value=True)
        elif self._text.startswith("<", self.at):
            self._open_tag()
        return start

    def _begins_object(self) -> bool:
        """Say whether a brace that comes now opens an object or a pattern, from what is before it."""
        kind, text = self.before
        if kind == "word":
            return text in _BEFORE_VALUE
        if kind == "value" or (text in _BEFORE_BLOCK and self._tokens):
            return False
        words = [token.text for token in self._tokens]
        if text == ">":
            return self._ends_type_assertion(words)
        if text == ",":
            return words[-3:-2] != ["import"] and words[-4:-2] != ["import", "type"]
        if text == "=":
            return words[-3:-2] != ["type"]
        if text == ":" and (not self.opened or self.opened[-1] == "block"):
            return not self._ends_label(words)
        return bool(self._tokens)

    @staticmethod
    def _ends_type_assertion(words: list[str]) -> bool:
        """Say whether the ``>`` at the end is that of ``<Type>`` before a value, and not that of ``Map<K, V>``."""
        depth = 0
        for index in range(len(words) - 1, -1, -1):
            depth += (words[index] == ">") - (words[index] == "<")
            if depth == 0:
                before = words[index - 1] if index else ";"
                return before in _BEFORE_VALUE or not re.match(r"[\w$\])]", before)
        return True

    @staticmethod
    def _ends_label(words: list[str]) -> bool:
        """Say whether the ``:`` at the end is that of a ``case`` or a label, and not of a type or of ``a ? b : c``."""
        depth = 0
        for word in reversed(words[:-1]):
            depth += (word in (")", "]", "}")) - (word in ("(", "[", "{"))
            if depth < 0 or (depth == 0 and word in (";", "?", ":")):
                break
            if depth == 0 and word in ("case", "default"):
                return True
        return len(words) < 3 or words[-3] in (";", "{", "}", ")")
