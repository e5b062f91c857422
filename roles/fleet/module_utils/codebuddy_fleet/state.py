"""Where things lie below the state directory. ``wiring.yml`` tells it the roles that fill these places."""

from __future__ import annotations

__all__ = ["CONFIG", "HUB_KEYS", "JOURNAL", "PUBLIC_KEY", "SECRETS", "TOKENS"]

CONFIG = "config"  # in it a directory for each container, which it has as /etc/codebuddy
HUB_KEYS = "hub/keys"  # the hub mounts it: what it needs to check tokens, and nothing to sign any
PUBLIC_KEY = f"{HUB_KEYS}/signing.pub"
JOURNAL = "hub/journal"  # the hub keeps there what it needs to undo edits
TOKENS = "tokens"  # in it a directory for each project, with the token of its spoke
SECRETS = "secrets"  # in it a directory for each project that declares some
