"""When credentials end: the ``exp`` of a token, the ``notAfter`` of a client certificate; read, never trusted."""

from __future__ import annotations

import base64
import binascii
import calendar
import ssl
from datetime import UTC, datetime
from typing import Final

import msgspec

from controller.kube import pem
from controller.kube.access import Access

_LAST: Final = 253402300799.0  # s; the end of the year 9999, beyond which no timestamp can be written
_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18


class Validity(msgspec.Struct, frozen=True):
    """``begins`` (None when not said) and ``ends`` in Unix seconds; ``token``: of a token, else of a certificate."""

    ends: float
    begins: float | None = None
    token: bool = False

    @property
    def moment(self) -> datetime:
        """The end, aware, in UTC."""
        return datetime.fromtimestamp(self.ends, UTC)


class Claims(msgspec.Struct, frozen=True):
    """What a JSON Web Token says of itself. Nobody has verified its signature: good for a hint, for nothing else."""

    exp: int | float | None = None
    iat: int | float | None = None
    sub: str = ""


def of_access(access: Access) -> Validity | None:
    """When the credentials of ``access`` end; None when they do not, or when that cannot be read."""
    return of_token(access.token) if access.token else of_certificate(access.client_certificate)


def of_token(token: str) -> Validity | None:
    """When a token ends; None for one that does not, and for one that is no JSON Web Token."""
    found = claims(token)
    if found is None or found.exp is None or not 0 < found.exp <= _LAST:
        return None
    begins = float(found.iat) if found.iat is not None and 0 < found.iat < found.exp else None
    return Validity(float(found.exp), begins, token=True)


def claims(token: str) -> Claims | None:
    """The claims of a JSON Web Token; None when it is none."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        payload = base64.b64decode(parts[1] + "=" * (-len(parts[1]) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(payload, type=Claims)
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError):
        return None


def of_certificate(material: bytes) -> Validity | None:
    """When the first of some PEM certificates, the client's own, ends; None when that cannot be read."""
    try:
        own = next(block for block in pem.blocks(material) if block.label == "CERTIFICATE")
        der = ssl.PEM_cert_to_DER_cert(own.text.decode("ascii"))
        certificate = _DER(_DER(der).take(_SEQUENCE))
        body = _DER(certificate.take(_SEQUENCE))
        if body.tag == _VERSION:
            body.skip()
        for _ in range(3):  # serial number, algorithm, issuer
            body.skip()
        validity = _DER(body.take(_SEQUENCE))
        begins, ends = validity.time(), validity.time()
    except (StopIteration, ValueError, IndexError):
        return None
    return Validity(ends, begins) if 0 < ends <= _LAST else None


class _DER:
    """Elements of one DER value, one after the other; raises ``ValueError`` or ``IndexError`` at the first odd one."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    @property
    def tag(self) -> int:
        return self._content[self._at]

    def take(self, *tags: int) -> bytes:
        """The content of the next element, which has one of ``tags``."""
        if self.tag not in tags:
            raise ValueError("another element was expected")
        return self._next()

    def skip(self) -> None:
        self._next()

    def time(self) -> float:
        """The next element as a time, in Unix seconds; RFC 5280 allows whole seconds in UTC only."""
        form = "%y%m%d%H%M%SZ" if self.tag == _UTC_TIME else "%Y%m%d%H%M%SZ"
        text = self.take(_UTC_TIME, _GENERALIZED_TIME).decode("ascii")
        moment = datetime.strptime(text, form)
        if form.startswith("%y") and moment.year >= 2050:
            moment = moment.replace(year=moment.year - 100)
        return float(calendar.timegm(moment.timetuple()))

    def _next(self) -> bytes:
        length = self._content[self._at + 1]
        start = self._at + 2
        if length & 0x80:
            size = length & 0x7F
            if not 0 < size <= 4:
                raise ValueError("a length that nothing here has")
            length = int.from_bytes(self._content[start : start + size], "big")
            start += size
        if start + length > len(self._content):
            raise ValueError("longer than what it is part of")
        self._at = start + length
        return self._content[start : self._at]
