"""What is in a request's body: JSON, YAML, or the protobuf that kubectl sends."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec
import yaml

from controller.kube.transport import Request
from controller.sandbox.apiserver import failures, protobuf
from controller.sandbox.apiserver.failures import bad_request

JSON: Final = "application/json"
YAML: Final = "application/yaml"
PROTOBUF: Final = "application/vnd.kubernetes.protobuf"


def header(request: Request, name: str) -> str:
    """The first header of that lower-case name, "" when there is none."""
    return next((value for key, value in request.headers if key.lower() == name), "")


def decoded(request: Request, validation: str = "", warnings: list[str] | None = None) -> Any:
    """The object in a body; raises 400 and 415.

    ``validation``: with ``Strict`` fields that are there twice are refused, with ``Warn`` they go to ``warnings``.
    """
    media = header(request, "content-type").partition(";")[0].strip() or JSON
    try:
        if media == JSON:
            if validation in ("Strict", "Warn") and (twice := _repeated(request.body)):
                texts = [f'duplicate field "{path}"' for path in twice]
                if validation == "Strict":
                    raise bad_request(f"strict decoding error: {', '.join(texts)}")
                (warnings if warnings is not None else []).extend(texts)
            return msgspec.json.decode(request.body)
        if media == YAML:
            return from_yaml(request.body)
        if media == PROTOBUF and (found := protobuf.read(request.body)) is not None:
            return found
    except (msgspec.MsgspecError, yaml.YAMLError, RecursionError, ValueError) as error:
        raise bad_request(f"couldn't get version/kind; {media} parse error: {error}") from None
    raise failures.unsupported_media_type([JSON, YAML])


_TWICE: Final = "\0twice"  # no JSON field of a client has this name


def _repeated(body: bytes) -> list[str]:
    """The paths of the fields that are there twice in one object."""

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            found[_TWICE] = sorted({name for name in names if names.count(name) > 1})
        return found

    return _paths(json.loads(body, object_pairs_hook=note), "")


def _paths(value: Any, path: str) -> list[str]:
    if isinstance(value, list):
        return [found for index, item in enumerate(value) for found in _paths(item, f"{path}[{index}]")]
    if not isinstance(value, dict):
        return []
    dot = f"{path}." if path else ""
    here = [f"{dot}{name}" for name in value.get(_TWICE, ())]
    return here + [f for key, below in value.items() if key != _TWICE for f in _paths(below, f"{dot}{key}")]


def from_yaml(body: bytes) -> Any:
    """A YAML document as JSON values; raises ``yaml.YAMLError`` and ``ValueError``."""
    return yaml.load(body, Loader=_JsonLoader)  # noqa: S506 - a SafeLoader with fewer types


class _JsonLoader(yaml.SafeLoader):
    """YAML as JSON knows it: timestamps stay text."""


_JsonLoader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
