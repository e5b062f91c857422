"""Lets the tests import the role's module utilities under the name that Ansible gives them."""

from pathlib import Path

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).parents[3] / "roles/engine/module_utils"))
