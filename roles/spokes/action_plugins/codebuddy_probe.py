"""Runs the module of the same name in a spoke, and passes on only what is safe to print.

The module runs among the project's own programs, which may forge its whole result: further fields, warnings, lines that
look like those of the play.
"""

from __future__ import annotations

from importlib import util
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

# An action runs on the controller, where the module utilities of roles cannot be imported.
_SPEC = util.spec_from_file_location(
    "text_safety", Path(__file__).resolve().parents[2] / "fleet/module_utils/codebuddy_fleet/text_safety.py"
)
assert _SPEC
assert _SPEC.loader
text_safety = util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(text_safety)

_SENTENCES = 10  # shown of what a spoke says


class ActionModule(ActionBase):  # type: ignore[misc]
    """Wraps the module."""

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        return safe_result(self._execute_module(task_vars=task_vars))

    def _parse_returned_data(self, res: dict[str, Any], profile: str) -> dict[str, Any]:
        # Ansible prints what stands behind the result as a warning.
        result = next((line for line in str(res.get("stdout", "")).split("\n") if line.startswith("{")), "")
        return dict(super()._parse_returned_data({**res, "stdout": result}, profile))


def safe_result(result: dict[str, Any]) -> dict[str, Any]:
    """Return the result made of a number and of sentences in quotes, each in one line."""
    attempts = result.get("attempts")
    if not result.get("failed") and isinstance(attempts, int):
        return {"changed": False, "attempts": attempts}
    breaches = result.get("breaches")
    said = breaches if isinstance(breaches, list) and breaches else [result.get("module_stderr") or result.get("msg")]
    sentences = [text_safety.quoted(str(sentence)) for sentence in said[:_SENTENCES]]
    more = [f"and {len(said) - _SENTENCES} more."] if len(said) > _SENTENCES else []
    head = "The spoke is not sealed, or the attack failed. It says:"
    return {"failed": True, "msg": "\n".join([head, *sentences, *more])}
