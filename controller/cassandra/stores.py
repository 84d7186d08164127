"""Secrets that the pods of datacenters mount: encryption stores, certificates of the management API; which go where.

Where they are in the control plane, a ReplicatedSecret beside the cluster's own takes them to the datacenters that
need them, and to no others. Passwords are read, never mounted, and so never copied for themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final

import msgspec

from controller.cassandra import labels
from controller.cassandra.render import encryption
from controller.cassandra.render.encryption import PasswordSource
from controller.cassandra.render.template import Template, build
from controller.cassandra.secrets import metadata_of
from controller.cassandra.types import K8ssandraCluster
from controller.replication.types import EXISTING, KEEP, ONLY, REPLICATED_SECRETS

STORES: Final = "-stores"  # what the name of the ReplicatedSecret has beside the cluster's
SELECTED: Final = "true"  # value of the label that has a Secret copied


class Mounted(msgspec.Struct, frozen=True):
    """A Secret that pods of a datacenter mount, so that it has to be in their namespace. ``field`` names it."""

    datacenter: str
    context: str
    namespace: str
    secret: str
    field: str


class Needs(msgspec.Struct, frozen=True):
    """What a K8ssandraCluster needs of the Secrets of users, superuser apart."""

    mounted: tuple[Mounted, ...] = ()
    passwords: tuple[PasswordSource, ...] = ()

    @property
    def secrets(self) -> frozenset[str]:
        """Their names."""
        return frozenset([each.secret for each in self.mounted] + [each.secret for each in self.passwords])


NOTHING: Final = Needs()


def needs(cluster: K8ssandraCluster) -> Needs:
    """What a cluster needs; nothing when another system provides the Secrets."""
    cassandra = cluster.spec.cassandra
    if cassandra is None or cluster.external_secrets:
        return NOTHING
    options = [cassandra, *cassandra.datacenters]
    stores = cassandra.client_encryption_stores or cassandra.server_encryption_stores
    if not stores and all(each.management_api_auth is None for each in options):
        return NOTHING
    try:
        templates = [build(cluster, cassandra, index) for index in range(len(cassandra.datacenters))]
    except RecursionError:
        return NOTHING  # rendering says so
    return Needs(
        tuple(dict.fromkeys(mounted for template in templates for mounted in _mounted(template))),
        tuple(source for template in templates for source in encryption.password_sources(template)),
    )


def replicated_stores_name(cluster: K8ssandraCluster) -> str:
    """Name of the ReplicatedSecret."""
    return cluster.name + STORES


def label_of(cluster: K8ssandraCluster) -> str:
    """The label by which it selects. One for each cluster, as clusters may share a truststore."""
    return f"{labels.STORES_OF}/{cluster.name}"


def replicated_stores(
    cluster: K8ssandraCluster, mounted: Collection[Mounted], present: Collection[str]
) -> dict[str, Any] | None:
    """The ReplicatedSecret; None when there is nothing to copy. ``present``: names of the Secrets that are there."""
    targets: dict[tuple[str, str], dict[str, Any]] = {}
    goes: dict[str, list[str]] = {}
    key = label_of(cluster)
    for one in mounted:
        place = (one.context, one.namespace)
        if one.secret not in present or place == ("", cluster.namespace):
            continue
        named = {"k8sContextName": one.context, "namespace": one.namespace}
        targets[place] = {
            **{field: value for field, value in named.items() if value},
            "dropLabels": [key],
            "addLabels": labels.owner(cluster.name, cluster.namespace),
        }
        where = goes.setdefault(one.secret, [])
        if "/".join(place) not in where:
            where.append("/".join(place))
    if not targets:
        return None
    metadata = metadata_of(cluster, replicated_stores_name(cluster), labels.owner(cluster.name, cluster.namespace))
    annotations = {**metadata.get("annotations", {}), EXISTING: KEEP}
    if only := {name: where for name, where in goes.items() if len(where) < len(targets)}:
        annotations[ONLY] = msgspec.json.encode(only, order="sorted").decode()
    return {
        "apiVersion": REPLICATED_SECRETS.api_version,
        "kind": REPLICATED_SECRETS.kind,
        "metadata": {**metadata, "annotations": annotations},
        "spec": {"selector": {"matchLabels": {key: SELECTED}}, "replicationTargets": list(targets.values())},
    }


def _mounted(template: Template) -> Iterator[Mounted]:
    datacenter, namespace = template.datacenter, template.namespace

    def mount(secret: str, field: str) -> Iterator[Mounted]:
        if secret:
            yield Mounted(datacenter.name, datacenter.k8s_context, namespace, secret, field)

    for side in encryption.active_sides(template):
        stores = encryption.stores_of(template, side)
        path = f"spec.cassandra.{side}EncryptionStores"
        for store, reference in (
            ("keystore", stores.keystore_secret_ref),
            ("truststore", stores.truststore_secret_ref),
        ):
            yield from mount(reference.name if reference else "", f"{path}.{store}SecretRef.name")
    auth = template.options.management_api_auth
    if auth is not None and auth.manual is not None:
        own = datacenter.management_api_auth is not None
        path = f"{template.path if own else 'spec.cassandra'}.managementApiAuth.manual"
        yield from mount(auth.manual.client_secret_name, f"{path}.clientSecretName")
        yield from mount(auth.manual.server_secret_name, f"{path}.serverSecretName")
