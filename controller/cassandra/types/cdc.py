"""Change data capture: what the agent in the management API sends to Pulsar."""

from __future__ import annotations

from typing import Annotated

from controller.kube.structs import Struct, schema


class Cdc(Struct, frozen=True, kw_only=True):
    """Change data capture into Pulsar."""

    pulsar_service_url: Annotated[str, schema(required=True, minLength=1)] = ""
    """Where Pulsar is, as pulsar://host:6650."""

    topic_prefix: str | None = None
    """What the names of topics begin with."""

    cdc_working_dir: str | None = None
    """Directory of the agent's state."""

    cdc_poll_interval_m: int | None = None
    """Milliseconds between two looks for new segments."""

    error_commit_log_reprocess_enabled: bool | None = None
    """Whether segments that could not be read are tried again."""

    cdc_concurrent_processors: int | None = None
    """Segments that are read at a time."""

    pulsar_batch_delay_in_ms: int | None = None
    """Longest milliseconds for which messages are gathered into one."""

    pulsar_key_based_batcher: bool | None = None
    """Whether messages of one key go into one batch."""

    pulsar_max_pending_messages: int | None = None
    """Messages that may wait in one partition."""

    pulsar_max_pending_messages_across_partitions: int | None = None
    """Messages that may wait in all partitions together."""

    pulsar_auth_plugin_class_name: str | None = None
    """Class that logs in to Pulsar."""

    pulsar_auth_params: str | None = None
    """What that class is told."""

    ssl_provider: str | None = None
    """Provider of TLS."""

    ssl_truststore_path: str | None = None
    """The truststore's path."""

    ssl_truststore_password: str | None = None
    """The truststore's password."""

    ssl_truststore_type: str | None = None
    """The truststore's type."""

    ssl_keystore_path: str | None = None
    """The keystore's path."""

    ssl_keystore_password: str | None = None
    """The keystore's password."""

    ssl_cipher_suites: str | None = None
    """Cipher suites, separated by commas."""

    ssl_enabled_protocols: str | None = None
    """Protocols of TLS, separated by commas."""

    ssl_allow_insecure_connection: str | None = None
    """Whether certificates that cannot be checked are taken: "true" or "false"."""

    ssl_hostname_verification_enable: str | None = None
    """Whether names in certificates are checked: "true" or "false"."""
