"""JVM options of Cassandra, by the name that the API gives them."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from controller.kube.structs import Quantity, Struct, schema

Percent: TypeAlias = Annotated[int, schema(minimum=0, maximum=100)]
GarbageCollector: TypeAlias = Annotated[
    str, schema(enum=["G1GC", "CMS", "ZGC", "Shenandoah", "Graal", "Custom"], default="G1GC")
]


_CAMEL = {
    "heap_size": "heapSize",
    "heap_new_gen_size": "heapNewGenSize",
    "additional_options": "additionalOptions",
    "additional_jvm11_server_options": "additionalJvm11ServerOptions",
    "additional_jvm8_server_options": "additionalJvm8ServerOptions",
    "additional_jvm_server_options": "additionalJvmServerOptions",
}


class JvmOptions(Struct, frozen=True, kw_only=True, rename=_CAMEL):
    """Options of the JVM that runs Cassandra. What a version does not know is left out for it."""

    # ── memory ──────────────────────────────────────────────────────

    heap_size: Quantity | None = None
    """Deprecated: use heap_initial_size and heap_max_size, which it fills when they are absent."""

    heap_initial_size: Quantity | None = None
    """Heap at the start of the JVM (-Xms)."""

    heap_max_size: Quantity | None = None
    """Largest heap (-Xmx)."""

    # ── general ─────────────────────────────────────────────────────

    vm_enable_assertions: bool | None = None
    """Enable assertions (-ea)."""

    vm_enable_thread_priorities: bool | None = None
    """Use thread priorities (-XX:+UseThreadPriorities)."""

    vm_enable_non_root_thread_priority: bool | None = None
    """Lower thread priorities without being root (-XX:ThreadPriorityPolicy=42); Cassandra 3.11."""

    vm_heap_dump_on_out_of_memory_error: bool | None = None
    """Dump the heap when memory runs out (-XX:+HeapDumpOnOutOfMemoryError)."""

    vm_per_thread_stack_size: Quantity | None = None
    """Stack of a thread (-Xss)."""

    vm_string_table_size: Quantity | None = None
    """Size of the table of interned strings (-XX:StringTableSize)."""

    vm_always_pre_touch: bool | None = None
    """Touch all memory at the start (-XX:+AlwaysPreTouch)."""

    vm_disable_biased_locking: bool | None = None
    """Switch biased locking off (-XX:-UseBiasedLocking)."""

    vm_use_tlab: bool | None = None
    """Use thread-local allocation blocks (-XX:+UseTLAB)."""

    vm_resize_tlab: bool | None = None
    """Let thread-local allocation blocks change size (-XX:+ResizeTLAB)."""

    vm_disable_perf_shared_mem: bool | None = None
    """No memory-mapped performance file (-XX:+PerfDisableSharedMem)."""

    vm_prefer_ipv4: bool | None = None
    """Prefer IPv4 (-Djava.net.preferIPv4Stack=true)."""

    vm_use_numa: bool | None = None
    """Use NUMA (-XX:+UseNUMA); Cassandra 4 and newer."""

    vm_print_heap_histogram_on_out_of_memory_error: bool | None = None
    """Print a histogram of the heap when memory runs out; Cassandra 4 and newer."""

    vm_exit_on_out_of_memory_error: bool | None = None
    """Exit when memory runs out (-XX:+ExitOnOutOfMemoryError); Cassandra 4 and newer."""

    vm_crash_on_out_of_memory_error: bool | None = None
    """Crash when memory runs out (-XX:+CrashOnOutOfMemoryError); Cassandra 4 and newer."""

    vm_guaranteed_safepoint_interval_ms: int | None = None
    """Milliseconds between safepoints (-XX:GuaranteedSafepointInterval); Cassandra 4 and newer."""

    netty_eventloop_maxpendingtasks: int | None = None
    """Pending tasks of an event loop (-Dio.netty.eventLoop.maxPendingTasks); Cassandra 4 and newer."""

    netty_try_reflection_set_accessible: bool | None = None
    """-Dio.netty.tryReflectionSetAccessible; Cassandra 4 and newer."""

    nio_maxcachedbuffersize: Quantity | None = None
    """Largest cached direct buffer (-Djdk.nio.maxCachedBufferSize); Cassandra 4 and newer."""

    nio_align_direct_memory: bool | None = None
    """Align direct memory on pages (-Dsun.nio.PageAlignDirectMemory=true); Cassandra 4 and newer."""

    jdk_allow_attach_self: bool | None = None
    """Let the JVM attach to itself (-Djdk.attach.allowAttachSelf=true); Cassandra 4 and newer."""

    # ── cassandra start-up ──────────────────────────────────────────

    cassandra_available_processors: int | None = None
    """Number of processors to count on (-Dcassandra.available_processors)."""

    cassandra_metrics_reporter_config_file: str | None = None
    """File of the metrics reporter (-Dcassandra.metricsReporterConfigFile)."""

    cassandra_ring_delay_ms: int | None = None
    """Milliseconds to wait before joining the ring (-Dcassandra.ring_delay_ms)."""

    cassandra_triggers_directory: str | None = None
    """Directory of trigger archives (-Dcassandra.triggers_dir)."""

    cassandra_write_survey: bool | None = None
    """Join as a write survey node (-Dcassandra.write_survey)."""

    cassandra_disable_auth_caches_remote_configuration: bool | None = None
    """No configuration of authentication caches over JMX."""

    cassandra_force_default_indexing_page_size: bool | None = None
    """No dynamic page size while an index is built."""

    cassandra_force_3_0_protocol_version: bool | None = None
    """-Dcassandra.force_3_0_protocol_version=true; Cassandra 3.11."""

    cassandra_expiration_date_overflow_policy: str | None = None
    """What to do with a TTL beyond the largest date: REJECT, CAP or CAP_NOWARN; Cassandra 4 and newer."""

    cassandra_max_hint_ttl_seconds: int | None = None
    """Longest life of a hint in seconds (-Dcassandra.maxHintTTL); Cassandra 4 and newer."""

    # ── garbage collection ──────────────────────────────────────────

    gc: GarbageCollector | None = "G1GC"
    """The garbage collector. Custom: none is chosen, additional options say all."""

    heap_new_gen_size: Quantity | None = None
    """Deprecated: use gc_cms_heap_size_young_generation, which it fills when that is absent."""

    gc_cms_heap_size_young_generation: Quantity | None = None
    """Size of the young generation (-Xmn); CMS, Cassandra 3.11."""

    gc_cms_survivor_ratio: int | None = None
    """-XX:SurvivorRatio; CMS, Cassandra 3.11."""

    gc_cms_max_tenuring_threshold: int | None = None
    """-XX:MaxTenuringThreshold; CMS, Cassandra 3.11."""

    gc_cms_initiating_occupancy_fraction: Percent | None = None
    """-XX:CMSInitiatingOccupancyFraction; CMS, Cassandra 3.11."""

    gc_cms_wait_duration_ms: int | None = None
    """-XX:CMSWaitDuration; CMS, Cassandra 3.11."""

    gc_g1_rset_updating_pause_time_percent: Percent | None = None
    """-XX:G1RSetUpdatingPauseTimePercent; G1."""

    gc_g1_max_gc_pause_ms: int | None = None
    """-XX:MaxGCPauseMillis; G1."""

    gc_g1_initiating_heap_occupancy_percent: Percent | None = None
    """-XX:InitiatingHeapOccupancyPercent; G1."""

    gc_g1_parallel_threads: int | None = None
    """-XX:ParallelGCThreads; G1."""

    gc_g1_conc_threads: int | None = None
    """-XX:ConcGCThreads; G1."""

    gc_print_details: bool | None = None
    """-XX:+PrintGCDetails; Cassandra 3.11."""

    gc_print_date_stamps: bool | None = None
    """-XX:+PrintGCDateStamps; Cassandra 3.11."""

    gc_print_heap: bool | None = None
    """-XX:+PrintHeapAtGC; Cassandra 3.11."""

    gc_print_tenuring_distribution: bool | None = None
    """-XX:+PrintTenuringDistribution; Cassandra 3.11."""

    gc_print_application_stopped_time: bool | None = None
    """-XX:+PrintGCApplicationStoppedTime; Cassandra 3.11."""

    gc_print_promotion_failure: bool | None = None
    """-XX:+PrintPromotionFailure; Cassandra 3.11."""

    gc_print_flss_statistics: bool | None = None
    """-XX:PrintFLSStatistics=1; Cassandra 3.11."""

    gc_print_use_log_file: bool | None = None
    """Write a log of collections (-Xloggc); Cassandra 3.11."""

    gc_print_use_log_file_rotation: bool | None = None
    """-XX:+UseGCLogFileRotation; Cassandra 3.11."""

    gc_print_number_of_log_files: int | None = None
    """-XX:NumberOfGCLogFiles; Cassandra 3.11."""

    gc_print_log_file_size: Quantity | None = None
    """-XX:GCLogFileSize; Cassandra 3.11."""

    # ── jmx ─────────────────────────────────────────────────────────

    jmx_port: int | None = None
    """Port of JMX, 7199 when absent."""

    jmx_connection_type: str | None = None
    """local-no-auth, remote-no-auth or remote-dse-unified-auth."""

    jmx_remote_ssl: bool | None = None
    """TLS for remote JMX."""

    jmx_remote_ssl_opts: str | None = None
    """TLS options of remote JMX."""

    jmx_remote_ssl_require_client_auth: bool | None = None
    """Client certificates for remote JMX; Cassandra 4 and newer."""

    # ── debugging ───────────────────────────────────────────────────

    debug_unlock_commercial_features: bool | None = None
    """-XX:+UnlockCommercialFeatures."""

    debug_enable_flight_recorder: bool | None = None
    """-XX:+FlightRecorder."""

    debug_listen_remote_debuggers: bool | None = None
    """Listen for debuggers on port 1414."""

    debug_disable_contended_annotations: bool | None = None
    """-XX:-RestrictContended; Cassandra 4 and newer."""

    debug_non_safepoints: bool | None = None
    """-XX:+DebugNonSafepoints; Cassandra 4 and newer."""

    debug_unlock_diagnostic_vm_options: bool | None = None
    """-XX:+UnlockDiagnosticVMOptions; Cassandra 4 and newer."""

    debug_log_compilation: bool | None = None
    """-XX:+LogCompilation; Cassandra 4 and newer."""

    debug_preserve_frame_pointer: bool | None = None
    """-XX:+PreserveFramePointer; Cassandra 4 and newer."""

    # ── anything else ───────────────────────────────────────────────

    additional_options: list[str] | None = None
    """Further options, written to cassandra-env.sh."""

    additional_jvm11_server_options: list[str] | None = None
    """Further options for jvm11-server.options."""

    additional_jvm8_server_options: list[str] | None = None
    """Further options for jvm8-server.options."""

    additional_jvm_server_options: list[str] | None = None
    """Further options for jvm-server.options."""
