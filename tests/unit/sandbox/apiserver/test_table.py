"""Tables and JSONPath."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controller.kube.transport import Request, Response
from controller.sandbox.apiserver import ApiServer, jsonpath
from tests.unit.sandbox.apiserver.conftest import Asker, SetClock, thing, thing_crd

OBJECT: dict[str, Any] = {
    "spec": {"list": [{"type": "Ready", "ok": True, "n": 1}, {"type": "Late", "n": 2}], "a.b": {"c": 3}},
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (".spec.list[0].type", ["Ready"]),
        ("{.spec.list[1].n}", [2]),
        (".spec.list[-1].n", [2]),
        (".spec.list[*].n", [1, 2]),
        ('.spec.list[?(@.type=="Ready")].n', [1]),
        (".spec.list[?(@.type=='Late')].n", [2]),
        (".spec.list[?(@.ok==true)].n", [1]),
        ('.spec.list[?(@.type!="Ready")].n', [2]),
        (r".spec.a\.b.c", [3]),
        (".spec['a.b'].c", [3]),
        (".spec.absent.deeper", []),
        (".spec.list[7].n", []),
    ],
)
def test_a_path_finds_what_is_there(path: str, expected: list[Any]) -> None:
    assert expected == jsonpath.find(OBJECT, path)


def table(server: ApiServer, path: str, **query: str) -> dict[str, Any]:
    accept = (("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"),)
    request = Request(method="GET", path=path, headers=accept, query=tuple(query.items()))
    answer = server.handle(request, token=server.admin_token)
    assert isinstance(answer, Response)
    found: dict[str, Any] = json.loads(answer.body)
    return found


def test_a_custom_kind_shows_its_columns(server: ApiServer, ask: Asker, clock: SetClock) -> None:
    columns = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Mode", "type": "string", "jsonPath": ".spec.mode", "priority": 1},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    definition = thing_crd(additionalPrinterColumns=columns)
    ask.ok("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    ask.ok("POST", "/apis/example.com/v1/namespaces/default/things", thing("x", spec={"size": 5}))
    clock.advance(minutes=4)
    found = table(server, "/apis/example.com/v1/namespaces/default/things")
    assert [column["name"] for column in found["columnDefinitions"]] == ["Name", "Size", "Mode", "Age"]
    assert found["rows"][0]["cells"] == ["x", 5, "plain", "4m"]
    assert found["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


def test_a_table_carries_as_much_of_the_object_as_was_asked_for(server: ApiServer, ask: Asker) -> None:
    ask.ok("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "x"}, "data": {"a": "b"}})
    path = "/api/v1/namespaces/default/configmaps"
    assert table(server, path, includeObject="Object")["rows"][0]["object"]["data"] == {"a": "b"}
    assert "object" not in table(server, path, includeObject="None")["rows"][0]
