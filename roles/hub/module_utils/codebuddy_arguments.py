"""The argument specification of a module, read from its DOCUMENTATION, so that an argument is declared once."""

from __future__ import annotations

from typing import Any

import yaml

_SPECIFIED = ("type", "elements", "choices", "default", "required")


def argument_spec(documentation: str) -> dict[str, dict[str, Any]]:
    """Return the ``argument_spec`` of the options in a DOCUMENTATION."""
    return _specification(yaml.safe_load(documentation)["options"])


def _specification(options: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    # No argument of these modules is a secret, but Ansible suspects names such as `tokens`.
    return {
        name: {key: option[key] for key in _SPECIFIED if key in option}
        | ({"options": _specification(option["suboptions"])} if "suboptions" in option else {})
        | {"no_log": False}
        for name, option in options.items()
    }
