"""A round over the system keyspaces of one Cassandra cluster: what they should be like, and who is asked."""

from __future__ import annotations

import msgspec


class Share(msgspec.Struct, frozen=True):
    """What one datacenter, by Cassandra's name, is to have at least. ``nodes``: what it can have, None: unknown."""

    datacenter: str
    replicas: int
    nodes: int | None = None


class Round(msgspec.Struct, frozen=True):
    """A look at all system keyspaces, and the changes that they need, through one datacenter.

    ``marks``: labels of its pods. ``uids``: of the CassandraDatacenters that ``shares`` are for. ``client_secret``: of
    ``managementApiAuth.manual``, "" when nobody asks who calls. ``contexts``: that have to be in sight for a change.
    ``awaited``: a datacenter cannot be used before. ``waiting``: contexts where something else has to wait for that.
    """

    datacenter: str
    context: str
    namespace: str
    marks: tuple[tuple[str, str], ...]
    client_secret: str
    keyspaces: tuple[str, ...]
    shares: tuple[Share, ...]
    uids: frozenset[str]
    contexts: tuple[str, ...]
    awaited: bool
    waiting: tuple[str, ...] = ()
