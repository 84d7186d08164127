"""``spec.config`` of a CassandraDatacenter: cassandra.yaml, dse.yaml and the sections of JVM options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from controller.cassandra.render import jvm
from controller.cassandra.render.encryption import Encryption
from controller.cassandra.render.template import Template
from controller.cassandra.types import CassandraConfig
from controller.cassandra.versions import Version

LARGE: Final = 2.0**63  # from here on a number is written as a float
_DSE_AUTH: Final = "com.datastax.bdp.cassandra.auth."
ALTER_RF: Final = "-Dcassandra.allow_alter_rf_during_range_movement=true"


def config(
    template: Template, version: Version, encryption: Encryption, system_replication: Mapping[str, int]
) -> dict[str, Any]:
    """The whole of ``spec.config``."""
    given = template.options.config or CassandraConfig()
    cassandra_yaml: dict[str, Any] = numbers(given.cassandra_yaml)
    dse_yaml: dict[str, Any] = numbers(given.dse_yaml)
    for path, value in encryption.settings:
        put_if_absent(cassandra_yaml, path, value)
    _authentication(template, cassandra_yaml, dse_yaml)
    _tokens(template, version, cassandra_yaml)

    options = list(encryption.jvm_options)
    if template.server_type != "dse":
        if template.is_first and system_replication:
            replication = ",".join(f"{name}:{replicas}" for name, replicas in sorted(system_replication.items()))
            options.append(f"-Dcassandra.system_distributed_replication={replication}")
        if version.major != 3:
            options.append(ALTER_RF)
    rendered: dict[str, Any] = {"cassandra-yaml": cassandra_yaml}
    if dse_yaml:
        rendered["dse-yaml"] = dse_yaml
    for section, values in jvm.sections(template.server_type, version, given.jvm_options, options).items():
        rendered[section] = values
    return rendered


def default_num_tokens(server_type: str, version: Version) -> int:
    """The number of tokens of a node whose specification gives none."""
    return 256 if _is_old(server_type, version) else 16


def _is_old(server_type: str, version: Version) -> bool:
    return server_type == "cassandra" and version.major == 3


def put_if_absent(target: dict[str, Any], path: str, value: Any) -> None:
    """Set ``a/b/c`` unless it is there and not null; maps on the way are made."""
    *parents, last = path.split("/")
    for part in parents:
        inner = target.get(part)
        if inner is None:
            inner = target[part] = {}
        if not isinstance(inner, dict):
            return  # the user has put something else there
        target = inner
    if target.get(last) is None:
        target[last] = value


def numbers(value: Any) -> Any:
    """A copy with numbers as they come out of a 64-bit float: whole ones as integers, above 2^53 rounded."""
    if isinstance(value, dict):
        return {key: numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [numbers(item) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    rounded = float(value)
    return int(rounded) if rounded.is_integer() and abs(rounded) < LARGE else rounded


def _authentication(template: Template, cassandra_yaml: dict[str, Any], dse_yaml: dict[str, Any]) -> None:
    dse = template.server_type == "dse"
    if template.cluster.spec.auth is False:
        classes = ("AllowAllAuthenticator", "AllowAllAuthorizer", "CassandraRoleManager")
    elif dse:
        classes = (f"{_DSE_AUTH}DseAuthenticator", f"{_DSE_AUTH}DseAuthorizer", f"{_DSE_AUTH}DseRoleManager")
        put_if_absent(dse_yaml, "authentication_options/enabled", "true")
        put_if_absent(dse_yaml, "authorization_options/enabled", "true")
        put_if_absent(dse_yaml, "role_management_options/mode", "internal")
    else:
        classes = ("PasswordAuthenticator", "CassandraAuthorizer", "CassandraRoleManager")
    for key, value in zip(("authenticator", "authorizer", "role_manager"), classes, strict=True):
        put_if_absent(cassandra_yaml, key, value)


def _tokens(template: Template, version: Version, cassandra_yaml: dict[str, Any]) -> None:
    put_if_absent(cassandra_yaml, "num_tokens", default_num_tokens(template.server_type, version))
    if _is_old(template.server_type, version):
        put_if_absent(cassandra_yaml, "start_rpc", False)
    if template.server_type != "cassandra":
        put_if_absent(cassandra_yaml, "allocate_tokens_for_local_replication_factor", 3)
