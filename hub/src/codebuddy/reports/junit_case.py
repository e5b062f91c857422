"""A test of JUnit's XML, told in the words of the tool that wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from codebuddy.reports.lines import plain
from codebuddy.reports.places import Place, is_own, place, places_in, stack_place
from codebuddy.reports.pytest_block import PytestBlock

__all__ = ["PYTEST_COLLECTS", "JunitCase"]

PYTEST_COLLECTS = "collection failure"  # what pytest calls a file that it cannot read
_PRINTED_ESCAPE = "[NON-XML-CHAR-0x1B]"  # CTest's cmXMLSafe
_NOT_FOUND = "Unable to find executable"
_VAGUE = frozenset({"", "Failed", PYTEST_COLLECTS, _NOT_FOUND})


@dataclass(slots=True)
class JunitCase:
    """A test.

    Args:
        attributes: of its element.
        suites: the names of the suites it is in, from the outermost.
    """

    attributes: dict[str, str]
    suites: Sequence[str]
    failed: bool = False
    skipped: bool = False
    message: str = ""  # the attribute of what says that it failed or was skipped
    text: str = ""  # the text of that
    output: str = ""  # what it printed
    _block: PytestBlock | None = field(default=None, repr=False)

    def settle(self) -> None:
        """Read what CTest says in an attribute: its elements do not tell what was disabled or could not be run."""
        status = self.attributes.get("status")
        if status == "notrun" and self.message == _NOT_FOUND:
            self.failed, self.skipped = True, False
        elif status in {"disabled", "notrun"} and not self.failed:
            self.skipped = True

    def told(self, root: str | None) -> tuple[str, list[str], Place | str | None]:
        """Give a failure's name, message and place."""
        self.text, self.output = _shown(self.text), _shown(self.output)
        name, class_name = self.attributes.get("name", ""), self.attributes.get("classname", "")
        file = self.attributes.get("file")
        if file is not None and class_name in {"test", "suite"}:
            return self._of_node(name, file, root)
        marked = any(line.startswith("E  ") for line in self.text.split("\n"))
        if marked or "pytest" in self.suites or (file or "").endswith(".py"):
            return self._of_pytest(name, class_name, file, root)
        if name == class_name or not class_name:
            return name, self._message(), self._place(root)
        return f"{class_name}.{name}", self._message(), self._place(root)

    def _message(self) -> list[str]:
        message = [] if self.message in _VAGUE else self.message.split("\n")
        if message and self.text.strip():
            return message
        shown = self.text.strip() or self.output.strip()
        return [*message, *shown.split("\n")] if shown else message or [self.message or "It failed."]

    def _place(self, root: str | None) -> Place | str | None:
        file, line = self.attributes.get("file"), self.attributes.get("line")
        for text in (self.text, self.message, self.output):
            for at in places_in(text):
                if is_own(at.path, root) and ("/" in at.path or not at.path.endswith((".java", ".kt"))):
                    return at
        return (place(file, line) or file) if file else None

    def _of_node(self, name: str, file: str, root: str | None) -> tuple[str, list[str], Place | str | None]:
        relative = file.removeprefix(f"{root}/") if root else file
        title = " ".join((*self.suites, name))
        places = (at for line in self.text.split("\n") if line.lstrip().startswith("at ") and (at := stack_place(line)))
        own = next((at for at in places if is_own(at.path, root)), file)
        message = self.message.split("\n") if self.message else self._message()
        return (name if file.endswith(name) and name else f"{relative} > {title}"), message, own

    def _of_pytest(
        self, name: str, class_name: str, file: str | None, root: str | None
    ) -> tuple[str, list[str], Place | str | None]:
        block = PytestBlock(root)
        for line in self.text.split("\n"):
            block.feed(line)
        places = block.places()
        at: Place | str | None = places[-1] if places else None
        if at is None and file is not None:
            line = self.attributes.get("line", "")
            at = place(file, str(int(line) + 1) if line.isdecimal() and len(line) < 9 else None) or file  # from 0
        dotted = class_name or name
        for shown in [file or "", *(each.path for each in places)]:
            path = shown.removeprefix(f"{root}/") if root else shown
            module = path.removesuffix(".py").replace("/", ".")
            if path and (dotted == module or dotted.startswith(f"{module}.")):
                below = dotted[len(module) + 1 :].replace(".", "::")
                parts = [path, below, name if class_name else ""]
                return "::".join(part for part in parts if part), block.message(), at
        return (f"{class_name}.{name}" if class_name else name), block.message(), at


def _shown(text: str) -> str:
    return "\n".join(plain(line) for line in text.replace(_PRINTED_ESCAPE, "\x1b").split("\n"))
