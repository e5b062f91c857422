#!/usr/bin/python
"""Ansible module: the status of a fleet."""

from __future__ import annotations

DOCUMENTATION = r"""
module: codebuddy_status
short_description: Report the status of the hub and the spokes of a fleet
description:
  - Asks the engine for the fleet's containers and the hub for its health, and returns both in one table.
  - Signs a token for itself that is valid for a minute, may only read, and never leaves the module.
options:
  docker_host:
    description: The engine's address.
    type: str
    required: true
  fleet_name:
    description: The name of the fleet.
    type: str
    required: true
  endpoint:
    description: Address and port of the client endpoint.
    type: str
    required: true
  private_key:
    description: The file of the signing key.
    type: path
    required: true
  issuer:
    description: The issuer of the fleet's tokens, C(codebuddy:<fleet>).
    type: str
    required: true
  timeout:
    description: Seconds to wait for the hub's answer.
    type: int
    default: 10
  up_command:
    description: The command that brings the fleet up, for hints.
    type: str
    default: make up
author: CodeBuddy
"""

EXAMPLES = r"""
- name: Ask for the status of the fleet
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
  description: The table, or a sentence if there is nothing to report.
  returned: always
  type: str
"""

import json
import time
import uuid
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.codebuddy_arguments import argument_spec
from ansible.module_utils.codebuddy_engine.client import connect, socket_path
from ansible.module_utils.codebuddy_files import read_if_there
from ansible.module_utils.codebuddy_fleet.stale_mounts import project_mounts, stale_mounts
from ansible.module_utils.codebuddy_fleet.status import rows, table
from ansible.module_utils.codebuddy_tokens import EVERY_PROJECT, TokenError, load_private_key, request_from, sign
from ansible.module_utils.urls import open_url
from docker.errors import DockerException
from requests.exceptions import RequestException


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(DOCUMENTATION), supports_check_mode=True)
    host, fleet, up_command = (module.params[name] for name in ("docker_host", "fleet_name", "up_command"))
    nothing = {"changed": False, "up": False, "ready": False}
    try:
        found, stale = containers(host, fleet)
    except (DockerException, RequestException):
        module.exit_json(text=f"No engine answers at {host}; `{up_command}` starts or installs one.", **nothing)
        return
    if not found:
        module.exit_json(text=f"The fleet {fleet} is not up; bring it up with: {up_command}", **nothing)
        return
    lines = rows(found, *ask_hub(module.params), stale)
    module.exit_json(changed=False, up=True, ready=all(line.ready for line in lines), text=table(lines))


def containers(docker_host: str, fleet: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the engine's description of each container of the fleet, by ``hub``, project id, or `proxy_id`.

    And by project id the path on this host where one of its containers sees another directory.
    """
    with connect(docker_host, timeout=10) as client:
        found = client.containers(all=True, filters={"label": f"codebuddy.fleet={fleet}"})
        mounts = {
            one["Names"][0][1:]: project_mounts({mount["Destination"]: mount["Source"] for mount in one["Mounts"]})
            for one in found
            if one["State"] == "running"
        }
        stale = {} if socket_path(docker_host) is None else stale_mounts(client, mounts)
    descriptions = {one["Names"][0].removeprefix(f"/{fleet}-"): one["Status"] for one in found}
    return descriptions, {
        name.removeprefix(f"{fleet}-") if target == "/workspace" else target.rpartition("/")[2]: source
        for name, paths in stale.items()
        for target, source in mounts[name].items()
        if source in paths
    }


def ask_hub(parameters: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """Return the hub's health document, or None and the reason."""
    url = f"http://{parameters['endpoint']}/health"
    try:
        headers = {"Authorization": f"Bearer {own_token(parameters)}"}
        with open_url(url, headers=headers, timeout=parameters["timeout"], use_proxy=False) as response:
            return json.load(response), ""
    except HTTPError as error:
        # The answer of a fleet that is not ready is 503, with the same document.
        return (json.load(error), "") if error.code == 503 else (None, f"the hub answers {error.code} at {url}")
    except (OSError, TokenError) as error:
        return None, f"the hub does not answer at {url}: {error}"


def own_token(parameters: dict[str, Any]) -> str:
    """Sign a token that may read the health of all projects."""
    path = parameters["private_key"]
    pem = read_if_there(Path(path))
    if pem is None:
        raise TokenError(f"There is no signing key {path}.")
    values = {"audience": "codebuddy:client", "subject": "status", "scopes": ["read"], "ttl": "1m"}
    request = request_from({**values, "projects": [EVERY_PROJECT]}, parameters["issuer"])
    return str(sign(request, load_private_key(pem, path), int(time.time()), uuid.uuid4().hex))


if __name__ == "__main__":
    main()
