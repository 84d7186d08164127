from __future__ import annotations

import pytest

from controller.settings import IGNORED_ENVIRONMENT, ignored, watch_namespaces


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (None, ()),
        ("", ()),
        ("  ", ()),
        ("a", ("a",)),
        ("a,b", ("a", "b")),
        (" b , a,,b ", ("b", "a")),
        ("a" * 63, ("a" * 63,)),
    ],
)
def test_watch_namespace_is_read_as_the_reference_reads_it(value: str | None, names: tuple[str, ...]) -> None:
    assert watch_namespaces(value) == names


@pytest.mark.parametrize("value", ["A", "a_b", "a.b", "-a", "a-", "a" * 64, "a b", "ok,not ok"])
def test_what_no_namespace_can_be_called_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="is no name of a namespace"):
        watch_namespaces(value)


def test_variables_without_effect_are_named_with_the_reason() -> None:
    environment = {"REQUEUE_DEFAULT_DELAY": "15s", "REQUEUE_LONG_DELAY": "", "PATH": "/bin"}
    assert ignored(environment) == {"REQUEUE_DEFAULT_DELAY": IGNORED_ENVIRONMENT["REQUEUE_DEFAULT_DELAY"]}
