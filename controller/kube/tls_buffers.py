"""Small buffers for many idle TLS connections.

asyncio gives each of them 256 KiB to read into, for as long as it is open: 1.5 MiB for a cluster with five watches, on
which next to nothing arrives. There is no public way to have less, so this module, and no other, reaches into
``asyncio.sslproto``; where what it reaches for is gone, connections work as before and take more memory.
"""

from __future__ import annotations

import asyncio
from asyncio import sslproto
from typing import Any, Final
from weakref import WeakKeyDictionary

RECORD: Final = 2**14  # bytes; the most that a TLS record holds, and so what one read of decrypted data gives
SHARED: Final = 2**17  # bytes; with less, a burst of events costs more CPU for the same: 15 % with half of it

_PRIVATE: Final = ("_ssl_buffer", "_ssl_buffer_view")
_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, bytearray] = WeakKeyDictionary()


def shrink() -> None:
    """From now on connections of this process begin with room for one record: enough for handshakes. Once, at start."""
    sslproto.SSLProtocol.max_size = RECORD


def share(transport: asyncio.BaseTransport) -> None:
    """Have an established TLS connection read into the one buffer that all such connections of its loop share.

    The loop fills the buffer and hands it to OpenSSL, which copies it, without running anything in between: nothing is
    ever left in it. So one that is large enough for bursts serves all.
    """
    protocol: Any = getattr(transport, "_ssl_protocol", None)
    if not all(hasattr(protocol, name) for name in _PRIVATE):
        return
    loop = asyncio.get_running_loop()
    buffer = _shared.get(loop)
    if buffer is None:
        buffer = _shared[loop] = bytearray(SHARED)
    protocol._ssl_buffer = buffer
    protocol._ssl_buffer_view = memoryview(buffer)
