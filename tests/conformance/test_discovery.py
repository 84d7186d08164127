"""What a server tells about itself: version, health, groups, kinds and schemas."""

from __future__ import annotations

import re

from tests.conformance.api import Api, ok, refused
from tests.conformance.kinds import GADGETS, GROUP


async def test_version(api: Api) -> None:
    version = ok(await api.call("GET", "/version"))
    assert re.fullmatch(r"v1\.\d+\.\d+\S*", version["gitVersion"])
    assert version["major"] == "1"
    assert version["platform"]


async def test_health(api: Api) -> None:
    for path in ("/healthz", "/readyz", "/livez"):
        answer = await api.call("GET", path)
        assert (answer.status, answer.body) == (200, "ok")


async def test_the_core_group_lists_its_kinds(api: Api) -> None:
    kinds = ok(await api.call("GET", "/api/v1"))
    assert (kinds["kind"], kinds["groupVersion"]) == ("APIResourceList", "v1")
    (config_maps,) = (r for r in kinds["resources"] if r["name"] == "configmaps")
    assert (config_maps["kind"], config_maps["namespaced"]) == ("ConfigMap", True)
    assert {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"} == set(
        config_maps["verbs"]
    )
    assert config_maps["shortNames"] == ["cm"]
    (namespaces,) = (r for r in kinds["resources"] if r["name"] == "namespaces")
    assert namespaces["namespaced"] is False


async def test_groups_are_listed_with_their_preferred_version(api: Api) -> None:
    groups = {group["name"]: group for group in ok(await api.call("GET", "/apis"))["groups"]}
    for name in ("apps", "apiextensions.k8s.io", "coordination.k8s.io", "discovery.k8s.io", GROUP):
        assert groups[name]["preferredVersion"]["groupVersion"] == f"{name}/v1"


async def test_the_core_group_lists_its_versions(api: Api) -> None:
    assert ok(await api.call("GET", "/api"))["versions"] == ["v1"]


async def test_a_group_lists_its_versions(api: Api) -> None:
    group = ok(await api.call("GET", f"/apis/{GROUP}"))
    assert (group["kind"], group["name"]) == ("APIGroup", GROUP)
    assert group["versions"] == [{"groupVersion": f"{GROUP}/v1", "version": "v1"}]


async def test_custom_kinds_are_listed_with_their_subresources(api: Api) -> None:
    kinds = ok(await api.call("GET", f"/apis/{GROUP}/v1"))["resources"]
    found = {kind["name"]: (kind["kind"], kind["singularName"]) for kind in kinds}
    assert found == {
        "widgets": ("Widget", "widget"),
        "widgets/status": ("Widget", ""),
        "gadgets": ("Gadget", "gadget"),
    }
    (status,) = (kind for kind in kinds if kind["name"] == "widgets/status")
    assert set(status["verbs"]) == {"get", "patch", "update"}


async def test_an_absent_group_or_version_is_not_found(api: Api) -> None:
    for path in ("/apis/absent.example.com", "/apis/absent.example.com/v1", f"{GADGETS.group_path}alpha1"):
        assert (await api.call("GET", path)).status == 404


async def test_a_resource_of_an_absent_kind_is_not_found(api: Api) -> None:
    answer = await api.call("GET", f"/apis/{GROUP}/v1/namespaces/{api.namespace}/gizmos")
    assert answer.status == 404


async def test_schemas_are_published_by_group(api: Api) -> None:
    paths = ok(await api.call("GET", "/openapi/v3"))["paths"]
    assert f"apis/{GROUP}/v1" in paths
    schema = ok(await api.call("GET", f"/openapi/v3/apis/{GROUP}/v1"))
    assert any(name.endswith(".Widget") for name in schema["components"]["schemas"])


async def test_an_unknown_path_is_not_found(api: Api) -> None:
    assert (await api.call("GET", "/nothing/here")).status == 404


async def test_an_object_below_an_absent_kind_is_not_found(api: Api) -> None:
    answer = await api.call("GET", f"/api/v1/namespaces/{api.namespace}/gizmos/it")
    refused(404, "NotFound", answer)
