"""Manifests that a user hands to a command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TextIO

import click
import yaml

from controller.kube.resources import Resource


def read(file: TextIO, namespace: str) -> Iterator[dict[str, Any]]:
    """Every object of a file of YAML or JSON, lists unpacked; ``namespace`` where one says none.

    Raises ``ClickException`` for what cannot be read.
    """
    try:
        documents = list(yaml.safe_load_all(file))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{file.name}: not YAML: {error}") from None
    for document in documents:
        listed = isinstance(document, dict) and document.get("kind") == "List"
        for entry in (document.get("items") or []) if listed else [document]:
            if entry is None:
                continue
            if not isinstance(entry, dict) or not isinstance(entry.get("metadata"), dict):
                raise click.ClickException(f"{file.name}: a document is no Kubernetes object: it has no metadata")
            yield {**entry, "metadata": {"namespace": namespace, **entry["metadata"]}}


def of_kind(manifest: Mapping[str, Any], resource: Resource) -> bool:
    """Whether it is one of ``resource``."""
    return (manifest.get("apiVersion"), manifest.get("kind")) == (resource.api_version, resource.kind)
