from __future__ import annotations

from typing import Any

import pytest

from controller.cassandra.render.config import put_if_absent
from tests.unit.cassandra.samples import cluster, datacenter, rendered, spec_of

_DSE = "com.datastax.bdp.cassandra.auth."


def yaml_of(spec: dict[str, Any] | None = None, **cassandra: Any) -> dict[str, Any]:
    content: dict[str, Any] = spec_of(cluster(spec=spec, **cassandra))["config"]["cassandra-yaml"]
    return content


def options_of(given: Any, **facts: Any) -> list[str]:
    return spec_of(given, **facts)["config"].get("cassandra-env-sh", {}).get("additional-jvm-opts", [])


# ── authentication ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("server", "auth", "expected"),
    [
        (("cassandra", "4.0.17"), True, ("PasswordAuthenticator", "CassandraAuthorizer", "CassandraRoleManager")),
        (("cassandra", "3.11.14"), None, ("PasswordAuthenticator", "CassandraAuthorizer", "CassandraRoleManager")),
        (("hcd", "1.0.0"), True, ("PasswordAuthenticator", "CassandraAuthorizer", "CassandraRoleManager")),
        (("dse", "6.8.25"), True, (f"{_DSE}DseAuthenticator", f"{_DSE}DseAuthorizer", f"{_DSE}DseRoleManager")),
        (("cassandra", "4.0.17"), False, ("AllowAllAuthenticator", "AllowAllAuthorizer", "CassandraRoleManager")),
        (("hcd", "1.0.0"), False, ("AllowAllAuthenticator", "AllowAllAuthorizer", "CassandraRoleManager")),
        (("dse", "6.8.25"), False, ("AllowAllAuthenticator", "AllowAllAuthorizer", "CassandraRoleManager")),
    ],
)
def test_authentication(server: tuple[str, str], auth: bool | None, expected: tuple[str, str, str]) -> None:
    made = yaml_of(spec={"auth": auth}, serverType=server[0], serverVersion=server[1])
    assert expected == (made["authenticator"], made["authorizer"], made["role_manager"])


def test_a_users_own_authenticator_stays() -> None:
    made = yaml_of(config={"cassandraYaml": {"authenticator": "Mine", "authorizer": None}})
    assert (made["authenticator"], made["authorizer"]) == ("Mine", "CassandraAuthorizer")


def test_dse_gets_its_own_switches_as_text() -> None:
    made = spec_of(cluster(serverType="dse", serverVersion="6.8.25", config={"dseYaml": {"a": 1}}))["config"]
    assert made["dse-yaml"] == {
        "a": 1,
        "authentication_options": {"enabled": "true"},
        "authorization_options": {"enabled": "true"},
        "role_management_options": {"mode": "internal"},
    }
    assert "dse-yaml" not in spec_of(cluster(spec={"auth": False}, serverType="dse", serverVersion="6.8.25"))["config"]


# ── tokens and numbers ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("server_type", "version", "expected"),
    [
        ("cassandra", "3.11.14", {"num_tokens": 256, "start_rpc": False}),
        ("cassandra", "4.1.0", {"num_tokens": 16}),
        ("cassandra", "5.0.0-beta1", {"num_tokens": 16}),
        ("dse", "6.8.25", {"num_tokens": 16, "allocate_tokens_for_local_replication_factor": 3}),
        ("hcd", "1.0.0", {"num_tokens": 16, "allocate_tokens_for_local_replication_factor": 3}),
    ],
)
def test_defaults_of_a_version(server_type: str, version: str, expected: dict[str, Any]) -> None:
    made = yaml_of(serverType=server_type, serverVersion=version)
    ours = ("num_tokens", "start_rpc", "allocate_tokens_for_local_replication_factor")
    assert expected == {key: made[key] for key in ours if key in made}


def test_what_the_user_says_is_no_default() -> None:
    given = {"num_tokens": 32, "start_rpc": True}
    assert yaml_of(serverVersion="3.11.14", config={"cassandraYaml": given}).items() >= given.items()
    assert yaml_of(config={"cassandraYaml": {"num_tokens": None}})["num_tokens"] == 16


def test_numbers_are_those_of_a_64_bit_float() -> None:
    made = yaml_of(config={"cassandraYaml": {"a": 9007199254740993, "b": 1.0, "c": [2.0, {"d": 0.5}], "e": None}})
    assert (made["a"], repr(made["b"]), made["c"], made["e"]) == (9007199254740992, "1", [2, {"d": 0.5}], None)


# ── options of the operator ─────────────────────────────────────────────────────────────────────────


def test_only_the_first_datacenter_names_the_replication_in_sorted_order() -> None:
    made = rendered(cluster(datacenter("dc1"), datacenter("dc2")), initial_system_replication={"dc1": 3, "a": 2})
    first, second = (
        entry.object["spec"]["config"]["cassandra-env-sh"]["additional-jvm-opts"] for entry in made.datacenters
    )
    alter = "-Dcassandra.allow_alter_rf_during_range_movement=true"
    assert first == [alter, "-Dcassandra.system_distributed_replication=a:2,dc1:3"]
    assert second == [alter]


def test_cassandra_3_does_not_know_the_alter_option_and_dse_neither_of_them() -> None:
    replication = "-Dcassandra.system_distributed_replication=dc1:3"
    assert options_of(cluster(serverVersion="3.11.14")) == [replication]
    assert options_of(cluster(serverType="dse", serverVersion="6.8.25")) == []
    assert len(options_of(cluster(serverType="hcd", serverVersion="1.0.0"))) == 2


def test_a_pre_release_gets_no_options() -> None:
    assert "cassandra-env-sh" not in spec_of(cluster(serverVersion="5.0.0-beta1"))["config"]


@pytest.mark.parametrize(
    ("before", "path", "after"),
    [
        ({}, "a", {"a": 1}),
        ({"a": None}, "a", {"a": 1}),
        ({"a": 0}, "a", {"a": 0}),
        ({"a": False}, "a", {"a": False}),
        ({}, "a/b/c", {"a": {"b": {"c": 1}}}),
        ({"a": None}, "a/b", {"a": {"b": 1}}),
        ({"a": {"x": 2}}, "a/b", {"a": {"x": 2, "b": 1}}),
        ({"a": {"b": 2}}, "a/b", {"a": {"b": 2}}),
        ({"a": "text"}, "a/b", {"a": "text"}),
    ],
)
def test_a_setting_is_put_where_nothing_is(before: dict[str, Any], path: str, after: dict[str, Any]) -> None:
    put_if_absent(before, path, 1)
    assert after == before
