from __future__ import annotations

import resource
import sys
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from controller.fleet import limits


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def lower(soft: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_limit_is_raised_as_far_as_it_goes() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lower(200)
    assert limits.raise_open_files() == (sys.maxsize if hard == resource.RLIM_INFINITY else hard)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)


def test_a_system_that_refuses_leaves_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    lower(200)

    def refuse(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    found = limits.raise_open_files()
    monkeypatch.undo()
    assert found == 200


def test_no_limit_is_endless(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda _: endless)
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    assert limits.raise_open_files() == sys.maxsize
    assert not limits.say_if_too_low(10_000, 9)


def test_each_cluster_needs_its_watches_its_requests_and_its_probes() -> None:
    assert limits.open_files_needed(0, 9) == 64
    assert limits.open_files_needed(1, 9) == 64 + 9 + 10 + 2
    assert limits.open_files_needed(201, 9) == 64 + 201 * 21


def test_enough_is_not_mentioned() -> None:
    lower(limits.open_files_needed(4, 9))
    with capture_logs() as said:
        assert not limits.say_if_too_low(3, 9)
    assert said == []


def test_too_few_are_said_with_the_numbers() -> None:
    lower(256)
    with capture_logs() as said:
        assert limits.say_if_too_low(50, 9)
    [entry] = said
    assert entry["log_level"] == "warning"
    assert "ulimit -n" in entry["event"]
    assert (entry["limit"], entry["needed"], entry["client_configs"]) == (256, 64 + 51 * 21, 50)
