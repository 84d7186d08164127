from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from controller.kube.access import Access
from controller.kube.errors import Forbidden
from controller.observability import logging


@pytest.fixture(autouse=True)
def _defaults() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def logged(log_format: Any, write: Any, level: Any = "info") -> str:
    out = io.StringIO()
    logging.configure(log_format, level, out)
    write(structlog.get_logger("x"))
    return out.getvalue()


def test_an_event_is_one_line_of_json() -> None:
    text = logged(
        "json", lambda log: log.warning("it\nhappened", cluster="east", kind="Secret", namespace="ns", name="a")
    )
    found = json.loads(text)
    assert text.count("\n") == 1
    assert found.pop("timestamp").endswith("Z")
    assert found == {
        "event": "it\nhappened",
        "level": "warning",
        "cluster": "east",
        "kind": "Secret",
        "namespace": "ns",
        "name": "a",
    }


def test_what_is_bound_is_in_every_event() -> None:
    with structlog.contextvars.bound_contextvars(cluster="east"):
        assert json.loads(logged("json", lambda log: log.info("x")))["cluster"] == "east"


@pytest.mark.parametrize(("level", "lines"), [("debug", 2), ("info", 1), ("warning", 0)])
def test_the_level_is_kept(level: str, lines: int) -> None:
    def write(log: Any) -> None:
        log.debug("a")
        log.info("b")

    assert logged("json", write, level).count("\n") == lines


def test_any_value_can_be_logged() -> None:
    text = logged("json", lambda log: log.info("x", error=Forbidden(403, "Forbidden"), data=b"\xff", more={1: object}))
    assert json.loads(text)["error"] == "403 Forbidden"


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_an_exception_shows_no_local_variables_and_no_credentials(log_format: str) -> None:
    def write(log: Any) -> None:
        access = Access(server="https://a", certificate_authority=b"", token="canary-1")
        password = "canary-2"
        try:
            raise RuntimeError("failed")
        except RuntimeError as error:
            log.error("x", access=access, more=[{"a": access}], body=b"canary-3", exc_info=error)
        assert password

    text = logged(log_format, write)
    assert "RuntimeError: failed" in text
    assert "Traceback" in text
    assert "canary" not in text


def test_the_console_is_for_eyes() -> None:
    text = logged("console", lambda log: log.info("it happened", cluster="east"))
    assert "it happened" in text
    assert "cluster=east" in text
    assert "\x1b" not in text  # no colours where there is no terminal
