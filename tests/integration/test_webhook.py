"""The webhook before API servers: what is wrong is not stored, and nothing is ever stuck because of it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import yaml

from controller.admission.review import answer
from controller.admission.server import PATH
from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from controller.kube import errors
from controller.kube.objects import encode
from controller.kube.resources import Resource
from controller.kube.transport import Request, Response
from tests import manifests
from tests.integration.rig import CONTEXTS, Rig, eventually
from tests.real.process import free_port
from tests.servers import EmbeddedOne
from tests.unit.admission.reviews import encoded
from tests.unit.admission.test_certificate import AUTHORITY, mount, pair, trusting
from tests.unit.cassandra.samples import datacenter, manifest

CONFIGURATIONS: Final = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "ValidatingWebhookConfiguration",
    "validatingwebhookconfigurations",
    namespaced=False,
)
NOWHERE: Final = "kind-nowhere"
DC: Final = "spec.cassandra.datacenters[0]"

Json = dict[str, Any]


def cluster(*datacenters: Json, name: str = "demo", **cassandra: Any) -> Json:
    """A K8ssandraCluster that nothing is made of: its only context is one that is not connected."""
    made = manifest(*(datacenters or (datacenter(k8sContext=""),)), **cassandra)
    return {**made, "metadata": {"name": name}}


@asynccontextmanager
async def webhook(one: Rig, url: str, policy: str = "Fail") -> AsyncIterator[None]:
    """The configuration of ``manifests/``, leading to ``url``, for the namespace of the test; in force on entry."""
    made: Json = yaml.safe_load((manifests.DIRECTORY / "webhook" / "configuration.yaml").read_text())
    made["metadata"]["name"] = one.namespace
    (hook,) = made["webhooks"]
    hook["clientConfig"] = {"url": url, "caBundle": base64.b64encode(AUTHORITY.cert_pem.bytes()).decode()}
    hook["failurePolicy"] = policy
    hook["namespaceSelector"] = {"matchLabels": {"kubernetes.io/metadata.name": one.namespace}}
    live = await one.client().create(CONFIGURATIONS, "", made)
    try:
        yield
    finally:
        await one.client().delete(CONFIGURATIONS, "", one.namespace, uid=live.head.uid)


@asynccontextmanager
async def served(one: Rig, folder: Path) -> AsyncIterator[str]:
    """A controller that only judges, and the address of its webhook."""
    mount(folder, "..1", *pair())
    port = free_port()
    await one.start(workers=0, webhook_address=f"127.0.0.1:{port}", webhook_certificates=str(folder))
    assert one.controller is not None
    controller = one.controller
    await eventually(lambda: _is(not controller.waiting_for()), "the controller is ready")
    url = f"https://127.0.0.1:{port}{PATH}"
    server = one.servers[""]
    if isinstance(server, EmbeddedOne):  # asks in this process what real ones ask over TLS
        assert controller.webhook is not None
        rules = controller.webhook.rules
        server.server.webhooks.reach[url] = lambda body: answer(body, rules).body
    yield url


async def _is(value: bool) -> bool:
    return value


async def refused(one: Rig, obj: Json) -> errors.AdmissionDenied:
    """What an API server says to an object that it does not take, once the webhook is in force."""
    found: list[errors.AdmissionDenied] = []

    async def tried() -> bool:
        response = await post(one, obj, ("dryRun", "All"))
        error = errors.from_response(response) if response.status >= 300 else None
        if isinstance(error, errors.AdmissionDenied):
            found.append(error)
        return bool(found)

    await eventually(tried, "the webhook is in force")
    return found[0]


async def post(one: Rig, obj: Json, *query: tuple[str, str]) -> Response:
    request = Request(
        method="POST",
        path=K8SSANDRA_CLUSTERS.path(one.namespace),
        query=query,
        headers=(("content-type", "application/json"),),
        body=encode(_whole(one, obj)),
    )
    transport = one.servers[""].transport()
    try:
        return await transport.request(request)
    finally:
        await transport.close()


def _whole(one: Rig, obj: Json) -> Json:
    return {**obj, "metadata": {**obj["metadata"], "namespace": one.namespace}}


async def create(one: Rig, obj: Json) -> Json:
    return (await one.client().create(K8SSANDRA_CLUSTERS, one.namespace, obj)).decode(dict[str, Any])


async def merge(one: Rig, patch: Mapping[str, Any], name: str = "demo", **options: Any) -> Json:
    live = await one.client().patch(K8SSANDRA_CLUSTERS, one.namespace, name, patch, kind="merge", **options)
    return live.decode(dict[str, Any])


CROWDED: Final = [{"name": f"r{number}"} for number in range(4)]  # of three pods; no rule in CEL says so
BAD: Final = cluster(datacenter(k8sContext="", racks=CROWDED))


async def test_what_is_wrong_is_not_created(one: Rig, tmp_path: Path) -> None:
    async with served(one, tmp_path) as url, webhook(one, url):
        error = await refused(one, cluster(datacenter("dc1", k8sContext=NOWHERE, racks=CROWDED)))
        assert "admission webhook" in error.message
        assert f"{DC}.racks: has more racks than the datacenter has pods" in error.message
        assert f"{DC}.k8sContext: no ClientConfig names the context {NOWHERE}" in error.message
        unfit = datacenter(k8sContext="", containers=[{"name": "c", "env": [{"value": "1"}]}])
        with pytest.raises(errors.AdmissionDenied, match=r"containers\[0\]\.env\[0\]\.name: is required"):
            await create(one, cluster(unfit))
        await create(one, cluster())


async def test_an_update_that_loses_data_is_refused(one: Rig, tmp_path: Path) -> None:
    async with served(one, tmp_path) as url, webhook(one, url):
        await refused(one, BAD)
        await create(one, cluster())
        renamed = cluster(datacenter("dc2", k8sContext=""))["spec"]
        for change, said in (
            (renamed["cassandra"]["datacenters"], "to rename a datacenter loses its data"),
            ([], "is empty"),
        ):
            with pytest.raises(errors.ApiError, match=said):  # by the definition's own rules
                await merge(one, {"spec": {"cassandra": {"datacenters": change}}})
        with pytest.raises(errors.AdmissionDenied, match="num_tokens: cannot change from 16 to 8"):
            await merge(one, {"spec": {"cassandra": {"config": {"cassandraYaml": {"num_tokens": 8}}}}})
        with pytest.raises(errors.AdmissionDenied, match="clusterName"):
            await merge(one, {"spec": {"cassandra": {"clusterName": "Other"}}})
        with pytest.raises(errors.AdmissionDenied, match="autoupdate-spec"):
            await merge(one, {"metadata": {"annotations": {"k8ssandra.io/autoupdate-spec": "sometimes"}}})
        assert (await merge(one, {"spec": {"cassandra": {"serverVersion": "4.0.18"}}}))["metadata"]["generation"] == 2


async def test_finalizers_status_and_deletion_of_a_bad_object_are_not_blocked(one: Rig, tmp_path: Path) -> None:
    async with served(one, tmp_path) as url:
        held = {**BAD, "metadata": {"name": "demo", "finalizers": ["example.com/held"]}}
        await create(one, held)
        async with webhook(one, url):
            await refused(one, BAD)
            await merge(one, {"metadata": {"labels": {"a": "b"}}})
            await merge(one, {"status": {"error": "something"}}, subresource="status")
            uid = (await one.client().get(K8SSANDRA_CLUSTERS, one.namespace, "demo")).head.uid
            await one.client().delete(K8SSANDRA_CLUSTERS, one.namespace, "demo", uid=uid)
            worse = {"spec": {"cassandra": {"config": {"cassandraYaml": {"num_tokens": 8}}}}}
            await merge(one, worse)  # of an object that is going nothing is judged
            await merge(one, {"metadata": {"finalizers": []}})
            assert await one.get(K8SSANDRA_CLUSTERS, "demo") is None


async def test_a_webhook_that_is_down_blocks_no_deletion(one: Rig) -> None:
    """With failurePolicy Fail nothing can be created; finalizers, labels, status and deletion do not ask it at all."""
    await create(one, {**cluster(), "metadata": {"name": "demo", "finalizers": ["example.com/held"]}})
    async with webhook(one, f"https://127.0.0.1:{free_port()}{PATH}"):

        async def blocked() -> bool:
            try:
                await create(one, cluster(name="other"))
            except errors.ApiError as error:
                assert "failed calling webhook" in error.message  # noqa: PT017
                return True
            uid = (await one.client().get(K8SSANDRA_CLUSTERS, one.namespace, "other")).head.uid
            await one.client().delete(K8SSANDRA_CLUSTERS, one.namespace, "other", uid=uid)
            return False

        await eventually(blocked, "the webhook is in force")
        await merge(one, {"metadata": {"labels": {"a": "b"}}})
        await merge(one, {"status": {"error": "something"}}, subresource="status")
        uid = (await one.client().get(K8SSANDRA_CLUSTERS, one.namespace, "demo")).head.uid
        await one.client().delete(K8SSANDRA_CLUSTERS, one.namespace, "demo", uid=uid)
        await merge(one, {"metadata": {"finalizers": None}})
        assert await one.get(K8SSANDRA_CLUSTERS, "demo") is None


async def test_with_ignore_a_webhook_that_is_down_blocks_nothing(one: Rig) -> None:
    async with webhook(one, f"https://127.0.0.1:{free_port()}{PATH}", policy="Ignore"):
        for number in range(5):
            await create(one, cluster(name=f"demo-{number}"))


async def test_a_new_certificate_is_used_without_a_restart(one: Rig, tmp_path: Path) -> None:
    async with served(one, tmp_path) as url, webhook(one, url):
        await refused(one, BAD)
        mount(tmp_path, "..2", b"not PEM", b"not PEM")
        assert one.controller is not None
        registry = one.controller.metrics.registry
        outcome = "k8ssandra_controller_webhook_certificates_total"
        await eventually(
            lambda: _is(registry.get_sample_value(outcome, {"outcome": "refused"}) == 1), "the bad pair was seen"
        )
        await refused(one, BAD)
        mount(tmp_path, "..3", *pair("again"))
        await eventually(
            lambda: _is(registry.get_sample_value(outcome, {"outcome": "loaded"}) == 2), "the new pair was seen"
        )
        await refused(one, BAD)
        await create(one, cluster())


async def test_the_controller_answers_over_tls(one: Rig, tmp_path: Path) -> None:
    async with served(one, tmp_path) as url, aiohttp.ClientSession() as session:
        obj = _whole(one, cluster(datacenter("dc1", k8sContext=NOWHERE), datacenter("dc2", k8sContext=CONTEXTS[0])))
        response = await session.post(url, data=encoded(obj), ssl=trusting())
        verdict = (await response.json())["response"]
        assert [cause["field"] for cause in verdict["status"]["details"]["causes"]] == [f"{DC}.k8sContext"]


async def test_what_is_not_supported_comes_back_as_a_warning(one: Rig, tmp_path: Path) -> None:
    async with served(one, tmp_path) as url, webhook(one, url):
        await refused(one, BAD)
        made = cluster()
        made["spec"]["medusa"] = {}
        response = await post(one, made)
        assert response.status == 201
        assert "spec.medusa: is not supported by this controller and is ignored" in response.headers["warning"]
