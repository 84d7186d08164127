"""TLS between nodes and with clients: volumes, mounts, settings, options; and what keeps it from being rendered."""

from __future__ import annotations

from typing import Any

import pytest

from controller.cassandra.render import PasswordSource, StorePasswords, needed_passwords
from controller.cassandra.types import K8ssandraCluster
from tests.unit.cassandra.samples import cluster, datacenter, rendered, spec_of

STORES = {"keystoreSecretRef": {"name": "ks"}, "truststoreSecretRef": {"name": "ts", "key": "trust"}}
CLIENT_ON = {"client_encryption_options": {"enabled": True}}
SERVER_ON = {"server_encryption_options": {"internode_encryption": "all"}}
KNOWN = StorePasswords("key-pw", "trust-pw")


def encrypted(yaml: dict[str, Any], **cassandra: Any) -> K8ssandraCluster:
    stores = {"clientEncryptionStores": STORES, "serverEncryptionStores": STORES}
    return cluster(config={"cassandraYaml": yaml}, **{**stores, **cassandra})


def test_stores_of_clients_are_mounted_and_named() -> None:
    spec = spec_of(encrypted(CLIENT_ON), passwords={"dc1": {"client": KNOWN}})
    assert spec["config"]["cassandra-yaml"]["client_encryption_options"] == {
        "enabled": True,
        "keystore": "/mnt/client-keystore/keystore",
        "keystore_password": "key-pw",
        "truststore": "/mnt/client-truststore/truststore",
        "truststore_password": "trust-pw",
    }
    pods = spec["podTemplateSpec"]["spec"]
    assert pods["volumes"] == [
        {
            "name": "client-keystore",
            "secret": {"secretName": "ks", "items": [{"key": "keystore", "path": "keystore"}]},
        },
        {
            "name": "client-truststore",
            "secret": {"secretName": "ts", "items": [{"key": "trust", "path": "truststore"}]},
        },
    ]
    assert pods["containers"][0]["volumeMounts"] == [
        {"name": "client-keystore", "mountPath": "/mnt/client-keystore"},
        {"name": "client-truststore", "mountPath": "/mnt/client-truststore"},
    ]


def test_options_of_clients_stand_in_the_order_of_the_reference() -> None:
    spec = spec_of(encrypted(CLIENT_ON), passwords={"dc1": {"client": KNOWN}})
    assert spec["config"]["cassandra-env-sh"]["additional-jvm-opts"] == [
        "-Dcassandra.allow_alter_rf_during_range_movement=true",
        "-Dcassandra.system_distributed_replication=dc1:3",
        "-Djavax.net.ssl.trustStorePassword=trust-pw",
        "-Djavax.net.ssl.keyStorePassword=key-pw",
        "-Djavax.net.ssl.trustStore=/mnt/client-truststore/truststore",
        "-Djavax.net.ssl.keyStore=/mnt/client-keystore/keystore",
        "-Dcom.sun.management.jmxremote.ssl.need.client.auth=true",
        "-Dcom.sun.management.jmxremote.ssl=true",
    ]


def test_stores_between_nodes_add_no_option() -> None:
    spec = spec_of(encrypted(SERVER_ON), passwords={"dc1": {"server": KNOWN}})
    assert len(spec["config"]["cassandra-env-sh"]["additional-jvm-opts"]) == 2
    assert spec["config"]["cassandra-yaml"]["server_encryption_options"]["keystore"] == "/mnt/server-keystore/keystore"
    assert [volume["name"] for volume in spec["podTemplateSpec"]["spec"]["volumes"]] == [
        "server-keystore",
        "server-truststore",
    ]


def test_a_users_mount_of_our_volume_is_replaced_and_a_users_setting_kept() -> None:
    mounts = [{"name": "client-keystore", "mountPath": "/x"}, {"name": "mine", "mountPath": "/y"}]
    yaml = {"client_encryption_options": {"enabled": True, "keystore": "/z"}}
    given = encrypted(yaml, containers=[{"name": "cassandra", "volumeMounts": mounts}])
    spec = spec_of(given, passwords={"dc1": {"client": KNOWN}})
    made = spec["podTemplateSpec"]["spec"]["containers"][0]["volumeMounts"]
    assert [mount["mountPath"] for mount in made] == ["/y", "/mnt/client-keystore", "/mnt/client-truststore"]
    assert spec["config"]["cassandra-yaml"]["client_encryption_options"]["keystore"] == "/z"


