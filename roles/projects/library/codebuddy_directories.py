#!/usr/bin/python
"""Ansible module: the host directories of projects, with a sample project in new ones."""

from __future__ import annotations

DOCUMENTATION = r"""
module: codebuddy_directories
short_description: Create the host directories of projects
description:
  - Creates missing directories of projects, with their parents.
  - Copies the sample project of the profile into a directory that it creates, and into an empty one of a project with
    C(sample=true). Any other directory is never touched.
options:
  projects:
    description: The declared projects; their C(id), C(path), C(profile) and C(sample) are used.
    type: list
    elements: dict
    required: true
  samples:
    description: The directory of the sample projects, with one folder for each profile.
    type: path
    required: true
  uid:
    description: The owner of what is created.
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
  description: The directories that were created, or in check mode would be.
  type: list
  elements: str
  returned: always
filled:
  description: The ids of the projects that received a sample, or in check mode would.
  type: list
  elements: str
  returned: always
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.codebuddy_arguments import argument_spec
from ansible.module_utils.codebuddy_directories import Owner, Setup, apply, plan


def explain(project: dict[str, Any], owner: Owner, error: OSError) -> str:
    """Return the sentence about a directory that cannot be set up."""
    sentence = f"Host {project['id']}: {project['path']} cannot be set up: {error.strerror}"
    if error.filename and str(error.filename) != project["path"]:
        sentence += f": {error.filename}"
    if isinstance(error, PermissionError):
        return f"{sentence}. Deploy as a user that may write there and may give files to uid {owner.uid}."
    return f"{sentence}."


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(DOCUMENTATION), supports_check_mode=True)
    owner = Owner(module.params["uid"], module.params["gid"])
    setups: dict[str, Setup] = {}
    for project in module.params["projects"]:
        try:
            sample = Path(module.params["samples"], project.get("profile") or "-")
            setup = plan(Path(project["path"]), sample, project.get("sample"))
            if setup and not module.check_mode:
                apply(setup, owner)
        except OSError as error:
            module.fail_json(msg=explain(project, owner, error))
        setups[project["id"]] = setup
    # In check mode, two projects may report the same missing parent.
    lines = dict.fromkeys(line for setup in setups.values() for line in setup.lines())
    module.exit_json(
        changed=any(setups.values()),
        created=list(dict.fromkeys(str(path) for setup in setups.values() for path in setup.missing)),
        filled=[project for project, setup in setups.items() if setup.sample],
        diff={"before": "", "after": "".join(f"{line}\n" for line in lines)},
    )


if __name__ == "__main__":
    main()
