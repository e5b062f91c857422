#!/usr/bin/python
"""Ansible module: builds the images of a fleet, tagged by content; existing ones are left alone."""

from __future__ import annotations

DOCUMENTATION = r"""
module: codebuddy_images
short_description: Build the images of a fleet
description:
  - Computes the hub's image and one image for each distinct declaration of a project, each tagged with the hash of its
    content.
  - Builds those that the engine does not have, in parallel, each after its parent. A failed build stops only the builds
    of its descendants.
options:
  docker_host:
    description: The engine's address.
    type: str
    required: true
  namespace:
    description: The first part of the name of every image.
    type: str
    default: codebuddy
  base:
    description:
      - The base image of all projects that declare none.
      - One of Debian's that cannot be pulled is built from packages.
    type: str
    default: debian:trixie-slim
  hub_source:
    description: The directory of the hub's package, with C(requirements.txt) and C(src).
    type: path
    required: true
  recipes:
    description: The directories of the recipes.
    type: dict
    required: true
    suboptions:
      base: {description: Distribution and CA certificates., type: path, required: true}
      runtime: {description: Python and the libraries of hub and agent., type: path, required: true}
      hub: {description: The hub., type: path, required: true}
      spoke: {description: What every spoke adds to its toolchain., type: path, required: true}
      proxy: {description: The proxy of a project with an egress., type: path, required: true}
      toolchains: {description: One folder for each profile., type: path, required: true}
  projects:
    description: The declared projects; their C(id), C(profile), C(base_image), C(packages) and C(egress) are used.
    type: list
    elements: dict
    default: []
  certificates_dir:
    description: The host's directory of extra CA certificates (C(*.crt)).
    type: path
    default: /usr/local/share/ca-certificates
  parallel:
    description: The number of builds that run at the same time.
    type: int
    default: 4
  pull_timeout:
    description: Seconds without data from the registry after which it counts as unreachable.
    type: int
    default: 15
  build_timeout:
    description: Seconds without output after which a build counts as stuck.
    type: int
    default: 600
author:
  - CodeBuddy
"""

RETURN = r"""
refs:
  description:
    - The references of the hub's image, each project's by id, and the proxies' (none if no project has an egress).
    - They are computed without an engine.
  type: dict
  returned: always
  sample: {hub: "codebuddy/hub:0123456789abcdef", projects: {project-b: "codebuddy/spoke-python:0123456789abcdef"}}
built:
  description: The images that were built, or in check mode would be.
  type: list
  elements: str
  returned: always
bootstrap_needed:
  description: The base image must be built from packages, and the program for that is not installed.
  type: bool
  returned: always
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.codebuddy_arguments import argument_spec
from ansible.module_utils.codebuddy_images.images import (
    DeclarationError,
    FleetImages,
    Project,
    plan_images,
    to_build,
)
from ansible.module_utils.codebuddy_images.schedule import build_all
from ansible.module_utils.codebuddy_images.sources import Sources, read_recipes

try:
    from ansible.module_utils.codebuddy_images.engine import Builder
    from docker.errors import DockerException
    from requests.exceptions import RequestException
except ImportError as error:
    LIBRARY_MISSING: ImportError | None = error
else:
    LIBRARY_MISSING = None


def plan(module: AnsibleModule) -> FleetImages:
    """Compute the fleet's images from the module's parameters; with wrong ones, the module fails."""
    params = module.params
    projects = [
        Project(
            one["id"],
            one.get("profile"),
            one.get("base_image") or None,
            one.get("packages") or (),
            one.get("egress", "none") != "none",
        )
        for one in params["projects"]
    ]
    sources = Sources(
        **{name: Path(directory) for name, directory in params["recipes"].items()},
        hub_source=Path(params["hub_source"]),
        certificates=Path(params["certificates_dir"]),
    )
    try:
        return plan_images(params["namespace"], params["base"], read_recipes(sources), projects)
    except OSError as error:
        module.fail_json(msg=f"The recipes of the images cannot be read: {error.strerror}: {error.filename}.")
    except DeclarationError as error:
        module.fail_json(msg=str(error))
    raise AssertionError  # fail_json does not return


def present_images(module: AnsibleModule, builder: Builder) -> set[str]:
    """Return the references that the engine has. In check mode, an engine that does not answer has none."""
    try:
        present: set[str] = builder.present()
    except (DockerException, RequestException) as error:
        if module.check_mode:
            return set()
        module.fail_json(msg=f"The engine at {module.params['docker_host']} does not answer: {error}")
        raise
    return present


def listing(references: set[str]) -> str:
    """Return references as the lines of a diff."""
    return "".join(f"{reference}\n" for reference in sorted(references))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(DOCUMENTATION), supports_check_mode=True)
    if LIBRARY_MISSING is not None:
        module.fail_json(msg=missing_required_lib("docker"), exception=str(LIBRARY_MISSING))
    params = module.params
    images = plan(module)
    builder = Builder(params["docker_host"], params["namespace"], params["pull_timeout"], params["build_timeout"])
    wanted = images.wanted
    present = present_images(module, builder)
    missing = to_build(wanted.values(), present)
    result: dict[str, Any] = {
        "refs": {
            "hub": images.hub.reference,
            "proxy": None if images.proxy is None else images.proxy.reference,
            "projects": {project: image.reference for project, image in images.projects.items()},
        },
        "changed": bool(missing),
        "built": [image.reference for image in missing],
        "bootstrap_needed": False,
        "diff": {"before": listing(set(wanted) & present), "after": listing(set(wanted))},
    }
    if missing and not module.check_mode:
        outcome = build_all(missing, builder.build, params["parallel"])
        result.update(built=outcome.built, changed=bool(outcome.built), bootstrap_needed=builder.bootstrap_missing)
        if outcome.failures and not builder.bootstrap_missing:
            sentences = [f"For {', '.join(images.users(one))}: {why}" for one, why in outcome.failures.items()]
            module.fail_json(msg="\n".join(sentences), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
