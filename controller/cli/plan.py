"""``plan``: what would become of a K8ssandraCluster, without changing anything."""

from __future__ import annotations

import sys
from itertools import groupby
from typing import Any, Final, Literal, TextIO

import click
import msgspec

from controller.cassandra.forecast import Change, FieldChange, Forecast
from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from controller.cli import documents
from controller.cli.looking import credentials_of, looking, looks, run
from controller.kube.errors import clean
from controller.kube.objects import Object
from controller.observability import logging
from controller.preview import Preview, desired

VALUE_CAP: Final = 100  # characters of a value that are shown
_SIGNS: Final = {"create": "+", "change": "~", "delete": "-"}


@click.command()
@click.argument("names", nargs=-1, metavar="[[NAMESPACE/]NAME]...")
@click.option(
    "-f",
    "--filename",
    "files",
    type=click.File("r", encoding="utf-8"),
    multiple=True,
    help="Manifests of K8ssandraClusters as they are to be, - for stdin, instead of names.",
)
@click.option("-n", "--namespace", default="", help="[default: the kubeconfig's, else default]")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@looks
@click.option(
    "--per-node-config-image", metavar="IMAGE", default="", envvar="PER_NODE_CONFIG_IMAGE", help="As for run."
)
def plan(names: tuple[str, ...], files: tuple[TextIO, ...], output: Literal["text", "json"], **options: Any) -> None:
    """Print what the controller would create, change and delete for K8ssandraClusters, and what it would wait for.

    Every cluster is read, and none is written to. Datacenters come one after the other; the plan shows all of them as
    if each became Ready. Ends with 2 when there is something to change, with 1 when something is wrong, else with 0.
    """
    if bool(names) == bool(files):
        raise click.UsageError("name K8ssandraClusters, or give manifests with -f")
    logging.configure("console", "error")
    found = run(_plan, names, files, options)
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        click.echo("\n".join(line for each in found for line in _text(each)))
    wrong = any(each.problems for each in found)
    sys.exit(2 if any(each.changes for each in found) else int(wrong))


async def _plan(names: tuple[str, ...], files: tuple[TextIO, ...], options: dict[str, Any]) -> list[Forecast]:
    credentials = await credentials_of(options)
    namespace = options["namespace"] or getattr(credentials, "namespace", "") or "default"
    manifests = [manifest for file in files for manifest in documents.read(file, namespace)]
    wanted = [manifest for manifest in manifests if documents.of_kind(manifest, K8SSANDRA_CLUSTERS)]
    if files and not wanted:
        raise click.ClickException(f"no K8ssandraCluster ({K8SSANDRA_CLUSTERS.api_version}) in what was read")
    async with looking(credentials, options) as seen:
        objects = [_existing(seen, *_place(name, namespace)) for name in names]
        for manifest in wanted:
            metadata = manifest["metadata"]
            objects.append(desired(manifest, seen.live(metadata["namespace"], metadata.get("name", ""))))
        return [await seen.forecast(found, within=options["timeout"]) for found in objects]


def _place(name: str, namespace: str) -> tuple[str, str]:
    """Namespace and name of what a user calls ``name`` or ``namespace/name``."""
    given, slash, rest = name.partition("/")
    return (given, rest) if slash else (namespace, name)


def _existing(seen: Preview, namespace: str, name: str) -> Object:
    found = seen.live(namespace, name)
    if found is None:
        raise click.ClickException(f"K8ssandraCluster {namespace}/{name} does not exist")
    return found


# ── for people ──────────────────────────────────────────────────────────────────────────────────────


def _text(found: Forecast) -> list[str]:
    lines = [f"K8ssandraCluster {found.namespace}/{found.name}"]
    in_order = sorted(found.changes, key=lambda change: change.context)
    for context, changes in groupby(in_order, key=lambda change: change.context):
        lines += ["", f"  context {context}" if context else "  control plane"]
        for change in changes:
            lines += _lines(change)
    for title, entries in (
        ("waits for", [wait.message for wait in found.waits]),
        ("problems", [f"{problem.reason}: {problem.message}" for problem in found.problems]),
        ("warnings", list(found.warnings)),
        ("stays, but differs", [f"{name}: {', '.join(fields)}" for name, fields in found.drift.items()]),
    ):
        if entries:
            lines += ["", f"  {title}", *(f"    {entry}" for entry in dict.fromkeys(entries))]
    number = {verb: sum(change.verb == verb for change in found.changes) for verb in _SIGNS}
    tally = ", ".join(f"{count} to {verb}" for verb, count in number.items())
    return [*lines, "", f"  {tally if found.changes else 'nothing to change'}", ""]


def _lines(change: Change) -> list[str]:
    place = f"{change.namespace}/{change.name}" if change.namespace else change.name
    width = max((len(field.path) for field in change.fields), default=0)
    return [
        f"    {_SIGNS[change.verb]} {change.kind} {place}",
        *(f"        {field.path:<{width}}  {_arrow(field)}" for field in change.fields),
    ]


def _arrow(field: FieldChange) -> str:
    return f"{_value(field.before)} → {_value(field.after)}"


def _value(value: Any) -> str:
    if value is None:
        return "(none)"
    return clean(value if isinstance(value, str) else msgspec.json.encode(value).decode(), VALUE_CAP)
