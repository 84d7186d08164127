"""The whole table of JVM options, for every kind of server; the expected names stand here once more, by hand."""

# ruff: noqa: E501  (a table)

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from controller.cassandra.render.jvm import sections
from controller.cassandra.types import JvmOptions
from controller.cassandra.versions import parse_version
from tests.unit.cassandra.samples import cluster, spec_of

# option | a value | what is rendered for it, if that is another | key for 3.11 | key in jvm-server | key by Java version
_OPTIONS = """
heap_initial_size | "512Mi" | 536870912 | initial_heap_size | initial_heap_size |
heap_max_size | "1.5Gi" | 1610612736 | max_heap_size | max_heap_size |
vm_enable_assertions | true | | enable_assertions | enable_assertions |
vm_enable_thread_priorities | true | | use_thread_priorities | use_thread_priorities |
vm_enable_non_root_thread_priority | true | | thread_priority_policy_42 | |
vm_heap_dump_on_out_of_memory_error | false | | heap_dump_on_out_of_memory_error | heap_dump_on_out_of_memory_error |
vm_per_thread_stack_size | "256Ki" | 262144 | per_thread_stack_size | per_thread_stack_size |
vm_string_table_size | "1000003" | 1000003 | string_table_size | string_table_size |
vm_always_pre_touch | true | | always_pre_touch | always_pre_touch |
vm_disable_biased_locking | true | | use_biased_locking | use-biased-locking |
vm_use_tlab | true | | use_tlb | use_tlb |
vm_resize_tlab | true | | resize_tlb | resize_tlb |
vm_disable_perf_shared_mem | true | | perf_disable_shared_mem | perf_disable_shared_mem |
vm_prefer_ipv4 | true | | java_net_prefer_ipv4_stack | java_net_prefer_ipv4_stack |
vm_use_numa | true | | | use_numa |
vm_print_heap_histogram_on_out_of_memory_error | true | | | print_heap_histogram_on_out_of_memory_error |
vm_exit_on_out_of_memory_error | true | | | exit_on_out_of_memory_error |
vm_crash_on_out_of_memory_error | true | | | crash_on_out_of_memory_error |
vm_guaranteed_safepoint_interval_ms | 300000 | | | guaranteed-safepoint-interval |
netty_eventloop_maxpendingtasks | 65536 | | | io_netty_eventloop_maxpendingtasks |
netty_try_reflection_set_accessible | true | | | | io_netty_try_reflection_set_accessible
nio_maxcachedbuffersize | "1Mi" | 1048576 | | jdk_nio_maxcachedbuffersize |
nio_align_direct_memory | true | | | page-align-direct-memory |
jdk_allow_attach_self | true | | | | jdk_attach_allow_attach_self
cassandra_available_processors | 0 | | cassandra_available_processors | cassandra_available_processors |
cassandra_metrics_reporter_config_file | "f" | | cassandra_metrics_reporter_config_file | cassandra_metrics_reporter_config_file |
cassandra_ring_delay_ms | 30000 | | cassandra_ring_delay_ms | cassandra_ring_delay_ms |
cassandra_triggers_directory | "d" | | cassandra_triggers_dir | cassandra_triggers_dir |
cassandra_write_survey | true | | cassandra_write_survey | cassandra_write_survey |
cassandra_disable_auth_caches_remote_configuration | true | | cassandra_disable_auth_caches_remote_configuration | cassandra_disable_auth_caches_remote_configuration |
cassandra_force_default_indexing_page_size | true | | cassandra_force_default_indexing_page_size | cassandra_force_default_indexing_page_size |
cassandra_force_3_0_protocol_version | true | | cassandra_force_3_0_protocol_version | |
cassandra_expiration_date_overflow_policy | "" | | | cassandra_expiration_date_overflow_policy |
cassandra_max_hint_ttl_seconds | 1 | | | cassandra_max_hint_ttl |
gc | "ZGC" | | garbage_collector | | garbage_collector
gc_g1_rset_updating_pause_time_percent | 5 | | g1r_set_updating_pause_time_percent | | g1r_set_updating_pause_time_percent
gc_g1_max_gc_pause_ms | 300 | | max_gc_pause_millis | | max_gc_pause_millis
gc_g1_initiating_heap_occupancy_percent | 70 | | initiating_heap_occupancy_percent | | initiating_heap_occupancy_percent
gc_g1_parallel_threads | 4 | | parallel_gc_threads | | parallel_gc_threads
gc_g1_conc_threads | 2 | | conc_gc_threads | | conc_gc_threads
gc_cms_heap_size_young_generation | "100M" | 100000000 | heap_size_young_generation | |
gc_cms_survivor_ratio | 8 | | survivor_ratio | |
gc_cms_max_tenuring_threshold | 1 | | max_tenuring_threshold | |
gc_cms_initiating_occupancy_fraction | 75 | | cms_initiating_occupancy_fraction | |
gc_cms_wait_duration_ms | 10000 | | cms_wait_duration | |
gc_print_details | true | | print_gc_details | |
gc_print_date_stamps | true | | print_gc_date_stamps | |
gc_print_heap | true | | print_heap_at_gc | |
gc_print_tenuring_distribution | true | | print_tenuring_distribution | |
gc_print_application_stopped_time | true | | print_gc_application_stopped_time | |
gc_print_promotion_failure | true | | print_promotion_failure | |
gc_print_flss_statistics | true | | print_flss_statistics | |
gc_print_use_log_file | true | | log_gc | |
gc_print_use_log_file_rotation | true | | use_gc_log_file_rotation | |
gc_print_number_of_log_files | 3 | | number_of_gc_log_files | |
gc_print_log_file_size | "10M" | 10000000 | gc_log_file_size | |
jmx_port | 7199 | | jmx-port | jmx-port |
jmx_connection_type | "local-no-auth" | | jmx-connection-type | jmx-connection-type |
jmx_remote_ssl | true | | jmx-remote-ssl | jmx-remote-ssl |
jmx_remote_ssl_opts | "o" | | jmx-remote-ssl-opts | jmx-remote-ssl-opts |
jmx_remote_ssl_require_client_auth | true | | | jmx-remote-ssl-require-client-auth |
debug_unlock_commercial_features | true | | unlock_commercial_features | unlock_commercial_features |
debug_enable_flight_recorder | true | | flight_recorder | flight_recorder |
debug_listen_remote_debuggers | true | | agent_lib_jdwp | agent_lib_jdwp |
debug_disable_contended_annotations | true | | | restrict-contended |
debug_non_safepoints | true | | | debug-non-safepoints |
debug_unlock_diagnostic_vm_options | true | | | unlock-diagnostic-vm-options |
debug_log_compilation | true | | | log_compilation |
debug_preserve_frame_pointer | true | | | preserve-frame-pointer |
"""
_ROWS = [[cell.strip() for cell in line.split("|")] for line in _OPTIONS.strip().splitlines()]
_SERVERS = [
    ("cassandra", "3.11.14", ("jvm-options", "", "")),
    ("cassandra", "4.0.17", ("", "jvm-server-options", "jvm11-server-options")),
    ("cassandra", "5.0.2", ("", "jvm-server-options", "jvm11-server-options")),
    ("dse", "6.8.25", ("", "jvm-server-options", "jvm8-server-options")),
    ("hcd", "1.0.0", ("", "jvm-server-options", "jvm11-server-options")),
]


