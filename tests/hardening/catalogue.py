"""What the hardening suite has to prove, by number: a letter for the kind of input, and where it is proven.

C: ClientConfigs. S: their Secrets. K: kubeconfigs as users break them. H: kubeconfigs as attackers make them.
R: remote API servers. D: K8ssandraClusters. P: ReplicatedSecrets. Z: the security checklist.
Most are proven in this folder, by a test or a row of a table that begins with the number; the others where
``ELSEWHERE`` says.
"""

from __future__ import annotations

from typing import Final

NUMBERS: Final = {"C": 18, "S": 14, "K": 24, "H": 26, "R": 16, "D": 26, "P": 10, "Z": 20}

_KUBE: Final = "tests/unit/kube/test_"
_FLEET: Final = "tests/unit/fleet/test_"
ELSEWHERE: Final[dict[str, tuple[str, ...]]] = {
    "D21": (
        "tests/unit/cassandra/test_sources.py::test_d21_a_superuser_secret_with_other_keys_is_said_and_not_replicated",
    ),
    "P07": ("tests/unit/replication/test_unusual.py::test_a_copy_that_somebody_made_immutable_is_replaced",),
    "P08": (
        "tests/unit/replication/test_reconcile.py::"
        "test_deletion_waits_for_copies_of_a_target_that_was_removed_while_its_cluster_was_away",
    ),
    "Z04": (
        f"{_KUBE}tls.py::test_verification_is_always_on",
        f"{_KUBE}tls.py::test_a_server_that_speaks_only_old_tls_is_refused",
        "tests/unit/test_seams.py::test_a_module_keeps_to_the_seams",
    ),
    "Z05": (f"{_KUBE}aiohttp_transport.py::test_redirects_are_not_followed",),
    "Z06": (
        f"{_KUBE}aiohttp_transport.py::test_proxies_of_the_environment_are_not_used",
        f"{_KUBE}aiohttp_transport.py::test_netrc_is_not_read",
        f"{_KUBE}kubeconfig.py::test_other_proxies_are_refused",
    ),
    "Z07": (f"{_KUBE}aiohttp_transport.py::test_cookies_are_not_sent_back",),
    "Z08": (
        f"{_KUBE}aiohttp_transport.py::test_a_server_that_answers_byte_by_byte_meets_the_deadline",
        f"{_KUBE}aiohttp_transport.py::test_a_silent_stream_is_noticed",
        f"{_KUBE}aiohttp_transport.py::test_bytes_that_make_no_line_are_silence",
    ),
    "Z09": (
        f"{_KUBE}aiohttp_transport.py::test_a_body_over_the_cap_is_given_up",
        f"{_KUBE}aiohttp_transport.py::test_a_compressed_answer_is_refused",
        "tests/unit/engine/test_reflector.py::test_a_list_of_empty_pages_that_never_ends_is_given_up",
    ),
    "Z13": (
        f"{_KUBE}own_credentials.py::test_the_token_of_a_pod_is_read_again_every_minute",
        f"{_KUBE}own_credentials.py::test_the_token_of_a_pod_is_read_again_when_rejected",
    ),
    "Z16": (
        f"{_FLEET}registration.py::test_a_bound_token_is_asked_for_and_its_end_is_told",
        f"{_FLEET}renewal.py::test_a_token_is_renewed_before_a_fifth_of_its_life_is_left",
        "tests/unit/test_manifests.py::test_register_finds_its_account_and_token_by_default",
    ),
    "Z19": ("tests/hardening/test_secrets.py::test_s12_a_secret_that_is_deleted_ends_the_connection_and_is_forgotten",),
    "Z20": (
        f"{_FLEET}rights.py::test_an_administrators_credentials_are_too_much",
        f"{_FLEET}rights.py::test_a_verb_that_is_missing_is_named_exactly",
        f"{_FLEET}rights.py::test_what_is_needed_is_what_the_manifests_grant",
    ),
    "Z17": (f"{_FLEET}renewal.py::test_without_the_flag_nothing_is_renewed_and_people_are_warned",),
}
# Of the rest of the checklist: what is about roles, the pod and what is said.
_MANIFESTS: Final = "tests/unit/test_manifests.py::test_"
FURTHER: Final[dict[str, tuple[str, ...]]] = {
    "Z21": (f"{_MANIFESTS}no_role_has_wildcards_or_ways_to_more_rights",),
    "Z22": (f"{_MANIFESTS}without_it_nothing_is_cluster_wide_but_the_look_at_one_namespace",),
    "Z23": (f"{_MANIFESTS}the_control_planes_role_is_exactly_what_is_called_there",),
    "Z24": (
        f"{_MANIFESTS}no_role_has_wildcards_or_ways_to_more_rights",
        f"{_MANIFESTS}an_account_may_renew_its_own_token_and_no_other",
    ),
    "Z25": (f"{_MANIFESTS}the_data_planes_role_is_exactly_what_is_called_there",),
    "Z27": (f"{_MANIFESTS}the_control_planes_role_is_exactly_what_is_called_there",),
    "Z28": (
        f"{_MANIFESTS}the_token_is_projected_and_lasts_an_hour",
        f"{_MANIFESTS}no_pod_gets_an_accounts_token_by_itself",
    ),
    "Z31": (f"{_KUBE}aiohttp_transport.py::test_nothing_of_the_credentials_is_in_an_error",),
    "Z38": ("tests/hardening/test_client_configs.py::test_c09_a_secret_is_named_in_its_own_namespace_only",),
    "Z39": ("tests/unit/test_supervisor.py::test_only_watched_namespaces_are_looked_at",),
    "Z40": ("tests/unit/cassandra/test_routing.py::test_labels_in_a_context_that_is_not_named_concern_nobody",),
    "Z43": ("tests/hardening/test_clusters.py::test_p06_p09_foreign_secrets_and_kubeconfigs_stay_where_they_are",),
    "Z45": (
        "tests/integration/test_definition_rules.py::test_what_is_wrong_is_refused_without_a_webhook",
        "tests/unit/cassandra/test_render_any_input.py::test_anything_anywhere_is_unreadable_wrong_or_rendered",
    ),
    "Z46": (
        "tests/integration/test_webhook.py::test_a_webhook_that_is_down_blocks_no_deletion",
        "tests/integration/test_webhook.py::test_finalizers_status_and_deletion_of_a_bad_object_are_not_blocked",
        "tests/unit/test_webhook_manifests.py::test_neither_deletion_nor_status_is_ever_asked_about",
    ),
    "Z49": (f"{_MANIFESTS}nothing_can_be_written_in_the_pod",),
    "Z50": (f"{_MANIFESTS}the_pod_is_restricted",),
    "Z57": ("tests/unit/test_seams.py::test_a_module_keeps_to_the_seams",),
}

UNPROVEN: Final[dict[str, str]] = {}
