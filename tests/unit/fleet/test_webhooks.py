from __future__ import annotations

from typing import Any

import pytest

from controller.fleet.webhooks import Configurations, Service, configurations
from controller.kube.client import Client
from controller.kube.resources import VALIDATING_WEBHOOKS
from controller.sandbox.apiserver import ApiServer, InProcessTransport
from controller.sandbox.apiserver.faults import Fault

pytestmark = pytest.mark.looptime

NAME = "k8ssandra-operator-validating-webhook-configuration"


def configuration(**webhook: Any) -> dict[str, Any]:
    service = {"name": "k8ssandra-operator-webhook-service", "namespace": "k8ssandra-operator", "path": "/validate"}
    return {
        "apiVersion": VALIDATING_WEBHOOKS.api_version,
        "kind": VALIDATING_WEBHOOKS.kind,
        "metadata": {"name": NAME, "labels": {"app.kubernetes.io/name": "k8ssandra-operator"}},
        "webhooks": [
            {
                "name": "vk8ssandracluster.kb.io",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "clientConfig": {"service": service},
                **webhook,
            }
        ],
    }


@pytest.fixture
def server() -> ApiServer:
    return ApiServer()


@pytest.fixture
async def client(server: ApiServer) -> Client:
    found = Client(InProcessTransport(server, server.admin_token))
    await found.create(VALIDATING_WEBHOOKS, "", configuration())
    return found


async def test_a_configuration_says_who_serves_its_webhooks_and_what_happens_without(client: Client) -> None:
    (found,) = await configurations(client)
    assert str(found) == f"ValidatingWebhookConfiguration {NAME}"
    (webhook,) = found.webhooks
    assert (webhook.failure_policy, webhook.service) == (
        "Fail",
        Service("k8ssandra-operator-webhook-service", "k8ssandra-operator"),
    )


async def test_a_webhook_leads_to_its_configuration(client: Client) -> None:
    known = Configurations()
    assert await known.of("east", client, "vk8ssandracluster.kb.io") == f"ValidatingWebhookConfiguration {NAME}"
    assert await known.of("east", client, "other.kb.io") == ""


async def test_who_may_not_look_says_nothing_and_does_not_ask_again_at_once(server: ApiServer, client: Client) -> None:
    server.faults.add(Fault(verb="list", status=403, reason="Forbidden", times=None))
    known = Configurations()
    assert await known.of("east", client, "vk8ssandracluster.kb.io") == ""
    before = server.record.requests()
    assert await known.of("east", client, "vk8ssandracluster.kb.io") == ""
    assert server.record.requests() == before
