"""The part of a callback's URL that nobody can guess: callbacks are not signed, so it is all that vouches for one."""

from __future__ import annotations

import hmac
import secrets
from typing import Final

_BYTES: Final = 16


def callback_secret() -> str:
    """
    Return a new secret for `MerchantURLs.status_update`: 32 random characters, each a digit or one of ``a`` to ``f``.

    Put it into the path or the query, and store it with the order.
    """
    return secrets.token_hex(_BYTES)


def is_callback_secret(given: str | None, secret: str) -> bool:
    """
    Tell whether *given*, which came with a callback, is the order's *secret*, in a time that does not depend on it.

    ``False`` for ``None`` and for text that is no secret at all, an empty *secret* included.
    """
    if given is None or not secret:
        return False
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode("utf-8", "replace"))
