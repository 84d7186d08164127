"""When the credentials of a ClientConfig end, and when that has to be said."""

from __future__ import annotations

from typing import Final

from controller.fleet.member import Member
from controller.kube import validity
from controller.kube.validity import Validity

DAY: Final = 86_400.0  # s
AHEAD: Final = 0.2  # of their lifetime: when so much is left of credentials, people are warned
CERTIFICATE_AHEAD: Final = (DAY, 30 * DAY)  # s; a certificate is made by people, so at least a day, at most a month


def of_member(member: Member | None) -> Validity | None:
    """When the credentials in use end; None when they do not, or when there are none."""
    if member is None or member.connection is None or (access := member.connection.access) is None:
        return None
    return validity.of_access(access)


def warn_at(ends: Validity) -> float:
    """From when on people are warned of the end, in Unix seconds."""
    lifetime = ends.ends - ends.begins if ends.begins is not None else 5 * DAY
    ahead = AHEAD * lifetime
    if not ends.token:
        ahead = min(max(ahead, CERTIFICATE_AHEAD[0]), CERTIFICATE_AHEAD[1])
    return ends.ends - ahead
