"""The table of core types against what a server publishes of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from controller.cassandra.render.core_types import TABLE, fields
from controller.kube.client import Client
from tests.servers import servers

pytestmark = pytest.mark.real

Json = dict[str, Any]
_SCALARS = {"string": "str", "boolean": "bool"}


@pytest_asyncio.fixture(loop_scope="session")
async def published(server_kind: str) -> AsyncIterator[dict[str, Json]]:
    """The schemas of the core group by the names of their types."""
    async with servers(server_kind) as (server,):
        client = Client(server.transport())
        found = msgspec.json.decode(await client.raw("GET", "/openapi/v3/api/v1"))
        await client.close()
        yield {name.rsplit(".", 1)[1]: schema for name, schema in found["components"]["schemas"].items()}


def kind(schema: Json) -> str:
    """The notation of the table for a published schema."""
    schema = {**schema, **(schema.get("allOf") or [{}])[0]}
    if reference := schema.get("$ref"):
        name: str = reference.rsplit(".", 1)[1]
        return {"Quantity": "quantity", "IntOrString": "intstr", "ObjectMeta": "map"}.get(name, name)
    match schema["type"]:
        case "integer":
            return str(schema.get("format", "int64"))
        case "array":
            inner = f"[{kind(schema['items'])}]"
            match schema.get("x-kubernetes-list-type"):
                case "map":
                    return f"{inner}@{','.join(schema['x-kubernetes-list-map-keys'])}"
                case "set":
                    return f"{inner}@"
            return inner
        case "object":
            values = schema.get("additionalProperties")
            return f"{{{kind(values)}}}" if values else "map"
    return _SCALARS[schema["type"]]


async def test_the_table_says_what_the_server_says(published: dict[str, Json]) -> None:
    names = [line.split()[0] for line in TABLE.strip().replace("\n  ", " ").split("\n")]
    assert len(names) == 95
    for name in names:
        schema = published[name]
        required = set(schema.get("required", ()))
        expected = {field: (kind(inner), field in required) for field, inner in schema["properties"].items()}
        ours = fields(name)
        # A newer server may have newer fields; what we know of has to be as it says.
        assert {field: expected.get(field) for field in ours} == ours, name
