"""TLS between nodes and with clients: where the stores are mounted, and what Cassandra is told about them."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import msgspec

from controller.cassandra.problems import FieldProblem
from controller.cassandra.render.template import Template
from controller.cassandra.types import CassandraConfig, EncryptionStores, SecretKey

Side: TypeAlias = Literal["client", "server"]
_MOUNT: Final = "/mnt"
_JMX_TLS: Final = (
    "-Dcom.sun.management.jmxremote.ssl=true",
    "-Dcom.sun.management.jmxremote.ssl.need.client.auth=true",
)


class StorePasswords(msgspec.Struct, frozen=True):
    """Passwords of the stores of one side, as read from their Secrets."""

    keystore: str
    truststore: str

    def __repr__(self) -> str:
        return "StorePasswords(…)"  # never shown


class PasswordSource(msgspec.Struct, frozen=True):
    """Where the password of a store is: in the datacenter's cluster, in the K8ssandraCluster's namespace.

    ``beside``: the Secret with the store itself.
    """

    datacenter: str
    context: str
    namespace: str
    side: Side
    store: Literal["keystore", "truststore"]
    secret: str
    key: str
    beside: str = ""


class Encryption(msgspec.Struct, frozen=True):
    """What encryption adds to a datacenter; ``jvm_options`` in the order in which they are put to the front."""

    settings: tuple[tuple[str, str], ...] = ()
    jvm_options: tuple[str, ...] = ()
    volumes: tuple[dict[str, Any], ...] = ()
    mounts: tuple[dict[str, Any], ...] = ()

    def __repr__(self) -> str:
        return f"Encryption({len(self.volumes)} volumes)"  # settings hold passwords


def active_sides(template: Template) -> tuple[Side, ...]:
    """The sides whose encryption is switched on and whose stores are named."""
    yaml = (template.options.config or CassandraConfig()).cassandra_yaml
    client, server = _options(yaml, "client"), _options(yaml, "server")
    sides: list[Side] = []
    if template.cassandra.client_encryption_stores is not None and client.get("enabled") is True:
        sides.append("client")
    if template.cassandra.server_encryption_stores is not None and server.get("internode_encryption") not in (
        None,
        "none",
    ):
        sides.append("server")
    return tuple(sides)


def without_stores(template: Template) -> tuple[Side, ...]:
    """The sides whose encryption is switched on though no stores are named: the user provides them otherwise."""
    yaml = (template.options.config or CassandraConfig()).cassandra_yaml
    found: list[Side] = []
    if template.cassandra.client_encryption_stores is None and _options(yaml, "client").get("enabled") is True:
        found.append("client")
    if template.cassandra.server_encryption_stores is None and _options(yaml, "server").get(
        "internode_encryption"
    ) not in (None, "none"):
        found.append("server")
    return tuple(found)


def password_sources(template: Template) -> tuple[PasswordSource, ...]:
    """The Secrets that have to be read before this datacenter can be rendered; () with external secrets."""
    if template.cluster.external_secrets:
        return ()
    found = []
    for side in active_sides(template):
        stores = stores_of(template, side)
        for store, reference, password in (
            ("keystore", stores.keystore_secret_ref, stores.keystore_password_secret_ref),
            ("truststore", stores.truststore_secret_ref, stores.truststore_password_secret_ref),
        ):
            # A password without a reference of its own stands beside its store, under the default key. (The
            # reference takes the store's own key there, and with it the store for the password.)
            secret = (password or reference or SecretKey()).name
            key = (password.key if password else "") or f"{store}-password"
            found.append(
                PasswordSource(
                    datacenter=template.datacenter.name,
                    context=template.datacenter.k8s_context,
                    namespace=template.cluster.namespace,
                    side=side,
                    store=store,  # type: ignore[arg-type]  # one of the two above
                    secret=secret,
                    key=key,
                    beside=(reference or SecretKey()).name,
                )
            )
    return tuple(found)


def check(template: Template, known: dict[Side, StorePasswords]) -> list[FieldProblem]:
    """What keeps this datacenter's encryption from being rendered."""
    problems = []
    for side in active_sides(template):
        path = f"spec.cassandra.{side}EncryptionStores"
        stores = stores_of(template, side)
        missing = [
            name
            for name, reference in (
                ("keystoreSecretRef", stores.keystore_secret_ref),
                ("truststoreSecretRef", stores.truststore_secret_ref),
            )
            if reference is None or not reference.name
        ]
        problems += [
            FieldProblem(f"{path}.{name}", "is required", "name the Secret", template.datacenter.name)
            for name in missing
        ]
        if not missing and not template.cluster.external_secrets and side not in known:
            message = "the passwords of the stores are not known"
            remedy = "create the Secrets in the control plane, or in the cluster of the datacenter, in this namespace"
            problems.append(FieldProblem(path, message, remedy, template.datacenter.name, "SecretNotFound"))
    return problems


def encryption(template: Template, known: dict[Side, StorePasswords]) -> Encryption:
    """What the active sides add. The passwords are in plain text in it, as the reference writes them."""
    settings: list[tuple[str, str]] = []
    options: list[str] = []
    volumes: list[dict[str, Any]] = []
    mounts: list[dict[str, Any]] = []
    for side in active_sides(template):
        if template.cluster.external_secrets:
            options += _JMX_TLS if side == "client" else ()
            continue
        passwords = known[side]
        stores = stores_of(template, side)
        paths = {}
        for store, reference, password in (
            ("keystore", stores.keystore_secret_ref, passwords.keystore),
            ("truststore", stores.truststore_secret_ref, passwords.truststore),
        ):
            assert reference is not None  # checked before
            volume = f"{side}-{store}"
            paths[store] = f"{_MOUNT}/{volume}/{store}"
            item = {"key": reference.key or store, "path": store}
            volumes.append({"name": volume, "secret": {"secretName": reference.name, "items": [item]}})
            mounts.append({"name": volume, "mountPath": f"{_MOUNT}/{volume}"})
            settings.append((f"{side}_encryption_options/{store}", paths[store]))
            settings.append((f"{side}_encryption_options/{store}_password", password))
        if side == "client":
            options += [
                *_JMX_TLS,
                f"-Djavax.net.ssl.keyStore={paths['keystore']}",
                f"-Djavax.net.ssl.trustStore={paths['truststore']}",
                f"-Djavax.net.ssl.keyStorePassword={passwords.keystore}",
                f"-Djavax.net.ssl.trustStorePassword={passwords.truststore}",
            ]
    return Encryption(tuple(settings), tuple(options), tuple(volumes), tuple(mounts))


def _options(yaml: dict[str, Any], side: Side) -> dict[str, Any]:
    found = yaml.get(f"{side}_encryption_options")
    return found if isinstance(found, dict) else {}


def stores_of(template: Template, side: Side) -> EncryptionStores:
    """The references of one side; empty ones when there are none."""
    cassandra = template.cassandra
    stores = cassandra.client_encryption_stores if side == "client" else cassandra.server_encryption_stores
    return stores or EncryptionStores()
