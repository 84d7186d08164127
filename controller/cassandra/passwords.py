"""The seam through which passwords come: the system's own randomness in production."""

from __future__ import annotations

import secrets
import string
from typing import Final

LENGTH: Final = 20  # characters
ALPHABET: Final = "-" + string.digits + string.ascii_uppercase + string.ascii_lowercase


def system_password() -> str:
    """A password of 20 characters (about 120 bits) from the system's source of randomness."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
