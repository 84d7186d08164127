"""structlog, set up once: one event a line, with cluster, kind, namespace and name."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import msgspec
import structlog

from controller.settings import LogFormat, LogLevel


def configure(log_format: LogFormat, level: LogLevel, stream: TextIO | None = None) -> None:
    """Logs to ``stream`` (default stderr), as JSON or for eyes. May be called again."""
    out = stream if stream is not None else sys.stderr
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _flatten,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if log_format == "json":
        processors += [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_encode),
        ]
    else:
        # Not the default formatter: with rich installed it prints local variables, and credentials are among them.
        formatter = structlog.dev.plain_traceback
        processors.append(structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=formatter))
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )


def _flatten(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Values as texts and numbers: an encoder would look into objects whose ``repr`` hides what is in them."""
    return {key: value if key == "exc_info" else _plain(value) for key, value in event.items()}


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return str(value)
        case bytes() | bytearray() | memoryview():
            return f"{len(value)} bytes"
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(item) for item in value]
        case _:
            return str(value)


def _encode(event: dict[str, Any], **_: Any) -> str:
    return msgspec.json.encode(event).decode()
