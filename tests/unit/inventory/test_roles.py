"""The documented defaults of the roles' variables are those that apply."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).parents[3] / "roles"


@pytest.mark.parametrize("role", sorted(path.parents[1].name for path in ROLES.glob("*/meta/argument_specs.yml")))
def test_the_documented_default_of_each_variable_is_the_one_of_the_role(role: str) -> None:
    specs = yaml.safe_load((ROLES / role / "meta/argument_specs.yml").read_text())["argument_specs"]
    defaults = yaml.safe_load((ROLES / role / "defaults/main.yml").read_text())
    options: dict[str, dict[str, Any]] = {name: one for spec in specs.values() for name, one in spec["options"].items()}
    assert set(defaults) == {name for name, option in options.items() if "default" in option}
    for name, default in defaults.items():
        if "{{" not in str(default):  # a path of the role, which the documentation describes in words
            assert options[name]["default"] == default, name
