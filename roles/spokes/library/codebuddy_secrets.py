#!/usr/bin/python
"""Ansible module: copies of the projects' secrets, which their spokes mount."""

from __future__ import annotations

DOCUMENTATION = r"""
module: codebuddy_secrets
short_description: Keep copies of the files that projects declare as their secrets
description:
  - Copies each file atomically into a directory of its project, where only the spoke's user can read it.
  - Removes copies that are no longer declared. Their directories stay, because running spokes may mount them.
  - Reports names only, never the content of a file.
options:
  directory:
    description: The directory that contains a directory for each project.
    type: path
    required: true
  owner:
    description: The owner of the copies and their directories, which is the user that the spokes run as.
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
    description: Names what is added, changed and removed.
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
secrets:
  description: >-
    Each secret that was changed, or in check mode would be: its C(project), its C(name) (empty for the directory) and
    the kind of C(change).
  returned: always
  type: list
  elements: dict
summary:
  description: The same in one line; empty without a change.
  returned: always
  type: str
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.codebuddy_arguments import argument_spec
from ansible.module_utils.codebuddy_files import Ownership, ensure_directory, ensure_file, read_if_there, read_secret

Contents = dict[str, dict[str, bytes]]
"""The content of the secrets by project, then by name."""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(DOCUMENTATION), supports_check_mode=True)
    directory = Path(module.params["directory"])
    try:
        # All are read before any is written: if one cannot be read, nothing changes.
        contents = _read(module.params["projects"])
        changes = [*_remove(module, directory, contents), *_write(module, directory, contents)]
    except ValueError as error:
        module.fail_json(msg=str(error))
        return
    except OSError as error:
        remedy = "deploy as a user that may write there, or remove what is in the way"
        module.fail_json(msg=f"{error.filename or directory} cannot be changed ({error.strerror}): {remedy}.")
        return
    lines = [f"{directory}/{change['project']}/{change['name']}: {change['change']}\n" for change in changes]
    module.exit_json(
        changed=bool(changes), secrets=changes, summary=_summary(changes), diff={"before": "", "after": "".join(lines)}
    )


def _summary(changes: list[dict[str, str]]) -> str:
    texts = [f"{change['project']}/{change['name']} {change['change']}" for change in changes]
    return f"Secrets: {', '.join(texts)}." if texts else ""


def _read(projects: list[dict[str, Any]]) -> Contents:
    contents: Contents = {project["id"]: {} for project in projects}
    for project in projects:
        for name, path in project["secrets"].items():
            try:
                contents[project["id"]][name] = read_secret(Path(path))
            except ValueError as error:
                raise ValueError(f"host {project['id']}: the secret {name}, {path}, {error}.") from error
    return contents


def _remove(module: Any, directory: Path, declared: Contents) -> Iterator[dict[str, str]]:
    """Remove everything that is not declared, also temporary files of a killed run, and everything but regular files.

    The directories stay, because a spoke that mounts one could not be restarted without it.
    """
    for kept in sorted(directory.iterdir()) if directory.is_dir() else ():
        if kept.is_symlink():  # its target does not belong to the fleet
            raise NotADirectoryError(20, "It is a link", str(kept))
        names = declared.get(kept.name, {})
        for entry in sorted(os.scandir(kept), key=lambda entry: entry.name):
            if entry.name in names and entry.is_file(follow_symlinks=False):
                continue
            if not module.check_mode:
                (shutil.rmtree if entry.is_dir(follow_symlinks=False) else os.unlink)(entry.path)
            yield {"project": kept.name, "name": entry.name, "change": "removed"}


def _write(module: Any, directory: Path, contents: Contents) -> Iterator[dict[str, str]]:
    ownership = Ownership(module.params["owner"], module.params["group"])
    for project, files in contents.items():
        existed = (directory / project).is_dir()
        if ensure_directory(module, directory / project, ownership, "0700") and existed:
            yield {"project": project, "name": "", "change": "owner or mode changed"}
        for name, content in files.items():
            path = directory / project / name
            before = read_if_there(path)
            if ensure_file(module, path, content, "0400", ownership):
                change = "added" if before is None else "changed" if before != content else "owner or mode changed"
                yield {"project": project, "name": name, "change": change}


if __name__ == "__main__":
    main()
