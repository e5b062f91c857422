#!/usr/bin/python
"""The Ansible module that converges a whole fleet: arguments and documentation; the logic is in module_utils."""

from __future__ import annotations

DOCUMENTATION = r"""
module: codebuddy_fleet
short_description: Plan, read, converge or remove a whole CodeBuddy fleet
description:
  - Computes the plan of the fleet (hub, spokes, networks, volumes, configuration files) from the declaration, compares
    it strictly with what is on the engine, and changes only what differs.
  - Whatever carries the fleet's label and is not declared is removed. Volumes are kept unless O(purge) is set. Project
    directories are never touched.
options:
  state:
    description:
      - V(rendered) computes the plan and needs no engine.
      - V(gathered) reads what is there.
      - V(overridden) makes the engine hold exactly what is declared, and waits until all of it is healthy.
      - V(deleted) removes the fleet's containers and networks.
    type: str
    choices: [rendered, gathered, overridden, deleted]
    default: overridden
  docker_host:
    description: Where the engine listens; the environment variable E(DOCKER_HOST) counts when it is not given.
    type: str
    default: unix:///var/run/docker.sock
  fleet:
    description: What belongs to the fleet as a whole.
    type: dict
    required: true
    suboptions:
      name:
        description: Begins the name of everything that is created, and is its label.
        type: str
        default: codebuddy
      state_dir:
        description: The directory on the host for keys, tokens, configuration and generations.
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
        description: A private IPv4 network; each project and the hub get a /29 of it.
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
        description: The image of the proxies; required when a project has an egress.
        type: str
      hub:
        description: The hub's image (required to converge) and limits.
        type: dict
        default: {}
        suboptions:
          image:
            description: The reference of its image.
            type: str
          memory:
            description: Limit of memory and swap together, such as V(512m).
            type: str
          cpus:
            description: Limit of CPUs.
            type: float
          pids:
            description: Limit of processes and threads.
            type: int
  projects:
    description: The declared projects, as the filter P(declared_projects#filter) gives them, each with C(image).
    type: list
    elements: dict
    default: []
  health_timeout:
    description: Seconds to wait for all containers to be healthy.
    type: float
    default: 120
  purge:
    description: Remove volumes that are not declared; with O(state=deleted) the state directory too.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Exact; where no engine answers, an empty one is assumed.
  diff_mode:
    support: full
    description: Shows only what differs.
author: CodeBuddy (@codebuddy)
"""

EXAMPLES = r"""
- name: Converge the fleet
  codebuddy_fleet:
    state: overridden
    fleet:
      state_dir: /home/me/.local/state/codebuddy
      hub:
        image: codebuddy/hub:4f1c
    projects:
      - id: project-a
        path: /home/me/my-projects/typescript-app
        profile: typescript
        image: codebuddy/spoke-typescript:90ab
"""

RETURN = r"""
plan:
  description: The plan; for V(rendered) and V(overridden).
  type: dict
  returned: when the state is rendered or overridden
gathered:
  description: What is there, in the schema of the plan, with state and health of each container.
  type: dict
  returned: when the state is gathered
changes:
  description: One line for each thing that was, or would be, done.
  type: list
  elements: str
  returned: when the state is overridden or deleted
summary:
  description: The same in one line, with what was, or would be, kept.
  type: str
  returned: when the state is overridden or deleted
generation:
  description: The number of the newest kept generation.
  type: int
  returned: when the state is overridden
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible.module_utils.codebuddy_fleet.declaration import parse_fleet
from ansible.module_utils.codebuddy_fleet.errors import FleetError
from ansible.module_utils.codebuddy_fleet.ground import look
from ansible.module_utils.codebuddy_fleet.planner import render

ARGUMENTS: dict[str, Any] = {
    "state": {"choices": ["rendered", "gathered", "overridden", "deleted"], "default": "overridden"},
    "docker_host": {"default": "unix:///var/run/docker.sock", "fallback": (env_fallback, ["DOCKER_HOST"])},
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
            "hub": {
                "type": "dict",
                "default": {},
                "options": {
                    "image": {},
                    "memory": {},
                    "cpus": {"type": "float"},
                    "pids": {"type": "int"},
                },
            },
        },
    },
    "projects": {"type": "list", "elements": "dict", "default": []},
    "health_timeout": {"type": "float", "default": 120},
    "purge": {"type": "bool", "default": False},
}


def run(parameters: dict[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Do what the state asks for."""
    host, fleet, projects = parameters["docker_host"], parameters["fleet"], parameters["projects"]
    if parameters["state"] == "rendered":
        return {"changed": False, "plan": _rendered(fleet, projects)}
    # Only now: a plan can be computed where the engine's client library is not installed.
    from ansible.module_utils.codebuddy_fleet import converge  # noqa: PLC0415

    if parameters["state"] == "gathered":
        return dict(converge.gather_fleet(host, fleet))
    purge = parameters["purge"]
    if parameters["state"] == "deleted":
        return dict(converge.delete(host, fleet, projects, purge=purge, check_mode=check_mode))
    timeout = parameters["health_timeout"]
    return dict(converge.override(host, fleet, projects, health_timeout=timeout, purge=purge, check_mode=check_mode))


def _rendered(fleet: dict[str, Any], projects: list[dict[str, Any]]) -> dict[str, Any]:
    declared = parse_fleet(fleet, projects)
    return dict(render(declared, look(declared)).as_dict())


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = run(module.params, check_mode=module.check_mode)
    except FleetError as error:
        module.fail_json(msg=str(error), changed=error.changed)
    except OSError as error:
        module.fail_json(msg=f"{error.filename or 'A file'} cannot be read or changed: {error.strerror or error}.")
    except ModuleNotFoundError as error:
        module.fail_json(
            msg=f"The Python library {error.name} is missing: install it with pip install -r requirements.txt."
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
