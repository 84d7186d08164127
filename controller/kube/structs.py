"""Building blocks for typed API objects: metadata, conditions, references, and what a schema says beyond types."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta


def schema(*, required: bool = False, merge_by: str = "", plain_bool: bool = False, **keywords: Any) -> Meta:
    """What a field's OpenAPI schema says beyond its type, without making the decoder enforce it.

    A server enforces the schema; an object that went past it (an older CRD) must still decode, so that a
    condition can name the field. ``keywords`` go into the schema as they are (``pattern``, ``enum``,
    ``minimum``, ``default``, …). ``required``: the field is in ``required``. ``merge_by``: two lists of this
    field are merged element by element, by this key. ``plain_bool``: a false cannot override a true.
    """
    extra: dict[str, Any] = {"required": required, "merge_by": merge_by, "plain_bool": plain_bool}
    return Meta(extra_json_schema=keywords, extra=extra)


Quantity: TypeAlias = Annotated[
    int | float | str,
    schema(
        anyOf=[{"type": "integer"}, {"type": "string"}],
        pattern=r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$",
        **{"x-kubernetes-int-or-string": True},
    ),
]
"""A resource.Quantity as written: ``4Gi``, ``500m``, ``2``."""

CoreObject: TypeAlias = dict[str, Any]
"""A type of the Kubernetes core (a container, a volume, an affinity …), passed through untouched."""

FreeMap: TypeAlias = dict[str, Any]
"""A map of which only its user knows the keys, passed through untouched."""

Time: TypeAlias = Annotated[str, schema(format="date-time")]
"""RFC 3339, UTC, whole seconds."""


class Struct(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of API types: immutable, camelCase on the wire, unknown fields ignored, defaults left out."""


class ObjectMeta(Struct, frozen=True, kw_only=True):
    """The part of ``metadata`` that a reconciler needs."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: list[str] = []
    owner_references: list[CoreObject] = []


class LocalObjectReference(Struct, frozen=True, kw_only=True):
    """A reference to an object of the same namespace."""

    name: str = ""
    """Name of the object."""


class StatusCondition(Struct, frozen=True, kw_only=True):
    """One aspect of an object's state, at the generation it speaks of."""

    type: Annotated[str, schema(required=True)] = ""
    """What the condition is about, in CamelCase."""

    status: Annotated[str, schema(required=True, enum=["True", "False", "Unknown"])] = ""
    """Whether it holds."""

    last_transition_time: Time = ""
    """When the status last changed."""

    reason: str = ""
    """Why, as one CamelCase word."""

    message: Annotated[str, schema(maxLength=32768)] = ""
    """Why, for people: the object, the field and the way out."""

    observed_generation: int = 0
    """The metadata.generation that this condition speaks of."""


Conditions: TypeAlias = Annotated[
    list[StatusCondition], schema(**{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]})
]
"""Conditions of which there is one of each type."""
