#!/usr/bin/python
"""The Ansible module that checks a declaration: arguments and documentation; the logic is in module_utils."""

from __future__ import annotations

DOCUMENTATION = r"""
module: codebuddy_declaration
short_description: Check a CodeBuddy declaration before anything is changed
description:
  - Checks ids, profiles, paths, limits, tasks and language servers of all projects, and where their directories lie,
    and fails with all problems at once, one sentence a line, each with the host and what to do.
  - Changes nothing and needs no engine.
options:
  projects:
    description: The declared projects, as the filter P(declared_projects#filter) gives them.
    type: list
    elements: dict
    required: true
  profiles:
    description: The names of the known profiles.
    type: list
    elements: str
    required: true
  variables:
    description:
      - The names of each host's variables, as the filter P(variable_names#filter) gives them. One that begins like a
        setting and is none is a problem; one that is nearly a setting is warned of.
    type: dict
    default: {}
  fleet:
    description: What belongs to the fleet as a whole, as for M(codebuddy_fleet); images are not looked at.
    type: dict
    required: true
    suboptions:
      name:
        description: The name of the fleet.
        type: str
        default: codebuddy
      state_dir:
        description: The directory on the host for keys and tokens; no project may hold it or lie in it.
        type: path
        required: true
      uid:
        description: The user that the containers run as.
        type: raw
        default: 1000
      gid:
        description: The group that the containers run as.
        type: raw
        default: 1000
      address_pool:
        description: A private IPv4 network that must hold one /29 for each project and one for the hub.
        type: str
        default: 10.213.0.0/16
      port:
        description: Where clients reach the hub, on 127.0.0.1.
        type: raw
        default: 3000
      journal_size:
        description: How large the hub's journal of edits may grow, such as V(256m).
        type: str
        default: 256m
      journal_age:
        description: How long an edit stays in it; a number and V(s), V(m), V(h), V(d) or V(w).
        type: str
        default: 30d
      run_width:
        description: In so many projects at a time what one call asks for is run.
        type: raw
        default: 8
      egress_networks:
        description: Networks that may be reached through an egress although they are not public.
        type: list
        elements: str
        default: []
      proxy_image:
        description: Not looked at here.
        type: str
      hub:
        description: The hub's limits.
        type: dict
        default: {}
attributes:
  check_mode:
    support: full
    description: It changes nothing anyway.
author: CodeBuddy (@codebuddy)
"""

EXAMPLES = r"""
- name: Check the declaration
  codebuddy_declaration:
    projects: "{{ hostvars | declared_projects(groups['spokes']) }}"
    profiles: [python, rust, typescript]
    fleet:
      state_dir: /home/me/.local/state/codebuddy
"""

RETURN = r"""
problems:
  description: The sentences, one a line; empty when all is well.
  type: str
  returned: always
doubts:
  description: What was warned of, for who wants to say it once more where it is seen.
  type: list
  elements: str
  returned: when all is well
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.codebuddy_fleet.settings import setting_doubts
from ansible.module_utils.codebuddy_fleet.validation import declaration_problems

ARGUMENTS: dict[str, Any] = {
    "projects": {"type": "list", "elements": "dict", "required": True},
    "profiles": {"type": "list", "elements": "str", "required": True},
    "variables": {"type": "dict", "default": {}},
    "fleet": {
        "type": "dict",
        "required": True,
        "options": {
            "name": {"default": "codebuddy"},
            "state_dir": {"type": "path", "required": True},
            "uid": {"type": "raw", "default": 1000},
            "gid": {"type": "raw", "default": 1000},
            "address_pool": {"default": "10.213.0.0/16"},
            "port": {"type": "raw", "default": 3000},
            "journal_size": {"default": "256m"},
            "journal_age": {"default": "30d"},
            "run_width": {"type": "raw", "default": 8},
            "egress_networks": {"type": "list", "elements": "str", "default": []},
            "proxy_image": {"type": "str"},
            "hub": {"type": "dict", "default": {}},
        },
    },
}


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    doubts = setting_doubts(module.params["variables"])
    for doubt in doubts:
        module.warn(doubt)
    problems = declaration_problems(**module.params)
    if problems:
        # Ansible prints the message of a failure twice and every other value once; lines that end, as they are.
        sentences = "".join(f"{problem}\n" for problem in problems)
        module.fail_json(msg="The declaration is wrong, and nothing was changed.", problems=sentences)
    module.exit_json(changed=False, problems="", doubts=doubts)


if __name__ == "__main__":
    main()
