"""Everything that can go wrong between the controller and one API server, by cause.

The text of each error is safe for logs, events and status: it holds no response body and no credential.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from controller.kube.transport import Response

MESSAGE_CAP: Final = 1024  # characters of a server's message that are kept


class KubeError(Exception):
    """Base of all errors of this package."""


# ── the server was not reached, or broke off ────────────────────────────────────────────────────────


class TransportError(KubeError):
    """No usable response: the request may or may not have been carried out."""


class NameResolutionFailed(TransportError):
    """The host name has no address, or resolving it took too long."""


class ConnectFailed(TransportError):
    """No TCP connection: refused, no route, or no answer in time."""


class TLSFailed(TransportError):
    """The TLS handshake failed: wrong CA, wrong host name, expired certificate, or not TLS at all."""


class AddressNotAllowed(TransportError):
    """The host resolved to an address that the controller refuses to connect to."""


class DeadlineExceeded(TransportError):
    """The call did not finish within its deadline."""


class ConnectionLost(TransportError):
    """An open connection broke before the response was complete."""


class StreamSilent(TransportError):
    """An open stream sent nothing for its silence deadline."""


class TooLarge(TransportError):
    """A line or a body was longer than its cap."""


class Malformed(TransportError):
    """The response is not what the API promises: no JSON, or JSON of another shape."""


class ClusterUnavailable(KubeError):
    """There is no usable connection to the cluster now; nothing was sent.

    ``context`` names it. ``since``: loop time since which that is so; ``next_retry``: loop time of the next attempt
    to reach it; None where it is not known.
    """

    def __init__(self, context: str, why: str, *, since: float | None = None, next_retry: float | None = None) -> None:
        super().__init__(f"{context or 'control plane'}: {why}")
        self.context = context
        self.since = since
        self.next_retry = next_retry


class WritesForbidden(KubeError):
    """The write gate is closed: this process may not write now. The request was not sent."""


# ── the server answered with an error ───────────────────────────────────────────────────────────────


class ApiError(KubeError):
    """An error status from the server.

    ``status``: HTTP status code. ``reason``: the server's ``Status.reason``, a CamelCase word, "" when there
    was none. ``message``: the server's own sentence, at most 1 KiB, control characters escaped, "" for
    requests that carry Secrets. ``retry_after``: seconds, None when the server named none.
    """

    def __init__(self, status: int, reason: str = "", message: str = "", retry_after: float | None = None) -> None:
        super().__init__(status, reason, message, retry_after)
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after

    def __str__(self) -> str:
        head = f"{self.status} {self.reason}".strip()
        return f"{head}: {self.message}" if self.message else head


class BadRequest(ApiError):
    """400."""


class Unauthorized(ApiError):
    """401: the credentials are missing, wrong or expired."""


class Forbidden(ApiError):
    """403: the credentials are good, the role is not."""


class NotFound(ApiError):
    """404: the object, or its whole kind, does not exist."""


class KindNotFound(NotFound):
    """404 that names no object: the kind is not served, or not yet, or who answered is no API server.

    It says nothing of an object: one that was there may be there again when the kind is.
    """


class NotSupported(ApiError):
    """405, 406 or 415: the server does not know this verb, encoding or patch type here."""


class Conflict(ApiError):
    """409: the resourceVersion or UID does not match, or apply conflicts with another manager."""


class AlreadyExists(ApiError):
    """409 with reason AlreadyExists: create found an object of that name."""


class AdmissionDenied(ApiError):
    """An admission webhook refused the object: its own decision, whatever the status code; no role changes that."""

    def __init__(
        self, status: int, reason: str, message: str, retry_after: float | None = None, *, webhook: str = ""
    ) -> None:
        super().__init__(status, reason, message, retry_after)
        self.webhook = webhook


class Expired(ApiError):
    """410: the resourceVersion or continue token is too old; list again."""


class Invalid(ApiError):
    """422: the server's validation refused the object."""


class TooManyRequests(ApiError):
    """429: slow down; ``retry_after`` says for how long."""


