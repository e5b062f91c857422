#!/usr/bin/python
"""Ansible module: the key pair that signs a fleet's tokens."""

from __future__ import annotations

DOCUMENTATION = r"""
module: codebuddy_keypair
short_description: Create the Ed25519 key pair that signs and checks a fleet's tokens
description:
  - Creates the private key once and never replaces it. The public key is derived from it.
  - Each key has its own directory, so that the public one can be mounted without the private one.
options:
  private_key:
    description: The file of the private key (PEM, PKCS 8), which only the deploying user can read.
    type: path
    required: true
  public_key:
    description: The file of the public key (PEM).
    type: path
    required: true
  owner:
    description: The owner of the public key and its directory, which is the user that the hub runs as.
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
  description: The JWK thumbprint of the public key; omitted in check mode if the pair does not exist yet.
  returned: if there is a key
  type: str
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.codebuddy_arguments import argument_spec
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
    module = AnsibleModule(argument_spec=argument_spec(DOCUMENTATION), supports_check_mode=True)
    private, public = Path(module.params["private_key"]), Path(module.params["public_key"])
    unchanged, hub = Ownership(None, None), Ownership(module.params["owner"], module.params["group"])

    existing = read_if_there(private)
    pem = existing if existing is not None else generate_private_key()
    try:
        verifying = load_private_key(pem, str(private)).public_key()
    except TokenError as error:
        module.fail_json(msg=str(error))
        return
    changed = [
        ensure_directory(module, private.parent, unchanged),
        ensure_file(module, private, pem, "0600", unchanged),
        ensure_directory(module, public.parent, hub),
        ensure_file(module, public, public_pem(verifying), "0444", hub),
    ]
    kept = existing is not None or not module.check_mode
    module.exit_json(changed=any(changed), **({"key_id": key_id(verifying)} if kept else {}))


if __name__ == "__main__":
    main()