def made(server_type: str, version: str, options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    parsed = parse_version(version)
    assert parsed is not None
    return sections(server_type, parsed, msgspec.convert({"gc": None, **options}, JvmOptions))


def test_the_table_has_every_option() -> None:
    named = {row[0] for row in _ROWS}
    others = {"heapSize", "heapNewGenSize"} | {
        field for field in JvmOptions.__struct_encode_fields__ if "dditional" in field
    }
    assert named | others == set(JvmOptions.__struct_encode_fields__)


@pytest.mark.parametrize("row", _ROWS, ids=[row[0] for row in _ROWS])
@pytest.mark.parametrize(("server_type", "version", "names"), _SERVERS, ids=[f"{row[0]}-{row[1]}" for row in _SERVERS])
def test_an_option_stands_in_its_section(
    row: list[str], server_type: str, version: str, names: tuple[str, str, str]
) -> None:
    option, given, other, *keys = row
    value = msgspec.json.decode(given)
    rendered = msgspec.json.decode(other) if other else value
    expected = {name: {key: rendered} for name, key in zip(names, keys, strict=True) if name and key}
    assert expected == made(server_type, version, {option: value})


def test_the_garbage_collector_is_g1_where_nothing_is_said() -> None:
    assert spec_of(cluster(config={"jvmOptions": {}}))["config"]["jvm11-server-options"] == {
        "garbage_collector": "G1GC"
    }
    assert "jvm11-server-options" not in spec_of(cluster(config={}))["config"]


def test_a_quantity_that_is_not_whole_is_a_float() -> None:
    assert made("cassandra", "4.0.17", {"heap_max_size": "1500m"}) == {"jvm-server-options": {"max_heap_size": 1.5}}


@pytest.mark.parametrize("server_type", ["cassandra", "dse", "hcd"])
def test_a_pre_release_has_no_section_at_all(server_type: str) -> None:
    parsed = parse_version("7.0.0-beta1")
    assert parsed is not None
    assert sections(server_type, parsed, JvmOptions(heap_max_size="1Gi", additional_options=["-Da"]), ["-Db"]) == {}


def test_deprecated_heap_sizes_fill_what_is_absent() -> None:
    heap = {"heapSize": "1Ki", "heapNewGenSize": "2Ki", "heap_max_size": "3Ki"}
    expected = {"initial_heap_size": 1024, "max_heap_size": 3072, "heap_size_young_generation": 2048}
    assert made("cassandra", "3.11.14", heap) == {"jvm-options": expected}


def test_additional_options_go_to_their_files_whatever_the_version() -> None:
    options = {
        "additionalOptions": ["-Da"],
        "additionalJvm11ServerOptions": ["-Db"],
        "additionalJvm8ServerOptions": ["-Dc"],
        "additionalJvmServerOptions": ["-Dd"],
    }
    assert made("cassandra", "3.0.20", options) == {
        "cassandra-env-sh": {"additional-jvm-opts": ["-Da"]},
        "jvm11-server-options": {"additional-jvm-opts": ["-Db"]},
        "jvm8-server-options": {"additional-jvm-opts": ["-Dc"]},
        "jvm-server-options": {"additional-jvm-opts": ["-Dd"]},
    }


def test_an_empty_list_of_options_is_written() -> None:
    empty = {"additionalOptions": [], "additionalJvmServerOptions": []}
    assert made("dse", "6.8.25", empty) == {
        "cassandra-env-sh": {"additional-jvm-opts": []},
        "jvm-server-options": {"additional-jvm-opts": []},
    }


def test_our_options_come_before_the_users_and_only_once() -> None:
    ours = "-Dcassandra.allow_alter_rf_during_range_movement=true"
    replication = "-Dcassandra.system_distributed_replication=dc1:3"
    first = spec_of(cluster(config={"jvmOptions": {"additionalOptions": ["-Da", "-Db"]}}))
    assert first["config"]["cassandra-env-sh"]["additional-jvm-opts"] == [ours, replication, "-Da", "-Db"]
    twice = spec_of(cluster(config={"jvmOptions": {"additionalOptions": ["-Da", ours]}}))
    assert twice["config"]["cassandra-env-sh"]["additional-jvm-opts"] == [replication, "-Da", ours]
