#!/usr/bin/python
"""The Ansible module of a whole fleet: arguments and documentation. The logic is in module_utils."""

from __future__ import annotations

DOCUMENTATION = r"""
module: codebuddy_fleet
short_description: Validate, plan, read, converge or remove a whole CodeBuddy fleet
description:
  - Computes the plan of the fleet (hub, spokes, networks, volumes, configuration files) from the declaration, compares
    it strictly with the objects of the engine, and changes only what differs.
  - Objects with the fleet's label that are not declared are removed. Volumes are kept unless O(purge) is set. Project
    directories are never touched.
options:
  state:
    description:
      - V(validated) checks the declaration (ids, profiles, paths, limits, tasks and language servers of all projects,
        and where their directories lie), and fails with all problems at once, one sentence a line. It needs no engine
        and no images.
      - V(rendered) computes the plan and needs no engine.
      - V(gathered) reads what exists.
      - V(overridden) makes the engine hold exactly what is declared, and waits until all of it is healthy.
      - V(deleted) removes the fleet's containers and networks.
    type: str
    choices: [validated, rendered, gathered, overridden, deleted]
    default: overridden
  docker_host:
    description: The engine's address; by default the environment variable E(DOCKER_HOST).
    type: str
    default: unix:///var/run/docker.sock
  fleet:
    description:
      - The settings of the fleet as a whole. Their names, defaults and meanings are those of C(inventory/defaults.yml),
        without the prefix C(codebuddy_) and, for the name, C(codebuddy_fleet_).
      - C(hub) is a dictionary with the hub's C(image), and its limits C(memory), C(cpus), C(pids) and
        C(shm_size).
      - C(proxy_image) is the image of the proxies, required if a project has an egress.
      - C(name) and C(state_dir) are enough to read or remove a fleet.
    type: dict
    required: true
  projects:
    description: The declared projects, as the filter P(declared_projects#filter) returns them, each with C(image).
    type: list
    elements: dict
    default: []
  profiles:
    description: The names of the known profiles; for V(validated).
    type: list
    elements: str
    default: []
  variables:
    description:
      - The names of each host's variables, as the filter P(variable_names#filter) returns them; for V(validated).
      - An unknown name with the prefix of a setting is a problem. Of a name that is nearly a setting, the module warns.
    type: dict
    default: {}
  health_timeout:
    description: Seconds to wait for containers that are not healthy while none of them gets any further.
    type: float
    default: 120
  purge:
    description: Remove volumes that are not declared; with O(state=deleted) the state directory too.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Exact; without an engine that answers, an empty one is assumed.
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
      name: codebuddy
      state_dir: /home/me/.local/state/codebuddy
      uid: 1000
      gid: 1000
      address_pool: 10.213.0.0/16
      port: 3000
      journal_size: 256m
      journal_age: 30d
      run_width: 8
      hub:
        image: codebuddy/hub:4f1c
    projects:
      - id: project-a
        path: /home/me/my-projects/typescript-app
        profile: typescript
        image: codebuddy/spoke-typescript:90ab
"""

RETURN = r"""
problems:
  description: The problems of the declaration, one sentence a line; empty if there are none.
  type: str
  returned: when the state is validated
doubts:
  description: The warnings, so that they can be repeated where they are seen.
  type: list
  elements: str
  returned: when the state is validated, without problems
plan:
  description: The plan.
  type: dict
  returned: when the state is rendered or overridden
gathered:
  description: What exists, in the schema of the plan, with state and health of each container.
  type: dict
  returned: when the state is gathered
changes:
  description: One line for each change that was, or would be, made.
  type: list
  elements: str
  returned: when the state is overridden or deleted
summary:
  description: The same in one line, with what was, or would be, kept.
  type: str
  returned: when the state is overridden or deleted
generation:
  description: The number of the newest generation.
  type: int
  returned: when the state is overridden
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible.module_utils.codebuddy_arguments import argument_spec
from ansible.module_utils.codebuddy_fleet.declaration import FLEET_OPTIONS, parse_fleet, read_fleet
from ansible.module_utils.codebuddy_fleet.errors import FleetError
from ansible.module_utils.codebuddy_fleet.host_facts import read_host_facts
from ansible.module_utils.codebuddy_fleet.planner import render
from ansible.module_utils.codebuddy_fleet.project_paths import mount_warnings
from ansible.module_utils.codebuddy_fleet.repositories import repository_warnings
from ansible.module_utils.codebuddy_fleet.unknown_variables import variable_warnings
from ansible.module_utils.codebuddy_fleet.validation import declaration_problems


def validate(module: AnsibleModule) -> dict[str, Any]:
    """Return the result of the state ``validated``; with problems, the module fails."""
    parameters = module.params
    doubts = variable_warnings(parameters["variables"])
    for doubt in doubts:
        module.warn(doubt)
    inputs = (parameters[name] for name in ("fleet", "projects", "profiles", "variables"))
    if problems := declaration_problems(*inputs):
        # Ansible prints the message of a failure twice and every other value once; and text with line ends as it is.
        sentences = "".join(f"{problem}\n" for problem in problems)
        module.fail_json(msg="The declaration is wrong, and nothing was changed.", problems=sentences)
    declared = read_fleet(parameters["fleet"], parameters["projects"])[0]
    more = repository_warnings(declared) + mount_warnings({project.id: project.path for project in declared.projects})
    for doubt in more:
        module.warn(doubt)
    doubts += more
    return {"changed": False, "problems": "", "doubts": doubts}


def run(parameters: dict[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Return the result of any other state."""
    host, fleet, projects = parameters["docker_host"], parameters["fleet"], parameters["projects"]
    if parameters["state"] == "rendered":
        declared = parse_fleet(fleet, projects)
        return {"changed": False, "plan": render(declared, read_host_facts(declared)).as_dict()}
    # Imported here, because a plan can be computed without the engine's client library.
    from ansible.module_utils.codebuddy_fleet import converge  # noqa: PLC0415

    if parameters["state"] == "gathered":
        return dict(converge.gather_fleet(host, fleet))
    options = {"purge": parameters["purge"], "check_mode": check_mode}
    if parameters["state"] == "deleted":
        return dict(converge.delete(host, fleet, projects, **options))
    return dict(converge.override(host, fleet, projects, health_timeout=parameters["health_timeout"], **options))


def main() -> None:
    """Run the module."""
    arguments = argument_spec(DOCUMENTATION)
    arguments["fleet"]["options"] = FLEET_OPTIONS
    arguments["docker_host"]["fallback"] = (env_fallback, ["DOCKER_HOST"])
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True)
    try:
        validated = module.params["state"] == "validated"
        result = validate(module) if validated else run(module.params, check_mode=module.check_mode)
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
