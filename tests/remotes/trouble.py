"""What can be wrong with the way to a server."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec


class Mode(StrEnum):
    """What is wrong. Of connections there are those that are open when it begins, and new ones."""

    HEALTHY = "healthy"
    REFUSED = "refused"  # open ones are reset, new ones refused
    RESET = "reset"  # open ones are reset, new ones reset as soon as they are accepted
    BLACK_HOLE = "black hole"  # no packet is answered any more, on open ones and for new ones
    FROZEN = "frozen"  # nothing is read or answered, but the kernel still acknowledges and accepts
    HALF_OPEN = "half open"  # open ones are a black hole, new ones work
    HANDSHAKE_HANG = "handshake hang"  # open ones work, new ones are accepted and get no byte
    TRICKLE = "trickle"  # so many bytes a second in each direction
    IDLE_CUT = "idle cut"  # a connection ends after so many seconds without a byte
    BUFFERING = "buffering"  # what the server says is held until it is enough, or has waited long enough
    LOSS = "loss"  # a share of the packets is lost


class Trouble(msgspec.Struct, frozen=True):
    """A mode with its measure: bytes a second, seconds, bytes, or a share."""

    mode: Mode
    measure: float = 0.0
    wait: float = 0.0  # s, of BUFFERING


HEALTHY: Final = Trouble(Mode.HEALTHY)
