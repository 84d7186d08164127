"""The protobuf that kubectl sends."""

from __future__ import annotations

import pytest

from controller.sandbox.apiserver import protobuf


def field(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return bytes([number << 3]) + varint(content)
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def message(kind: str, *content: bytes, version: str = "v1") -> bytes:
    head = field(1, version.encode()) + field(2, kind.encode())
    return protobuf.MAGIC + field(1, head) + field(2, b"".join(content))


def test_a_secret_is_read() -> None:
    metadata = field(1, b"it") + field(3, b"ns") + field(11, field(1, b"app") + field(2, b"x"))
    body = message("Secret", field(1, metadata), field(2, field(1, b"key") + field(2, b"\x00\xff")), field(5, 1))
    assert protobuf.read(body) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "it", "namespace": "ns", "labels": {"app": "x"}},
        "data": {"key": "AP8="},
        "immutable": True,
    }


def test_ports_by_number_and_by_name_are_told_apart() -> None:
    ports = field(1, field(3, 80) + field(4, field(1, 0) + field(2, 8080)))
    ports += field(1, field(3, 443) + field(4, field(1, 1) + field(3, b"https")))
    found = protobuf.read(message("Service", field(2, ports)))
    assert found is not None
    assert found["spec"]["ports"] == [{"port": 80, "targetPort": 8080}, {"port": 443, "targetPort": "https"}]


def test_unknown_fields_are_passed_over() -> None:
    body = message("ConfigMap", field(15, 7), field(14, b"later"), field(1, field(1, b"it")))
    assert protobuf.read(body) == {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "it"}}


def test_an_unknown_kind_is_none() -> None:
    assert protobuf.read(message("Widget")) is None


CUT = {
    "nothing": b"",
    "json": b"{}",
    "a value": message("Secret")[:-1] + b"\x05",
    "a field": message("Secret", b"\x0a\x7f"),
    "a number": protobuf.MAGIC + b"\x80",
}


@pytest.mark.parametrize("body", CUT.values(), ids=CUT)
def test_what_is_cut_short_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"magic|cut short|wire type|end of"):
        protobuf.read(body)