class RateLimited(TooManyRequests):
    """Our own rate for the cluster leaves no room before the call's deadline: nothing was sent."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(429, "RateLimited", "not sent: the cluster's request rate is used up", retry_after)


class ServerError(ApiError):
    """5xx: the server failed; the request may or may not have been carried out."""


class WebhookFailed(ServerError):
    """500 because an admission webhook could not be called: whoever served it is gone, and nothing was written.

    ``webhook``: its name. ``configuration``: kind and name of the object that asks for it, "" while nobody looked it
    up: servers do not say it. The API server itself is well.
    """

    def __init__(
        self, status: int, reason: str, message: str, retry_after: float | None = None, *, webhook: str = ""
    ) -> None:
        super().__init__(status, reason, message, retry_after)
        self.webhook = webhook
        self.configuration = ""


class ResourceVersionTooLarge(ServerError):
    """504 with the cause ResourceVersionTooLarge: the server has not seen that version yet (a lagging replica)."""


_BY_STATUS: Final[dict[int, type[ApiError]]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: NotSupported,
    406: NotSupported,
    409: Conflict,
    410: Expired,
    415: NotSupported,
    422: Invalid,
    429: TooManyRequests,
}


# What every kube-apiserver says of webhooks; the name is that of one webhook in a configuration.
_ADMISSION: Final = re.compile(r'(?P<failed>failed calling|admission) webhook "(?P<name>[^"\s]{1,253})"(?::| denied)')


class _Cause(msgspec.Struct):
    reason: str = ""
    field: str = ""


class _Details(msgspec.Struct):
    name: str = ""
    causes: list[_Cause] = []
    retryAfterSeconds: float = 0


class _Status(msgspec.Struct):
    reason: str = ""
    message: str = ""
    code: int = 0
    details: _Details | None = None


_decode_status = msgspec.json.Decoder(_Status, strict=False).decode


def cause(error: KubeError) -> str:
    """The name of an error as a metric label: ``ConnectionLost`` is ``connection_lost``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(error).__name__).lower()


def clean(text: str, cap: int = MESSAGE_CAP) -> str:
    """``text`` on one line, control characters escaped, cut to ``cap`` characters."""
    if len(text) <= cap and text.isprintable():
        return text
    printable = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[: cap + 1])
    return printable if len(printable) <= cap else printable[: cap - 1] + "…"


def parse_retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header, within [0, 60]; None when absent or not a number (HTTP dates are ignored)."""
    try:
        return min(max(float(value), 0.0), 60.0) if value else None
    except ValueError:
        return None


def from_response(response: Response, *, sensitive: bool = False) -> ApiError:
    """The error that a response with an error status means. ``sensitive``: drop the server's message."""
    return from_status(
        response.body,
        response.status,
        retry_after=parse_retry_after(response.headers.get("retry-after")),
        sensitive=sensitive,
    )


def from_status(
    body: bytes, code: int | None = None, *, retry_after: float | None = None, sensitive: bool = False
) -> ApiError:
    """The error that a ``metav1.Status`` means: a response body, or the object of an ERROR event (``code`` None)."""
    try:
        status = _decode_status(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        status = _Status()
    number = code if code is not None else status.code or 500
    reason = clean(status.reason, 64)
    if number >= 400 and (admission := _ADMISSION.search(status.message[:MESSAGE_CAP])) is not None:
        return _of_admission(admission, number, reason, status.message, sensitive=sensitive)
    message = "" if sensitive else clean(status.message)
    if retry_after is None and status.details and status.details.retryAfterSeconds > 0:
        retry_after = min(status.details.retryAfterSeconds, 60.0)
    kind = _BY_STATUS.get(number, ServerError if number >= 500 else ApiError)
    if number == 409 and reason == "AlreadyExists":
        kind = AlreadyExists
    elif number == 404 and not (reason == "NotFound" and status.details and status.details.name):
        kind = KindNotFound
    elif number == 410 or reason == "Expired":
        kind = Expired
    elif number == 504 and status.details and any(c.reason == "ResourceVersionTooLarge" for c in status.details.causes):
        kind = ResourceVersionTooLarge
    return kind(number, reason, message, retry_after)


def _of_admission(found: re.Match[str], number: int, reason: str, message: str, *, sensitive: bool) -> ApiError:
    webhook = clean(found["name"], 253)
    if found["failed"] == "admission":
        text = f'admission webhook "{webhook}" denied the request' if sensitive else clean(message)
        return AdmissionDenied(number, reason, text, webhook=webhook)
    text = f'failed calling webhook "{webhook}"' if sensitive else clean(message)
    return WebhookFailed(number, reason, text, webhook=webhook)
