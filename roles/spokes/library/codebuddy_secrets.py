#!/usr/bin/python
"""Ansible module: the projects' secrets, as files that their spokes mount."""

from __future__ import annotations

DOCUMENTATION = r"""
module: codebuddy_secrets
short_description: Keep copies of the files that projects declare as their secrets
description:
  - Copies each file into a directory of its project, where only the spoke's user can read it; in one step, so that no
    reader ever sees half of one.
  - Removes what is no longer declared. Tells names only, never what is in a file.
options:
  directory:
    description: What holds a directory for each project.
    type: path
    required: true
  owner:
    description: Who owns the copies and their directories; the user that the spokes run as.
    type: str
  group:
    description: Their group.
    type: str
  projects:
    description: The projects that have secrets.
    type: list
    elements: dict
    required: true
    suboptions:
      id:
        description: The project's id.
        type: str
        required: true
      secrets:
        description: The name of each secret, and its file on this host.
        type: dict
        required: true
attributes:
  check_mode:
    support: full
    description: Exact.
  diff_mode:
    support: full
    description: Names what is written and removed.
author: CodeBuddy
"""

EXAMPLES = r"""
- name: Copy the secrets of a project
  codebuddy_secrets:
    directory: ~/.local/state/codebuddy/secrets
    projects:
      - id: my-service
        secrets: {npmrc: /home/me/.config/my-service/npmrc}
"""

RETURN = r"""
written:
  description: Project and name of each that was written, or in check mode would be.
  returned: always
  type: list
  elements: str
removed:
  description: Project and name, or project alone, of each that went.
  returned: always
  type: list
  elements: str
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.codebuddy_files import Ownership, ensure_directory, ensure_file

ARGUMENTS: dict[str, Any] = {
    "directory": {"type": "path", "required": True},
    "owner": {"type": "str"},
    "group": {"type": "str"},
    "projects": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "id": {"type": "str", "required": True},
            "secrets": {"type": "dict", "required": True, "no_log": False},
        },
    },
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    directory = Path(module.params["directory"])
    declared = {project["id"]: project["secrets"] for project in module.params["projects"]}
    try:
        contents = {
            (project, name): Path(path).read_bytes()
            for project, secrets in declared.items()
            for name, path in secrets.items()
        }
        written = [f"{project}/{name}" for project, name in _write(module, directory, contents)]
        removed = list(_remove(module, directory, declared))
    except OSError as error:
        module.fail_json(msg=f"A secret cannot be kept: {error.strerror}: {error.filename}.")
        return
    diff = {
        "before": "".join(f"{one}\n" for one in removed),
        "after": "".join(f"{one}: written\n" for one in written),
    }
    module.exit_json(changed=bool(written or removed), written=written, removed=removed, diff=diff)


def _write(module: Any, directory: Path, contents: dict[tuple[str, str], bytes]) -> Iterator[tuple[str, str]]:
    ownership = Ownership(module.params["owner"], module.params["group"])
    for (project, name), content in contents.items():
        changed = ensure_directory(module, directory / project, ownership)
        if ensure_file(module, directory / project / name, content, "0400", ownership) or changed:
            yield project, name


def _remove(module: Any, directory: Path, declared: dict[str, dict[str, str]]) -> Iterator[str]:
    """Remove what is not declared, also what a run that was killed left half written."""
    if not directory.is_dir():
        return
    for project in sorted(directory.iterdir()):
        if project.name not in declared:
            yield project.name
            if not module.check_mode:
                shutil.rmtree(project)
            continue
        for name in sorted(set(os.listdir(project)) - set(declared[project.name])):
            yield f"{project.name}/{name}"
            if not module.check_mode:
                (project / name).unlink()


if __name__ == "__main__":
    main()
