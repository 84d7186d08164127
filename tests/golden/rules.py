"""The reference's rules for options, written a second time, on plain maps and with nothing of the product in it.

What a datacenter inherits, which key of which file a JVM option becomes, and how names are made valid.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from typing import Any

# ── what a datacenter inherits ──────────────────────────────────────────────────────────────────────

QUANTITIES = {
    ("mgmtAPIHeap",),
    *(("config", "jvmOptions", name) for name in (
        "heapSize", "heapNewGenSize", "heap_initial_size", "heap_max_size", "vm_per_thread_stack_size",
        "vm_string_table_size", "nio_maxcachedbuffersize", "gc_cms_heap_size_young_generation",
        "gc_print_log_file_size",
    )),
}  # fmt: skip
WHOLE = {("managementApiAuth",)}  # as a whole, where the reference would leave both kinds side by side
PLAIN_BOOLEANS = {"analyticsEnabled", "graphEnabled", "searchEnabled", "stdin", "stdinOnce", "tty", "readOnly"}
KEYED = {"containers": "name", "initContainers": "name", "env": "name", "ports": "containerPort",
         "volumeMounts": "mountPath", "volumeDevices": "devicePath", "racks": "name"}  # fmt: skip
HANDLERS = {"exec", "httpGet", "tcpSocket", "grpc", "sleep"}


def merged(cluster: Any, own: Any, path: tuple[str, ...] = ()) -> Any:
    """The cluster's value and the datacenter's; ``path``: where in the options they stand."""
    if own is None or cluster is None:
        return cluster if own is None else own
    last = path[-1] if path else ""
    if path in QUANTITIES or path in WHOLE or (len(path) > 1 and path[-2] in ("limits", "requests")):
        return own
    if isinstance(cluster, dict) and isinstance(own, dict):
        return own if last in ("volumeSource", "valueFrom") else _maps(cluster, own, path)
    if isinstance(cluster, list) and isinstance(own, list):
        key = KEYED.get(last)
        if path[:1] == ("config",) or path[:2] == ("storageConfig", "additionalVolumes"):
            key = None
        elif path in {("extraVolumes", "volumes"), ("extraVolumes", "pvcs")}:
            key = "name"
        return _keyed(cluster, own, key, path) if key and own else own
    if type(cluster) is not type(own) and not {type(cluster), type(own)} <= {int, float}:
        return own
    in_file = path[:2] in {("config", "cassandraYaml"), ("config", "dseYaml")}
    if isinstance(own, bool):
        return own or (cluster if in_file or last in PLAIN_BOOLEANS else own)
    return own if own not in (0, "") else cluster


def _maps(cluster: dict[str, Any], own: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    both = {key: merged(cluster.get(key), own.get(key), (*path, key)) for key in cluster | own}
    if HANDLERS & own.keys():  # a probe has one handler
        both = {key: value for key, value in both.items() if key not in HANDLERS - own.keys()}
    return both


def _keyed(cluster: list[Any], own: list[Any], key: str, path: tuple[str, ...]) -> list[Any]:
    mine = {entry[key]: entry for entry in own}
    both = [_elements(entry, mine.pop(entry[key], None), path) for entry in cluster]
    return both + list(mine.values())


def _elements(cluster: dict[str, Any], own: dict[str, Any] | None, path: tuple[str, ...]) -> dict[str, Any]:
    if own is None:
        return cluster
    if path[-2:] == ("extraVolumes", "volumes") and own.keys() - {"name"}:
        return own  # the source is one whole
    both = _maps(cluster, own, path)
    if path[-1] == "env" and {"value", "valueFrom"} <= both.keys():  # one of them; an empty value says nothing
        both.pop("value" if own.get("valueFrom") or not both["value"] else "valueFrom")
    return both


# ── JVM options ─────────────────────────────────────────────────────────────────────────────────────

# option, then the key: "3" in jvm-options of Cassandra 3.11, "s" in jvm-server-options, "j" by Java version.
_JVM = """
heap_initial_size 3s:initial_heap_size; heap_max_size 3s:max_heap_size; vm_enable_assertions 3s:enable_assertions
vm_enable_thread_priorities 3s:use_thread_priorities; vm_enable_non_root_thread_priority 3:thread_priority_policy_42
vm_heap_dump_on_out_of_memory_error 3s:heap_dump_on_out_of_memory_error
vm_per_thread_stack_size 3s:per_thread_stack_size; vm_string_table_size 3s:string_table_size
vm_always_pre_touch 3s:always_pre_touch; vm_disable_biased_locking 3:use_biased_locking s:use-biased-locking
vm_use_tlab 3s:use_tlb; vm_resize_tlab 3s:resize_tlb; vm_disable_perf_shared_mem 3s:perf_disable_shared_mem
vm_prefer_ipv4 3s:java_net_prefer_ipv4_stack; vm_use_numa s:use_numa
vm_print_heap_histogram_on_out_of_memory_error s:print_heap_histogram_on_out_of_memory_error
vm_exit_on_out_of_memory_error s:exit_on_out_of_memory_error
vm_crash_on_out_of_memory_error s:crash_on_out_of_memory_error
vm_guaranteed_safepoint_interval_ms s:guaranteed-safepoint-interval
netty_eventloop_maxpendingtasks s:io_netty_eventloop_maxpendingtasks
netty_try_reflection_set_accessible j:io_netty_try_reflection_set_accessible
nio_maxcachedbuffersize s:jdk_nio_maxcachedbuffersize; nio_align_direct_memory s:page-align-direct-memory
jdk_allow_attach_self j:jdk_attach_allow_attach_self; cassandra_available_processors 3s:=
cassandra_metrics_reporter_config_file 3s:=; cassandra_ring_delay_ms 3s:=; cassandra_write_survey 3s:=
cassandra_disable_auth_caches_remote_configuration 3s:=; cassandra_force_default_indexing_page_size 3s:=
cassandra_triggers_directory 3s:cassandra_triggers_dir; cassandra_force_3_0_protocol_version 3:=
cassandra_expiration_date_overflow_policy s:=; cassandra_max_hint_ttl_seconds s:cassandra_max_hint_ttl
gc 3j:garbage_collector; gc_g1_rset_updating_pause_time_percent 3j:g1r_set_updating_pause_time_percent
gc_g1_max_gc_pause_ms 3j:max_gc_pause_millis
gc_g1_initiating_heap_occupancy_percent 3j:initiating_heap_occupancy_percent
gc_g1_parallel_threads 3j:parallel_gc_threads; gc_g1_conc_threads 3j:conc_gc_threads
gc_cms_heap_size_young_generation 3:heap_size_young_generation; gc_cms_survivor_ratio 3:survivor_ratio
gc_cms_max_tenuring_threshold 3:max_tenuring_threshold
gc_cms_initiating_occupancy_fraction 3:cms_initiating_occupancy_fraction; gc_cms_wait_duration_ms 3:cms_wait_duration
gc_print_details 3:print_gc_details; gc_print_date_stamps 3:print_gc_date_stamps; gc_print_heap 3:print_heap_at_gc
gc_print_tenuring_distribution 3:print_tenuring_distribution
gc_print_application_stopped_time 3:print_gc_application_stopped_time
gc_print_promotion_failure 3:print_promotion_failure; gc_print_flss_statistics 3:print_flss_statistics
gc_print_use_log_file 3:log_gc; gc_print_use_log_file_rotation 3:use_gc_log_file_rotation
gc_print_number_of_log_files 3:number_of_gc_log_files; gc_print_log_file_size 3:gc_log_file_size
jmx_port 3s:jmx-port; jmx_connection_type 3s:jmx-connection-type; jmx_remote_ssl 3s:jmx-remote-ssl
jmx_remote_ssl_opts 3s:jmx-remote-ssl-opts; jmx_remote_ssl_require_client_auth s:jmx-remote-ssl-require-client-auth
debug_unlock_commercial_features 3s:unlock_commercial_features; debug_enable_flight_recorder 3s:flight_recorder
debug_listen_remote_debuggers 3s:agent_lib_jdwp; debug_disable_contended_annotations s:restrict-contended
debug_non_safepoints s:debug-non-safepoints; debug_unlock_diagnostic_vm_options s:unlock-diagnostic-vm-options
debug_log_compilation s:log_compilation; debug_preserve_frame_pointer s:preserve-frame-pointer
"""
_SUFFIXES = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SECTIONS = {
    ("cassandra", 3): {"3": "jvm-options"},
    ("cassandra", 4): {"s": "jvm-server-options", "j": "jvm11-server-options"},
    ("cassandra", 5): {"s": "jvm-server-options", "j": "jvm11-server-options"},
    ("hcd", 1): {"s": "jvm-server-options", "j": "jvm11-server-options"},
    ("dse", 6): {"s": "jvm-server-options", "j": "jvm8-server-options"},
}


def quantity(value: Any) -> Decimal:
    number, suffix = re.fullmatch(r"([-+.0-9]+)([A-Za-z]*)", str(value)).groups()  # type: ignore[union-attr]
    return Decimal(number) * (Decimal(1) / 1000 if suffix == "m" else _SUFFIXES.get(suffix, 1))


def whole(value: Any) -> int:
    """Bytes, rounded up."""
    return int(quantity(value).to_integral_value(ROUND_CEILING))


def jvm_sections(server_type: str, version: str, options: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Everything but cassandra-env-sh."""
    found: dict[str, dict[str, Any]] = {}
    if "-" in version or options is None:
        return found
    options = dict(options)
    for new, old in (("heap_initial_size", "heapSize"), ("heap_max_size", "heapSize"),
                     ("gc_cms_heap_size_young_generation", "heapNewGenSize")):  # fmt: skip
        if options.get(new) is None and options.get(old) is not None:
            options[new] = options[old]
    sections = _SECTIONS[server_type, int(version.split(".")[0])]
    for line in re.split(r"[;\n]", _JVM.strip()):
        option, *keys = line.split()
        if (value := options.get(option)) is None:
            continue
        if ("config", "jvmOptions", option) in QUANTITIES:
            exact = quantity(value)
            value = int(exact) if exact == exact.to_integral_value() else float(exact)
        for places, key in (entry.split(":") for entry in keys):
            for place in places:
                if place in sections:
                    found.setdefault(sections[place], {})[option if key == "=" else key] = value
    for option, section in (("additionalJvm11ServerOptions", "jvm11-server-options"),
                            ("additionalJvm8ServerOptions", "jvm8-server-options"),
                            ("additionalJvmServerOptions", "jvm-server-options")):  # fmt: skip
        if options.get(option) is not None:
            found.setdefault(section, {})["additional-jvm-opts"] = options[option]
    return found


# ── names ───────────────────────────────────────────────────────────────────────────────────────────


def c35(name: str) -> str:
    """A name as cass-operator makes it valid for a Service."""
    if len(name) <= 63 and re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name):
        return name
    return "".join(part.group() for part in re.finditer(r"[a-z]([-a-z0-9]*[a-z0-9])?", name.lower().replace("_", "-")))


def rack_name(name: str) -> str:
    pattern = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
    if re.fullmatch(pattern, name):
        return name
    return "".join(part.group() for part in re.finditer(pattern, name.lower().replace("_", "-")))
