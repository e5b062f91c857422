"""What all tests share: the module utilities of the roles, importable under the name that Ansible gives them."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

ROOT = Path(__file__).parents[1]

for folder in sorted(ROOT.glob("roles/*/module_utils")):
    ansible.module_utils.__path__.append(str(folder))
