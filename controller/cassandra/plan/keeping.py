"""Whether a live object is as it is wanted, and what makes it so."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from controller.cassandra import labels
from controller.cassandra.compare import diff_fields
from controller.cassandra.memo import Memo
from controller.fleet.actions import Action, Apply, Create
from controller.kube.objects import Object
from controller.kube.resources import Resource

# One K8ssandraCluster is planned in every context of its, and nearly always nothing has changed for most of it.
# Live objects are known by their bytes, wanted ones by their stamp.
_DECODED: Final = Memo[bytes, dict[str, Any]](256)
_COMPARED: Final = Memo[tuple[str, bytes], list[str]](4096)


def keep(resource: Resource, wanted: dict[str, Any], live: Iterable[Object]) -> list[Action]:
    """What makes an object of ours be as wanted: nothing, when it is. ``live``: where it is looked for, by name."""
    metadata = wanted["metadata"]
    found = next((obj for obj in live if obj.head.name == metadata["name"]), None)
    if found is None:
        return [Create(resource, wanted)]
    wanted_stamp = metadata["annotations"][labels.RESOURCE_HASH]

    def compare() -> list[str]:
        actual = whole(found)
        stamp = (actual["metadata"].get("annotations") or {}).get(labels.RESOURCE_HASH)
        return diff_fields(wanted, actual) if stamp == wanted_stamp else [labels.RESOURCE_HASH]

    return [Apply(resource, wanted, found)] if compared(wanted_stamp, found, compare) else []


def compared(stamp: str, live: Object, compare: Callable[[], list[str]]) -> list[str]:
    """The fields that differ between what has this stamp and ``live``, as ``compare`` finds them once."""
    return _COMPARED.get((stamp, live.raw), compare)


def whole(live: Object) -> dict[str, Any]:
    """A live object decoded; not to be changed."""
    return _DECODED.get(live.raw, lambda: live.decode(dict))
