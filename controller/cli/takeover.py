"""``takeover --check``: what stands in the way of taking over from the reference operator."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import groupby
from typing import Any, Final, Literal

import click
import msgspec

from controller.cli.looking import credentials_of, looking, looks, run
from controller.engine.clock import SystemClock
from controller.fleet.inspection import Finding
from controller.handover import Check, check
from controller.kube.errors import clean
from controller.observability import logging

IN_THE_WAY: Final = 2  # exit code
_SIGNS: Final = {"blocks": "!", "unknown": "?", "fine": "·"}
_WORDS: Final = {"blocks": "in the way", "unknown": "not looked at", "fine": "fine"}


@click.command()
@click.option("--check", "asked", is_flag=True, help="Look, and say what stands in the way. Nothing else is done.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@looks
def takeover(asked: bool, output: Literal["text", "json"], **options: Any) -> None:
    """Say whether what the reference operator made can be taken over now, and what would change.

    Reads the control plane with your kubeconfig and every data plane through its ClientConfig, and writes nowhere. What
    may not be read is said. The take-over itself needs no command: start the controller. Ends with 2 when something
    stands in the way, with 1 when it could not look, else with 0.
    """
    if not asked:
        raise click.UsageError("give --check; the take-over itself is done by run")
    logging.configure("console", "error")
    found = run(_check, options)
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        click.echo("\n".join(text(found)))
    sys.exit(0 if found.ready else IN_THE_WAY)


async def _check(options: dict[str, Any]) -> Check:
    async with looking(await credentials_of(options), options, asks=True) as seen:
        return await check(seen, SystemClock(), within=options["timeout"])


# ── for people ──────────────────────────────────────────────────────────────────────────────────────


def text(found: Check) -> list[str]:
    """What a person reads: each cluster, each K8ssandraCluster, and the sum."""
    lines: list[str] = []
    for context, findings in groupby(found.findings, key=lambda finding: finding.context):
        lines += [f"context {context}" if context else "control plane", *_lines(findings), ""]
    for each in found.clusters:
        lines += [f"K8ssandraCluster {each.namespace}/{each.name}", *_lines(each.findings)]
        lines += [f"  {len(each.changes)} objects would be written to; see: plan -n {each.namespace} {each.name}", ""]
    if not found.clusters:
        lines += ["there is no K8ssandraCluster", ""]
    every = [*found.findings, *(finding for each in found.clusters for finding in each.findings)]
    number = {word: sum(each.verdict == verdict for each in every) for verdict, word in _WORDS.items()}
    return [*lines, ", ".join(f"{count} {word}" for word, count in number.items())]


def _lines(findings: Iterable[Finding]) -> list[str]:
    return [f"  {_SIGNS[each.verdict]} {each.subject}: {clean(each.message)}" for each in findings]
