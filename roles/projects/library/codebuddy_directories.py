#!/usr/bin/python
"""Ansible module: the host directories of projects, and a sample project in those that are empty."""

from __future__ import annotations

DOCUMENTATION = r"""
module: codebuddy_directories
short_description: Host directories of projects
description:
  - Creates the directories of projects that do not exist, with those that they lie in.
  - Copies the sample project of its profile into a directory that is new or empty. One that holds anything is never
    touched.
options:
  projects:
    description: The declared projects; of each, C(id), C(path) and C(profile) count here.
    type: list
    elements: dict
    required: true
  samples:
    description: Directory of the sample projects, a folder a profile.
    type: path
    required: true
  uid:
    description: Who owns what is created.
    type: int
    required: true
  gid:
    description: The group of what is created.
    type: int
    required: true
author:
  - CodeBuddy
"""

RETURN = r"""
created:
  description: Directories that were created, or in check mode would be.
  type: list
  elements: str
  returned: always
filled:
  description: Ids of the projects that got a sample, or in check mode would.
  type: list
  elements: str
  returned: always
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.codebuddy_directories import Owner, Work, examine, perform

ARGUMENTS: dict[str, Any] = {
    "projects": {"type": "list", "elements": "dict", "required": True},
    "samples": {"type": "path", "required": True},
    "uid": {"type": "int", "required": True},
    "gid": {"type": "int", "required": True},
}


def explain(project: dict[str, Any], owner: Owner, error: OSError) -> str:
    """Give the sentence for a directory that cannot be set up."""
    sentence = f"Host {project['id']}: {project['path']} cannot be set up: {error.strerror}"
    if error.filename and str(error.filename) != project["path"]:
        sentence += f": {error.filename}"
    if isinstance(error, PermissionError):
        return f"{sentence}. Deploy as a user that may write there and may give files to uid {owner.uid}."
    return f"{sentence}."


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    owner = Owner(module.params["uid"], module.params["gid"])
    works: dict[str, Work] = {}
    for project in module.params["projects"]:
        try:
            work = examine(Path(project["path"]), Path(module.params["samples"], project.get("profile") or "-"))
            if work and not module.check_mode:
                perform(work, owner)
        except OSError as error:
            module.fail_json(msg=explain(project, owner, error))
        works[project["id"]] = work
    # Two projects may lack the same parent: in check mode both say so.
    lines = dict.fromkeys(line for work in works.values() for line in work.lines())
    module.exit_json(
        changed=any(works.values()),
        created=list(dict.fromkeys(str(path) for work in works.values() for path in work.missing)),
        filled=[project for project, work in works.items() if work.sample],
        diff={"before": "", "after": "".join(f"{line}\n" for line in lines)},
    )


if __name__ == "__main__":
    main()
