"""PEM as kubeconfigs carry it: base64 around blocks of base64."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

import msgspec

KEY_LABELS: Final = ("PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY")

_BEGIN: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----")


class Block(msgspec.Struct, frozen=True):
    """One block: its label, and its text with the markers, as it came."""

    label: str
    text: bytes

    def __repr__(self) -> str:
        return f"Block({self.label})"  # never a key

    @property
    def encrypted(self) -> bool:
        return "ENCRYPTED" in self.label or b"Proc-Type:" in self.text or b"DEK-Info:" in self.text


def decode_base64(text: str) -> bytes:
    """Standard base64, white space ignored; raises ``ValueError``."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None


def blocks(material: bytes) -> list[Block]:
    """Every block; text around them is left out. Raises ``ValueError`` when a block is begun and not ended."""
    found = []
    end = 0
    while begin := _BEGIN.search(material, end):
        marker = b"-----END " + begin[1] + b"-----"
        if (at := material.find(marker, begin.end())) < 0:
            raise ValueError("not PEM")
        end = at + len(marker)
        found.append(Block(begin[1].decode("ascii"), material[begin.start() : end]))
    return found
