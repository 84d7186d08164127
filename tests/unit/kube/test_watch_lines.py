"""Lines as API servers write them are read in one pass; the result is that of reading them in full."""

from __future__ import annotations

import msgspec
import pytest

from controller.kube.objects import parse
from controller.kube.watch import Change, Failure, Unreadable, decode_line

OBJECT = b'{"apiVersion":"v1","kind":"Thing","metadata":{"name":"a","namespace":"ns","uid":"u","resourceVersion":"7"}}'


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED", "DELETED"])
@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"%s","object":%s}',
        b' {"type":"%s","object":%s}',
        b'{"type": "%s", "object": %s}',
        b'{"type":"%s","object":%s }',
        b'{"type":"%s","object":%s,"more":{}}',
        b'{"type":"%s","object":%s,"more":{"object":{}}}',
    ],
)
def test_however_a_line_is_written_its_object_is_the_same(kind: str, line: bytes) -> None:
    assert decode_line(line % (kind.encode(), OBJECT)) == Change(kind, parse(OBJECT))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "raw", [b'{"metadata":{"name":"a"},"spec":{}}', b'{"spec":{"x":[{}]},"metadata":{"labels":{}}}']
)
def test_the_bytes_are_those_of_the_object_alone(raw: bytes) -> None:
    event = decode_line(b'{"type":"ADDED","object":%s}' % raw)
    assert isinstance(event, Change)
    assert event.object.raw == raw
    assert msgspec.json.decode(raw) == event.object.decode(dict)


@pytest.mark.parametrize("cut", range(1, len(OBJECT) + 26))
def test_a_line_that_was_cut_off_is_a_failure_wherever_it_was_cut(cut: int) -> None:
    assert isinstance(decode_line((b'{"type":"ADDED","object":%s}' % OBJECT)[:-cut]), Failure)


def test_a_type_that_is_named_twice_is_the_last() -> None:
    event = decode_line(b'{"type":"ADDED","object":%s,"type":"DELETED","object":%s}' % (OBJECT, OBJECT))
    assert event == Change("DELETED", parse(OBJECT))


@pytest.mark.parametrize("raw", [b'{"metadata":{"name":5}}', b'{"spec":{}}', b'{"metadata":{"labels":[{}]}}'])
def test_an_object_without_a_readable_head_is_unreadable(raw: bytes) -> None:
    assert isinstance(decode_line(b'{"type":"ADDED","object":%s}' % raw), Unreadable)
