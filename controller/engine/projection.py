"""What a cache keeps of objects whose content it must not hold, such as Secrets."""

from __future__ import annotations

from typing import Final

import msgspec

from controller.kube.errors import Malformed
from controller.kube.objects import Object

# kubectl writes the whole object, a Secret's data too, into this annotation.
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


class _Whole(msgspec.Struct):
    metadata: dict[str, msgspec.Raw]
    apiVersion: str = ""
    kind: str = ""


_decode = msgspec.json.Decoder(_Whole).decode
_decode_annotations = msgspec.json.Decoder(dict[str, msgspec.Raw] | None).decode
_encode = msgspec.json.Encoder().encode


def metadata_of(found: Object) -> Object:
    """``found`` with nothing but apiVersion, kind and metadata, the latter without managedFields and the copy
    of the content that kubectl keeps in an annotation. Raises ``Malformed``."""
    try:
        whole = _decode(found.raw)
        whole.metadata.pop("managedFields", None)
        if "annotations" in whole.metadata and LAST_APPLIED.encode() in bytes(whole.metadata["annotations"]):
            annotations = _decode_annotations(whole.metadata["annotations"]) or {}
            annotations.pop(LAST_APPLIED, None)
            whole.metadata["annotations"] = msgspec.Raw(_encode(annotations))
        return Object(found.head, _encode(whole))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Malformed("an object without readable metadata") from None
