#!/usr/bin/python
"""Ansible module: the fleet's signing key pair."""

from __future__ import annotations

DOCUMENTATION = r"""
module: codebuddy_keypair
short_description: The Ed25519 key pair that signs and checks a fleet's tokens
description:
  - Makes the private key once and never replaces it; derives the public key from it.
  - The two lie in directories of their own, so that the public one can be mounted without the private one.
options:
  private_key:
    description: File of the private key (PEM, PKCS 8); only the deploying user can read it.
    type: path
    required: true
  public_key:
    description: File of the public key (PEM).
    type: path
    required: true
  owner:
    description: Who owns the public key and its directory; the user that the hub runs as.
    type: str
  group:
    description: Their group.
    type: str
author: CodeBuddy
"""

EXAMPLES = r"""
- name: Create the signing key pair
  codebuddy_keypair:
    private_key: ~/.local/state/codebuddy/keys/signing.key
    public_key: ~/.local/state/codebuddy/hub/keys/signing.pub
"""

RETURN = r"""
key_id:
  description: JWK thumbprint of the public key; not given in check mode when the pair is still to be made.
  returned: when there is a key
  type: str
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.codebuddy_files import Ownership, ensure_directory, ensure_file, read_if_there
from ansible.module_utils.codebuddy_tokens import (
    TokenError,
    generate_private_key,
    key_id,
    load_private_key,
    public_pem,
)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "private_key": {"type": "path", "required": True},
            "public_key": {"type": "path", "required": True},
            "owner": {"type": "str"},
            "group": {"type": "str"},
        },
        supports_check_mode=True,
    )
    private, public = Path(module.params["private_key"]), Path(module.params["public_key"])
    nobody, reader = Ownership(None, None), Ownership(module.params["owner"], module.params["group"])

    existing = read_if_there(private)
    pem = existing if existing is not None else generate_private_key()
    try:
        verifying = load_private_key(pem, str(private)).public_key()
    except TokenError as error:
        module.fail_json(msg=str(error))
        return
    changed = [
        ensure_directory(module, private.parent, nobody),
        ensure_file(module, private, pem, "0600", nobody),
        ensure_directory(module, public.parent, reader),
        ensure_file(module, public, public_pem(verifying), "0444", reader),
    ]
    kept = existing is not None or not module.check_mode
    module.exit_json(changed=any(changed), **({"key_id": key_id(verifying)} if kept else {}))


if __name__ == "__main__":
    main()
