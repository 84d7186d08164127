"""The one place where exceptions of aiohttp, ssl and sockets become ours; each text names the host and the cause."""

from __future__ import annotations

import os
import ssl

import aiohttp

from controller.kube import errors
from controller.kube.aiohttp_connector import CONNECT_DEADLINE


def translate(error: Exception, host: str) -> Exception:
    """An exception of aiohttp, ssl or the socket as one of ours; anything else is returned as it is.

    What was translated loses the frames that it was raised in. aiohttp keeps exceptions in what raised them, and so
    they would keep themselves and a whole connection until the next search for cycles, which is rare on purpose.
    """
    found = _translate(error, host)
    link: BaseException | None = error
    while found is not error and link is not None and link.__traceback__ is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return found


def _translate(error: Exception, host: str) -> Exception:
    match error:
        case errors.KubeError():
            return error
        case aiohttp.ClientConnectorDNSError():
            return errors.NameResolutionFailed(f"{host}: the name cannot be resolved")
        case aiohttp.ClientConnectorCertificateError():
            return errors.TLSFailed(f"{host}: {_certificate_cause(error.certificate_error)}")
        case aiohttp.ClientSSLError():
            return errors.TLSFailed(f"{host}: TLS handshake failed{_tls_cause(error.os_error)}")
        case aiohttp.ClientOSError() if isinstance(error.__cause__, ssl.SSLError):
            return errors.TLSFailed(f"{host}: TLS failed{_tls_cause(error.__cause__)}")
        case aiohttp.ConnectionTimeoutError():
            return errors.ConnectFailed(f"{host}: no connection within {CONNECT_DEADLINE:g} s")
        case aiohttp.ClientHttpProxyError():
            return errors.ConnectFailed(f"{host}: the proxy refused to connect ({error.status})")
        case aiohttp.ClientProxyConnectionError():
            return errors.ConnectFailed(f"{host}: no connection to the proxy")
        case aiohttp.ClientConnectorError() if error.errno is None:
            return errors.ConnectFailed(f"{host}: the connection was closed during the TLS handshake")
        case aiohttp.ClientConnectorError():
            return errors.ConnectFailed(f"{host}: {os.strerror(error.errno) if error.errno else 'cannot connect'}")
        case aiohttp.ServerTimeoutError():
            return errors.StreamSilent(f"{host}: the stream is silent")
        case aiohttp.ClientPayloadError() | aiohttp.ClientConnectionError():
            return errors.ConnectionLost(f"{host}: the connection broke")
        case aiohttp.ClientResponseError() | aiohttp.InvalidURL():
            return errors.Malformed(f"{host}: the response is not HTTP as an API server speaks it")
        case aiohttp.ClientError() | OSError():
            return errors.ConnectionLost(f"{host}: {type(error).__name__}")
        case RuntimeError() if "closed" in str(error).lower():
            return errors.ConnectionLost(f"{host}: the connection was closed")
        case _:
            return error


def _certificate_cause(error: BaseException) -> str:
    reason = getattr(error, "verify_message", "") or "certificate not accepted"
    return f"certificate verify failed: {errors.clean(str(reason), 200)}"


def _tls_cause(error: BaseException) -> str:
    """OpenSSL's own word for it, such as WRONG_VERSION_NUMBER (no TLS at all) or an alert of the server."""
    reason = getattr(error, "reason", None)
    return f": {errors.clean(str(reason), 200)}" if reason else ""