def test_with_external_secrets_clients_get_two_options_and_nodes_nothing() -> None:
    given = encrypted({**CLIENT_ON, **SERVER_ON}, spec={"secretsProvider": "external"})
    spec = spec_of(given)
    assert spec["config"]["cassandra-env-sh"]["additional-jvm-opts"][2:] == [
        "-Dcom.sun.management.jmxremote.ssl.need.client.auth=true",
        "-Dcom.sun.management.jmxremote.ssl=true",
    ]
    assert "volumes" not in spec["podTemplateSpec"]["spec"]
    assert spec["config"]["cassandra-yaml"]["client_encryption_options"] == {"enabled": True}
    assert needed_passwords(given) == ()


@pytest.mark.parametrize(
    "yaml",
    [
        {},
        {"client_encryption_options": {"enabled": False}},
        {"client_encryption_options": {"enabled": "true"}},
        {"client_encryption_options": "on"},
        {"server_encryption_options": {"internode_encryption": "none"}},
        {"server_encryption_options": {"internode_encryption": None}},
    ],
)
def test_stores_alone_switch_nothing_on(yaml: dict[str, Any]) -> None:
    assert needed_passwords(encrypted(yaml)) == ()
    assert "volumes" not in spec_of(encrypted(yaml))["podTemplateSpec"]["spec"]


def test_a_datacenter_waits_for_the_passwords_of_its_stores() -> None:
    made = rendered(encrypted(CLIENT_ON))
    (error,) = made.errors
    assert (error.field, error.reason) == ("spec.cassandra.clientEncryptionStores", "SecretNotFound")
    assert made.datacenters == ()


def test_a_store_without_a_secret_is_named() -> None:
    made = rendered(encrypted(CLIENT_ON, clientEncryptionStores={"keystoreSecretRef": {"name": "ks"}}))
    assert [error.field for error in made.errors] == ["spec.cassandra.clientEncryptionStores.truststoreSecretRef"]


def test_encryption_without_stores_is_said_and_rendered() -> None:
    made = rendered(encrypted({**CLIENT_ON, **SERVER_ON}, clientEncryptionStores=None, serverEncryptionStores=None))
    path = "spec.cassandra.datacenters[0].config.cassandraYaml"
    assert [warning.field for warning in made.warnings] == [
        f"{path}.client_encryption_options",
        f"{path}.server_encryption_options",
    ]
    assert len(made.datacenters) == 1


# ── where the passwords are ─────────────────────────────────────────────────────────────────────────


def test_a_password_stands_beside_its_store_under_the_default_key() -> None:
    # The reference takes the store's own key for the password's when there is one, and the store for the password.
    assert [(source.secret, source.key) for source in needed_passwords(encrypted(CLIENT_ON))] == [
        ("ks", "keystore-password"),
        ("ts", "truststore-password"),
    ]


def test_a_password_has_a_place_of_its_own() -> None:
    stores = {
        **STORES,
        "keystorePasswordSecretRef": {"name": "pw", "key": "k"},
        "truststorePasswordSecretRef": {"name": "pw"},
    }
    given = encrypted(SERVER_ON, serverEncryptionStores=stores)
    assert [(source.secret, source.key) for source in needed_passwords(given)] == [
        ("pw", "k"),
        ("pw", "truststore-password"),
    ]


def test_passwords_are_read_in_each_datacenters_cluster_and_the_clusters_namespace() -> None:
    given = cluster(
        datacenter("dc1", metadata={"namespace": "other"}),
        datacenter("dc2"),
        config={"cassandraYaml": CLIENT_ON},
        clientEncryptionStores=STORES,
    )
    first, *_ = needed_passwords(given)
    assert len(needed_passwords(given)) == 4
    assert first == PasswordSource("dc1", "kind-dc1", "ns", "client", "keystore", "ks", "keystore-password", "ks")


def test_passwords_do_not_show_themselves() -> None:
    assert "key-pw" not in repr(KNOWN)
