#!/usr/bin/python
"""Ansible module: checks whether an engine answers, and starts an installed one."""

from __future__ import annotations

DOCUMENTATION = r"""
module: codebuddy_engine
short_description: Check for an engine that answers, or start one
description:
  - Asks the engine at an address for its version.
  - If it does not answer, waits for it, or starts it as a plain process and waits, depending on the state.
  - In check mode, reports whether it would have to be started.
options:
  docker_host:
    description: The engine's address.
    type: str
    required: true
  state:
    description:
      - C(probed) asks once and reports the answer.
      - C(answering) waits until the engine answers.
      - C(started) first starts the installed engine as a plain process, unless it answers or runs already.
    type: str
    choices: [probed, answering, started]
    default: probed
  log_file:
    description: The output of an engine that is started as a plain process is appended to this file.
    type: path
    default: /var/log/dockerd.log
  timeout:
    description: Seconds to wait for an answer.
    type: int
    default: 60
author:
  - CodeBuddy
"""

RETURN = r"""
answers:
  description: Whether the engine answers.
  type: bool
  returned: always
version:
  description: The version of the engine.
  type: str
  returned: when it answers
installable:
  description: Whether an engine at that address could be installed or started here.
  type: bool
  returned: always
installed:
  description: Whether the engine's program is on this machine.
  type: bool
  returned: always
"""

import shutil
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.codebuddy_arguments import argument_spec
from ansible.module_utils.codebuddy_engine.daemon import SYSTEM_PATH, StartError, start

try:
    from ansible.module_utils.codebuddy_engine.client import Answer, ask, find_other, is_local_default, is_supported
except ImportError as error:
    LIBRARY_MISSING: ImportError | None = error
else:
    LIBRARY_MISSING = None


def unusable_reason(answer: Answer) -> str | None:
    """Return a sentence if this role cannot provide a usable engine at the address, else None."""
    host = answer.docker_host
    if answer:
        if is_supported(answer.api_version):
            return None
        return f"The engine at {host} is version {answer.version}, which is too old; CodeBuddy needs 20.10 or later."
    if answer.forbidden:
        return (
            f"There is an engine at {host}, but you may not use it; join its group "
            "(`sudo usermod -aG docker $USER`, then log in again) or deploy as root."
        )
    if other := find_other(host):
        return (
            f"No engine answers at {host}, but one does at {other.docker_host}; "
            f"to use that one, set DOCKER_HOST={other.docker_host}."
        )
    if not is_local_default(host):
        return f"No engine answers at {host}; start it, or set DOCKER_HOST to the address of one that runs."
    return None


def report(answer: Answer) -> dict[str, Any]:
    """Return the result of the module."""
    return {
        "answers": bool(answer),
        "version": answer.version,
        "installable": is_local_default(answer.docker_host),
        "installed": shutil.which("dockerd", path=SYSTEM_PATH) is not None,
    }


def difference(host: str) -> dict[str, dict[str, str]]:
    """Return, for check mode, the diff of installing and starting an engine."""
    installed = "an engine is installed\n"
    before = installed if shutil.which("dockerd", path=SYSTEM_PATH) else ""
    return {"diff": {"before": before, "after": f"{installed}an engine answers at {host}\n"}}


def bring_up(module: AnsibleModule, host: str) -> Answer:
    """Wait for the engine, after starting it if asked to. If it does not answer, the module fails."""
    timeout, log_file = module.params["timeout"], module.params["log_file"]
    program = shutil.which("dockerd", path=SYSTEM_PATH)
    if module.params["state"] == "started":
        if program is None:
            module.fail_json(msg="There is no dockerd on this machine; install an engine, then run this again.")
        try:
            start(program, log_file, lambda: bool(ask(host)), timeout)
        except StartError as error:
            module.fail_json(msg=f"The engine could not be started: {error}")
        except OSError as error:
            module.fail_json(msg=f"The engine could not be started: {error.strerror}: {error.filename}.")
    deadline = time.monotonic() + timeout
    while not (answer := ask(host)) and not answer.forbidden and time.monotonic() < deadline:
        time.sleep(0.2)
    if not answer and not answer.forbidden:
        module.fail_json(msg=f"The engine at {host} does not answer after {timeout} s; its log says why.")
    return answer


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(DOCUMENTATION), supports_check_mode=True)
    if LIBRARY_MISSING is not None:
        module.fail_json(msg=missing_required_lib("docker"), exception=str(LIBRARY_MISSING))
    host, state = module.params["docker_host"], module.params["state"]
    answer = ask(host)
    changed = False
    if not answer and state != "probed":
        if module.check_mode:
            module.exit_json(changed=True, **report(answer), **difference(host))
        answer = bring_up(module, host)
        changed = state == "started"
    if sentence := unusable_reason(answer):
        module.fail_json(msg=sentence)
    module.exit_json(changed=changed, **report(answer))


if __name__ == "__main__":
    main()
