#!/usr/bin/python
"""Ansible module: tokens that are signed with the fleet's key."""

from __future__ import annotations

DOCUMENTATION = r"""
module: codebuddy_token
short_description: Sign tokens for the clients and spokes of a fleet
description:
  - Signs any number of tokens in one call. A token in a file is kept while it is signed with the right key, has the
    requested claims, and a third of its lifetime is left.
  - A token without a file is always signed anew and returned; set C(no_log) on the task then.
options:
  private_key:
    description: The file of the signing key, as C(codebuddy_keypair) creates it.
    type: path
    required: true
  issuer:
    description: The issuer, C(codebuddy:<fleet>).
    type: str
    required: true
  audience:
    description: The endpoint that accepts the tokens.
    type: str
    choices: [codebuddy:client, codebuddy:link]
    required: true
  scopes:
    description: The operations that the tokens allow.
    type: list
    elements: str
    default: [read, write, run]
  tools:
    description: The tools that their holders are offered, all that they may call or the few that reach all others.
    type: str
    choices: [all, lean]
    default: all
  ttl:
    description: The lifetime of the tokens, a number and C(s), C(m), C(h), C(d) or C(w).
    type: str
    default: 30d
  owner:
    description: The owner of the files and their directories, which is the user that reads them.
    type: str
  group:
    description: Their group.
    type: str
  mode:
    description: The mode of the files.
    type: str
    default: "0400"
  up_command:
    description: The command that creates the signing key, for the error if there is none.
    type: str
    default: make up
  tokens:
    description: The tokens.
    type: list
    elements: dict
    required: true
    suboptions:
      dest:
        description: The token's file. Its directory contains nothing else, because directories are mounted.
        type: path
      subject:
        description: The subject; for a link, the project's id.
        type: str
        required: true
      projects:
        description: The ids of the projects that it covers; C(*) means all.
        type: list
        elements: str
        required: true
author: CodeBuddy
"""

EXAMPLES = r"""
- name: Issue the link token of a spoke
  codebuddy_token:
    private_key: ~/.local/state/codebuddy/keys/signing.key
    issuer: codebuddy:codebuddy
    audience: codebuddy:link
    ttl: 365d
    tokens:
      - dest: ~/.local/state/codebuddy/tokens/project-a/token
        subject: project-a
        projects: [project-a]
"""

RETURN = r"""
tokens:
  description: >-
    For each requested token, in the same order, its C(subject), C(dest), C(renewed) and the C(reason); the C(token)
    itself if it has no file.
  returned: always
  type: list
  elements: dict
"""

import time
import uuid
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.codebuddy_arguments import argument_spec
from ansible.module_utils.codebuddy_files import Ownership, ensure_directory, ensure_file, read_if_there
from ansible.module_utils.codebuddy_tokens import (
    TokenError,
    generate_private_key,
    load_private_key,
    reason_to_renew,
    request_from,
    sign,
)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(DOCUMENTATION), supports_check_mode=True)
    try:
        key = _signing_key(module)
        results = [_ensure(module, key, token) for token in module.params["tokens"]]
    except TokenError as error:
        module.fail_json(msg=str(error))
        return
    changed = [result for result in results if result["changed"]]
    # The diff contains no token: the signature is a secret.
    after = "".join(f"{result['dest']}: renewed, {result['reason']}\n" for result in changed)
    module.exit_json(changed=bool(changed), tokens=results, diff={"before": "", "after": after})


def _ensure(module: Any, key: Any, token: dict[str, Any]) -> dict[str, Any]:
    parameters = module.params
    request = request_from({**parameters, **token}, parameters["issuer"])
    now = int(time.time())
    if token["dest"] is None:
        signed = sign(request, key, now, uuid.uuid4().hex)
        return {"subject": request.subject, "dest": None, "changed": False, "renewed": True, "token": signed}

    dest, ownership = Path(token["dest"]), Ownership(parameters["owner"], parameters["group"])
    existing = read_if_there(dest)
    text = None if existing is None else existing.decode("ascii", "replace").strip()
    reason = reason_to_renew(text, request, key.public_key(), now)
    content = existing if reason is None and existing else f"{sign(request, key, now, uuid.uuid4().hex)}\n".encode()
    changed = ensure_directory(module, dest.parent, ownership)
    changed |= ensure_file(module, dest, content, parameters["mode"], ownership)
    outcome = {"subject": request.subject, "dest": str(dest), "changed": changed, "renewed": reason is not None}
    return {**outcome, "reason": reason or "owner or mode differ"} if changed else outcome


def _signing_key(module: Any) -> Any:
    path = Path(module.params["private_key"])
    pem = read_if_there(path)
    if pem is None:
        if not module.check_mode:
            raise TokenError(f"There is no signing key {path}; run `{module.params['up_command']}` first.")
        pem = generate_private_key()  # in place of the one that the run itself would create
    return load_private_key(pem, str(path))


if __name__ == "__main__":
    main()
