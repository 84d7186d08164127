"""Names of objects made from context names, which may be anything: ``arn:aws:eks:…``, ``user@cluster``."""

from __future__ import annotations

import hashlib
import re
from typing import Final

NAME_CAP: Final = 200  # characters; API servers take 253, and suffixes come on top
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


def object_name(context: str) -> str:
    """A valid object name (DNS-1123 subdomain) that still reads like ``context``.

    Valid contexts keep their name; ``_`` becomes ``-``, as in the reference's script, and so does anything else that
    no name may hold. Different contexts may give one name: ``distinct_name`` is for the one that comes second.
    """
    dashed = re.sub(r"[^a-z0-9.-]+", "-", context.lower())
    labels = (label.strip("-") for label in dashed.split("."))
    name = ".".join(label for label in labels if label)[:NAME_CAP].rstrip("-.")
    return name or f"context-{_digest(context)}"


def distinct_name(context: str) -> str:
    """``object_name`` with eight characters of a hash of the whole context name."""
    return f"{object_name(context)}-{_digest(context)}"


def is_object_name(name: str) -> bool:
    """Whether an API server takes ``name`` for an object."""
    return len(name) <= 253 and _SUBDOMAIN.fullmatch(name) is not None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
