"""AdmissionReviews as an API server sends them; a test changes one thing."""

from __future__ import annotations

from typing import Any

import msgspec

Json = dict[str, Any]


def review(new: Json | None, old: Json | None = None, **request: Any) -> Json:
    """The review of a creation, or of an update when there is an ``old`` object."""
    obj = new or old or {}
    metadata = obj.get("metadata") or {}
    made = {
        "uid": "review-1",
        "kind": {"group": "k8ssandra.io", "version": "v1alpha1", "kind": "K8ssandraCluster"},
        "resource": {"group": "k8ssandra.io", "version": "v1alpha1", "resource": "k8ssandraclusters"},
        "namespace": metadata.get("namespace", ""),
        "name": metadata.get("name", ""),
        "operation": "CREATE" if old is None else "UPDATE",
        "userInfo": {"username": "somebody"},
        "object": new,
        "oldObject": old,
        "dryRun": False,
        "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {**made, **request}}


def encoded(new: Json | None, old: Json | None = None, **request: Any) -> bytes:
    return msgspec.json.encode(review(new, old, **request))
