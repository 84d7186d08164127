"""What rendering has to know from outside of a K8ssandraCluster, made of Secrets and ConfigMaps whoever read them."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from controller.cassandra.compare import canonical_hash
from controller.cassandra.problems import FieldProblem
from controller.cassandra.render import Facts, StorePasswords, needed_passwords
from controller.cassandra.render.encryption import PasswordSource, Side
from controller.cassandra.render.per_node import DEFAULT_IMAGE
from controller.cassandra.system_replication import initial_system_replication
from controller.cassandra.types import K8ssandraCluster

Manifest: TypeAlias = Mapping[str, Any]
Find: TypeAlias = Callable[[str, str, str], Manifest | None]
"""Context, namespace and name to the object as JSON has it; None when there is none."""

_CONTENT: Final = ("data", "binaryData")


def gather(
    cluster: K8ssandraCluster,
    secret: Find,
    config_map: Find,
    *,
    replication: Mapping[str, int] | None = None,
    image: str = DEFAULT_IMAGE,
    image_problem: str = "",
) -> tuple[Facts, list[FieldProblem]]:
    """The facts, and what is wrong with the Secrets that should tell them.

    ``replication``: the one that the cluster began with; None: what it would begin with now. ``image``: for init
    containers that merge the configuration of single nodes; "" while it is not known.
    """
    passwords, problems = _passwords(cluster, secret)
    facts = Facts(
        initial_system_replication=dict(replication or initial_system_replication(cluster)),
        passwords=passwords,
        per_node_config_hashes=dict(_per_node_hashes(cluster, config_map)),
        per_node_config_image=image,
        image_problem=image_problem,
    )
    return facts, problems


def _passwords(
    cluster: K8ssandraCluster, secret: Find
) -> tuple[dict[str, dict[Side, StorePasswords]], list[FieldProblem]]:
    found: dict[tuple[str, Side], dict[str, str]] = {}
    problems: list[FieldProblem] = []
    for source in needed_passwords(cluster):
        manifest = secret(source.context, source.namespace, source.secret)
        if manifest is None:
            continue  # rendering says which is missing
        password = _value(manifest, source.key)
        if password is None:
            problems.append(_unreadable(source))
            continue
        found.setdefault((source.datacenter, source.side), {})[source.store] = password
    whole: dict[str, dict[Side, StorePasswords]] = {}
    for (datacenter, side), stores in found.items():
        if len(stores) == 2:
            whole.setdefault(datacenter, {})[side] = StorePasswords(stores["keystore"], stores["truststore"])
    return whole, problems


def _value(secret: Manifest, key: str) -> str | None:
    """One value of a Secret; of a manifest in a file it may be in ``stringData``."""
    if isinstance(text := (secret.get("stringData") or {}).get(key), str):
        return text
    try:
        return b64decode((secret.get("data") or {})[key], validate=True).decode()
    except (KeyError, TypeError, NotBase64, UnicodeDecodeError):
        return None


def _unreadable(source: PasswordSource) -> FieldProblem:
    return FieldProblem(
        f"spec.cassandra.{source.side}EncryptionStores",
        f"Secret {source.namespace}/{source.secret} has no password under the key {source.key!r}",
        f"put the password of the {source.store} there, in base64",
        source.datacenter,
        "SecretKeyMissing",
    )


def _per_node_hashes(cluster: K8ssandraCluster, config_map: Find) -> Iterator[tuple[str, str]]:
    """By datacenter, the hash of the user's ConfigMap: of its content only, for labels are put on it by others."""
    cassandra = cluster.spec.cassandra
    for datacenter in cassandra.datacenters if cassandra is not None else ():
        reference = datacenter.per_node_config_map_ref
        if reference is None or not reference.name:
            continue
        namespace = datacenter.metadata.namespace or cluster.namespace
        found = config_map(datacenter.k8s_context, namespace, reference.name)
        if found is not None:
            yield datacenter.name, canonical_hash({key: found.get(key) or {} for key in _CONTENT})
