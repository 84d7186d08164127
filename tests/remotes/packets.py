"""Packets that vanish before a socket sees them, without a second network namespace (Linux)."""

from __future__ import annotations

import ctypes
import socket
import struct
from typing import Any, Final

_ATTACH: Final = 26  # SO_ATTACH_FILTER and SO_DETACH_FILTER, which the module socket does not name
_DETACH: Final = 27
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AT_LEAST: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RANDOM: Final = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM
_ALL: Final = 0xFFFFFFFF

Instruction = tuple[int, int, int, int]
Options = Any  # a socket, or what a transport shows of one: both have setsockopt


def lose(sock: Options, share: float) -> bool:
    """Lose ``share`` (0 to 1) of the packets that come in from now on; False where the kernel does not let us.

    The kernel drops them before TCP: nothing is acknowledged, and the other side retransmits. On a listening socket
    it is the requests for connections that are lost, and the accepted sockets inherit the loss.
    """
    if share >= 1:
        program: list[Instruction] = [(_RETURN, 0, 0, 0)]
    else:
        bound = int(share * 2**32)
        program = [(_LOAD, 0, 0, _RANDOM), (_AT_LEAST, 0, 1, bound), (_RETURN, 0, 0, _ALL), (_RETURN, 0, 0, 0)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in program))
    try:
        sock.setsockopt(socket.SOL_SOCKET, _ATTACH, struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
    except PermissionError:
        return False
    return True


def keep(sock: Options) -> None:
    """Lose nothing more."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _DETACH, 0)
    except FileNotFoundError:
        return  # it lost nothing


def reset_on_close(sock: Options) -> None:
    """Have the socket end with RST instead of FIN, and throw away what was not sent."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Crowd:
    """Fills the queue of a listening socket, after which requests for connections are not even answered."""

    def __init__(self, listener: socket.socket) -> None:
        self._sockets: list[socket.socket] = []
        listener.listen(0)  # room for one
        for _ in range(4):  # one fills it; a few more, in case somebody's was taken out meanwhile
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
            self._sockets.append(one)

    def leave(self) -> None:
        for one in self._sockets:
            reset_on_close(one)
            one.close()
