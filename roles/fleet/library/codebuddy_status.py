#!/usr/bin/python
"""Ansible module: how a fleet is."""

from __future__ import annotations

DOCUMENTATION = r"""
module: codebuddy_status
short_description: How the hub and the spokes of a fleet are
description:
  - Asks the engine for the fleet's containers and the hub for its health, and makes one table of both. Changes nothing.
  - Signs a token for itself that is valid for a minute, may only read, and never leaves the module.
options:
  docker_host:
    description: Address of the engine.
    type: str
    required: true
  fleet_name:
    description: Name of the fleet.
    type: str
    required: true
  endpoint:
    description: Address and port of the client endpoint.
    type: str
    required: true
  private_key:
    description: File of the signing key.
    type: path
    required: true
  issuer:
    description: Who issues tokens, C(codebuddy:<fleet>).
    type: str
    required: true
  timeout:
    description: Seconds that the hub may take to answer.
    type: int
    default: 10
  up_command:
    description: The command that brings the fleet up, as the hint names it.
    type: str
    default: make up
author: CodeBuddy
"""

EXAMPLES = r"""
- name: Ask how the fleet is
  codebuddy_status:
    docker_host: unix:///var/run/docker.sock
    fleet_name: codebuddy
    endpoint: 127.0.0.1:3000
    private_key: ~/.local/state/codebuddy/keys/signing.key
    issuer: codebuddy:codebuddy
"""

RETURN = r"""
up:
  description: Whether the fleet has any container.
  returned: always
  type: bool
ready:
  description: Whether the hub answers and every project is ready.
  returned: always
  type: bool
text:
  description: The table, or a sentence when there is nothing to tell of.
  returned: always
  type: str
"""

import json
import time
import uuid
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import docker
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.codebuddy_files import read_if_there
from ansible.module_utils.codebuddy_fleet.status import rows, table
from ansible.module_utils.codebuddy_tokens import EVERY_PROJECT, TokenError, load_private_key, request_from, sign
from ansible.module_utils.urls import open_url
from docker.errors import DockerException
from docker.utils import kwargs_from_env
from requests.exceptions import RequestException


def main() -> None:
    """Run the module."""
    names = ("docker_host", "fleet_name", "endpoint", "issuer")
    spec: dict[str, Any] = {name: {"type": "str", "required": True} for name in names}
    spec |= {"up_command": {"type": "str", "default": "make up"}}
    spec |= {"private_key": {"type": "path", "required": True}, "timeout": {"type": "int", "default": 10}}
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    fleet, up_command = module.params["fleet_name"], module.params["up_command"]
    try:
        found = containers(module.params["docker_host"], fleet)
    except (DockerException, RequestException):
        text = f"No engine answers at {module.params['docker_host']}; `{up_command}` starts or installs one."
        module.exit_json(changed=False, up=False, ready=False, text=text)
        return
    if not found:
        text = f"The fleet {fleet} is not up; bring it up with: {up_command}"
        module.exit_json(changed=False, up=False, ready=False, text=text)
        return
    lines = rows(found, *ask_hub(module.params))
    module.exit_json(changed=False, up=True, ready=all(line.ready for line in lines), text=table(lines))


def containers(docker_host: str, fleet: str) -> dict[str, str]:
    """Give the engine's word for each container of the fleet, by ``hub``, project id, or `proxy_id`."""
    tls = kwargs_from_env().get("tls", False)  # for an engine that is reached over TCP
    client = docker.APIClient(base_url=docker_host, version="auto", timeout=10, tls=tls)
    found = client.containers(all=True, filters={"label": f"codebuddy.fleet={fleet}"})
    return {one["Names"][0].removeprefix(f"/{fleet}-"): one["Status"] for one in found}


def ask_hub(parameters: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """Give the health document, or None and the reason."""
    url = f"http://{parameters['endpoint']}/health"
    try:
        headers = {"Authorization": f"Bearer {own_token(parameters)}"}
        with open_url(url, headers=headers, timeout=parameters["timeout"], use_proxy=False) as response:
            return json.load(response), ""
    except HTTPError as error:
        # A fleet that is not ready answers 503, with the same document.
        return (json.load(error), "") if error.code == 503 else (None, f"the hub answers {error.code} at {url}")
    except (OSError, TokenError) as error:
        return None, f"the hub does not answer at {url}: {error}"


def own_token(parameters: dict[str, Any]) -> str:
    """Sign a token to read the health of all projects with."""
    path = parameters["private_key"]
    pem = read_if_there(Path(path))
    if pem is None:
        raise TokenError(f"There is no signing key {path}.")
    values = {"audience": "codebuddy:client", "subject": "status", "scopes": ["read"], "ttl": "1m"}
    request = request_from({**values, "projects": [EVERY_PROJECT]}, parameters["issuer"])
    return str(sign(request, load_private_key(pem, path), int(time.time()), uuid.uuid4().hex))


if __name__ == "__main__":
    main()
