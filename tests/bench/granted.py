"""The token that the load has: a team's endpoint asks for one."""

import time
from pathlib import Path

from proxy.core.access.grants import digest_of_token
from proxy.store.token_file import Token, edit_tokens, new_secret


def write_token(path: Path) -> str:
    """Write a token file with one token that may read everything, and return the token."""
    secret = new_secret()
    grant = Token(
        name="bench",
        sha256=digest_of_token(secret),
        projects=None,
        admin=False,
        created_at_s=int(time.time()),
        expires_at_s=None,
    )
    edit_tokens(path, lambda _: [grant], create=True)
    return secret
