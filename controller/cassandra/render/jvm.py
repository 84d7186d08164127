"""JVM options as the config builder of a server type and version wants them: which key in which section."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from controller.cassandra.types import JvmOptions
from controller.cassandra.versions import Version
from controller.kube.quantity import number

OLD: Final = "jvm-options"  # Cassandra 3.11
SERVER: Final = "jvm-server-options"  # Cassandra 4 and newer, DSE 6.8 and newer, HCD
JVM11: Final = "jvm11-server-options"  # Cassandra 4 and newer, HCD
JVM8: Final = "jvm8-server-options"  # DSE 6.8 and newer
ENVIRONMENT: Final = "cassandra-env-sh"
ADDITIONAL: Final = "additional-jvm-opts"

# option, key in OLD, key in SERVER, key in JVM11 or JVM8; "" where the section has none.
_TABLE: Final[tuple[tuple[str, str, str, str], ...]] = (
    ("heap_initial_size", "initial_heap_size", "initial_heap_size", ""),
    ("heap_max_size", "max_heap_size", "max_heap_size", ""),
    ("vm_enable_assertions", "enable_assertions", "enable_assertions", ""),
    ("vm_enable_thread_priorities", "use_thread_priorities", "use_thread_priorities", ""),
    ("vm_enable_non_root_thread_priority", "thread_priority_policy_42", "", ""),
    ("vm_heap_dump_on_out_of_memory_error", "heap_dump_on_out_of_memory_error", "heap_dump_on_out_of_memory_error", ""),
    ("vm_per_thread_stack_size", "per_thread_stack_size", "per_thread_stack_size", ""),
    ("vm_string_table_size", "string_table_size", "string_table_size", ""),
    ("vm_always_pre_touch", "always_pre_touch", "always_pre_touch", ""),
    ("vm_disable_biased_locking", "use_biased_locking", "use-biased-locking", ""),
    ("vm_use_tlab", "use_tlb", "use_tlb", ""),
    ("vm_resize_tlab", "resize_tlb", "resize_tlb", ""),
    ("vm_disable_perf_shared_mem", "perf_disable_shared_mem", "perf_disable_shared_mem", ""),
    ("vm_prefer_ipv4", "java_net_prefer_ipv4_stack", "java_net_prefer_ipv4_stack", ""),
    ("vm_use_numa", "", "use_numa", ""),
    ("vm_print_heap_histogram_on_out_of_memory_error", "", "print_heap_histogram_on_out_of_memory_error", ""),
    ("vm_exit_on_out_of_memory_error", "", "exit_on_out_of_memory_error", ""),
    ("vm_crash_on_out_of_memory_error", "", "crash_on_out_of_memory_error", ""),
    ("vm_guaranteed_safepoint_interval_ms", "", "guaranteed-safepoint-interval", ""),
    ("netty_eventloop_maxpendingtasks", "", "io_netty_eventloop_maxpendingtasks", ""),
    ("netty_try_reflection_set_accessible", "", "", "io_netty_try_reflection_set_accessible"),
    ("nio_maxcachedbuffersize", "", "jdk_nio_maxcachedbuffersize", ""),
    ("nio_align_direct_memory", "", "page-align-direct-memory", ""),
    ("jdk_allow_attach_self", "", "", "jdk_attach_allow_attach_self"),
    ("cassandra_available_processors", "cassandra_available_processors", "cassandra_available_processors", ""),
    (
        "cassandra_metrics_reporter_config_file",
        "cassandra_metrics_reporter_config_file",
        "cassandra_metrics_reporter_config_file",
        "",
    ),
    ("cassandra_ring_delay_ms", "cassandra_ring_delay_ms", "cassandra_ring_delay_ms", ""),
    ("cassandra_triggers_directory", "cassandra_triggers_dir", "cassandra_triggers_dir", ""),
    ("cassandra_write_survey", "cassandra_write_survey", "cassandra_write_survey", ""),
    (
        "cassandra_disable_auth_caches_remote_configuration",
        "cassandra_disable_auth_caches_remote_configuration",
        "cassandra_disable_auth_caches_remote_configuration",
        "",
    ),
    (
        "cassandra_force_default_indexing_page_size",
        "cassandra_force_default_indexing_page_size",
        "cassandra_force_default_indexing_page_size",
        "",
    ),
    ("cassandra_force_3_0_protocol_version", "cassandra_force_3_0_protocol_version", "", ""),
    ("cassandra_expiration_date_overflow_policy", "", "cassandra_expiration_date_overflow_policy", ""),
    ("cassandra_max_hint_ttl_seconds", "", "cassandra_max_hint_ttl", ""),
    ("gc", "garbage_collector", "", "garbage_collector"),
    (
        "gc_g1_rset_updating_pause_time_percent",
        "g1r_set_updating_pause_time_percent",
        "",
        "g1r_set_updating_pause_time_percent",
    ),
    ("gc_g1_max_gc_pause_ms", "max_gc_pause_millis", "", "max_gc_pause_millis"),
    (
        "gc_g1_initiating_heap_occupancy_percent",
        "initiating_heap_occupancy_percent",
        "",
        "initiating_heap_occupancy_percent",
    ),
    ("gc_g1_parallel_threads", "parallel_gc_threads", "", "parallel_gc_threads"),
    ("gc_g1_conc_threads", "conc_gc_threads", "", "conc_gc_threads"),
    ("gc_cms_heap_size_young_generation", "heap_size_young_generation", "", ""),
    ("gc_cms_survivor_ratio", "survivor_ratio", "", ""),
    ("gc_cms_max_tenuring_threshold", "max_tenuring_threshold", "", ""),
    ("gc_cms_initiating_occupancy_fraction", "cms_initiating_occupancy_fraction", "", ""),
    ("gc_cms_wait_duration_ms", "cms_wait_duration", "", ""),
    ("gc_print_details", "print_gc_details", "", ""),
    ("gc_print_date_stamps", "print_gc_date_stamps", "", ""),
    ("gc_print_heap", "print_heap_at_gc", "", ""),
    ("gc_print_tenuring_distribution", "print_tenuring_distribution", "", ""),
    ("gc_print_application_stopped_time", "print_gc_application_stopped_time", "", ""),
    ("gc_print_promotion_failure", "print_promotion_failure", "", ""),
    ("gc_print_flss_statistics", "print_flss_statistics", "", ""),
    ("gc_print_use_log_file", "log_gc", "", ""),
    ("gc_print_use_log_file_rotation", "use_gc_log_file_rotation", "", ""),
    ("gc_print_number_of_log_files", "number_of_gc_log_files", "", ""),
    ("gc_print_log_file_size", "gc_log_file_size", "", ""),
    ("jmx_port", "jmx-port", "jmx-port", ""),
    ("jmx_connection_type", "jmx-connection-type", "jmx-connection-type", ""),
    ("jmx_remote_ssl", "jmx-remote-ssl", "jmx-remote-ssl", ""),
    ("jmx_remote_ssl_opts", "jmx-remote-ssl-opts", "jmx-remote-ssl-opts", ""),
    ("jmx_remote_ssl_require_client_auth", "", "jmx-remote-ssl-require-client-auth", ""),
    ("debug_unlock_commercial_features", "unlock_commercial_features", "unlock_commercial_features", ""),
    ("debug_enable_flight_recorder", "flight_recorder", "flight_recorder", ""),
    ("debug_listen_remote_debuggers", "agent_lib_jdwp", "agent_lib_jdwp", ""),
    ("debug_disable_contended_annotations", "", "restrict-contended", ""),
    ("debug_non_safepoints", "", "debug-non-safepoints", ""),
    ("debug_unlock_diagnostic_vm_options", "", "unlock-diagnostic-vm-options", ""),
    ("debug_log_compilation", "", "log_compilation", ""),
    ("debug_preserve_frame_pointer", "", "preserve-frame-pointer", ""),
)
QUANTITIES: Final = (
    "heap_size",
    "heap_initial_size",
    "heap_max_size",
    "vm_per_thread_stack_size",
    "vm_string_table_size",
    "nio_maxcachedbuffersize",
    "heap_new_gen_size",
    "gc_cms_heap_size_young_generation",
    "gc_print_log_file_size",
)
_DEPRECATED: Final = {
    "heap_initial_size": "heap_size",
    "heap_max_size": "heap_size",
    "gc_cms_heap_size_young_generation": "heap_new_gen_size",
}


def sections(
    server_type: str, version: Version, jvm: JvmOptions | None, operator_options: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """The sections of ``spec.config`` that the options make, by name.

    ``operator_options`` are put before the user's additional options, the last one first, unless they are there.
    A pre-release matches no section, so that all options are left out for it, as the reference does.
    """
    if version.pre:
        return {}
    found: dict[str, dict[str, Any]] = {}
    if jvm is not None:
        old, server, newest = _section_names(server_type, version)
        for option, old_key, server_key, newest_key in _TABLE:
            value = getattr(jvm, option)
            if value is None and (former := _DEPRECATED.get(option)):
                value = getattr(jvm, former)
            if value is None:
                continue
            if option in QUANTITIES:
                value = number(value)
            for section, key in ((old, old_key), (server, server_key), (newest, newest_key)):
                if section and key:
                    found.setdefault(section, {})[key] = value
        for section, options in (
            (JVM11, jvm.additional_jvm11_server_options),
            (JVM8, jvm.additional_jvm8_server_options),
            (SERVER, jvm.additional_jvm_server_options),
        ):
            if options is not None:
                found.setdefault(section, {})[ADDITIONAL] = list(options)
    additional = None if jvm is None else jvm.additional_options
    if additional is not None or operator_options:
        together = list(additional or ())
        for option in operator_options:
            if option not in together:
                together.insert(0, option)
        found[ENVIRONMENT] = {ADDITIONAL: together}
    return found


def _section_names(server_type: str, version: Version) -> tuple[str, str, str]:
    """Names of the old section, the server section and the one by Java version; "" where there is none."""
    if server_type == "cassandra":
        if version.at_least(4):
            return "", SERVER, JVM11
        return (OLD if version.at_least(3, 11) else ""), "", ""
    if server_type == "hcd":
        return ("", SERVER, JVM11) if version.at_least(1) else ("", "", "")
    return ("", SERVER, JVM8) if version.at_least(6, 8) else ("", "", "")
