"""What is in a request's body: JSON, YAML, or the protobuf that kubectl sends."""

from __future__ import annotations

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


def decoded(request: Request) -> Any:
    """The object in a body; raises 400 and 415."""
    media = header(request, "content-type").partition(";")[0].strip() or JSON
    try:
        if media == JSON:
            return msgspec.json.decode(request.body)
        if media == YAML:
            return from_yaml(request.body)
        if media == PROTOBUF and (found := protobuf.read(request.body)) is not None:
            return found
    except (msgspec.MsgspecError, yaml.YAMLError, RecursionError, ValueError) as error:
        raise bad_request(f"couldn't get version/kind; {media} parse error: {error}") from None
    raise failures.unsupported_media_type([JSON, YAML])


def from_yaml(body: bytes) -> Any:
    """A YAML document as JSON values; raises ``yaml.YAMLError`` and ``ValueError``."""
    return yaml.load(body, Loader=_JsonLoader)  # noqa: S506 - a SafeLoader with fewer types


class _JsonLoader(yaml.SafeLoader):
    """YAML as JSON knows it: timestamps stay text."""


_JsonLoader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
