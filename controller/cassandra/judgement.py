"""All that validation says about a K8ssandraCluster that somebody is about to write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from controller.cassandra.annotations import check as check_annotations
from controller.cassandra.places import taken
from controller.cassandra.problems import FieldProblem
from controller.cassandra.render import check
from controller.cassandra.types import K8ssandraCluster
from controller.cassandra.updates import check_update, update_warnings


class Contexts(msgspec.Struct, frozen=True):
    """The context names that can be used: ``connected`` to, and ``registered`` by a ClientConfig but not yet used.

    The control plane's own, "", is always there.
    """

    connected: frozenset[str]
    registered: frozenset[str] = frozenset()


class Verdict(msgspec.Struct, frozen=True):
    """``problems``: why it may not be written, () when it may. ``warnings``: what else its author should know."""

    problems: tuple[FieldProblem, ...] = ()
    warnings: tuple[FieldProblem, ...] = ()


def judge(
    new: K8ssandraCluster,
    old: K8ssandraCluster | None,
    contexts: Contexts | None,
    others: Callable[[], Iterable[K8ssandraCluster]] = tuple,
) -> Verdict:
    """The verdict on a K8ssandraCluster that is created (``old`` is None) or updated.

    ``contexts`` are None while they are not known: then none of them is judged. ``others``: all K8ssandraClusters that
    there are; asked only when a datacenter gets a place. What was wrong before, in just the
    same way, is a warning only: an old fault must not stand in the way of another change, such as one that mends a
    part of it.
    """
    if old is not None and old.spec == new.spec and old.metadata.annotations == new.metadata.annotations:
        return Verdict()
    found = check(new)
    problems = [*check_annotations(new.metadata.annotations), *found.errors]
    # Where the specification as a whole is wrong, nothing can be said of its parts.
    whole = any(not error.datacenter for error in found.errors)
    if not whole and contexts is not None:
        problems += _unknown(new, contexts)
    if not whole:
        problems += taken(new, old, others)
    inherited: frozenset[FieldProblem] = frozenset()
    warnings = [*found.unsupported, *(each for each in found.warnings if each not in problems)]
    if contexts is not None and not whole:
        warnings += _unconnected(new, contexts)
    if old is not None:
        inherited = frozenset([*check_annotations(old.metadata.annotations), *check(old).errors])
        if contexts is not None:
            inherited |= frozenset(_unknown(old, contexts))
        if not whole:
            problems += check_update(old, new)
            warnings += update_warnings(old, new)
    return Verdict(
        tuple(dict.fromkeys(each for each in problems if each not in inherited)),
        tuple(dict.fromkeys([*(each for each in problems if each in inherited), *warnings])),
    )


def _unknown(cluster: K8ssandraCluster, contexts: Contexts) -> Iterator[FieldProblem]:
    known = {"", *contexts.connected, *contexts.registered}
    for path, context, name in _named(cluster):
        if context not in known:
            message = f"no ClientConfig names the context {context[:100]}"
            remedy = "register the cluster first, or use the context name of one that is registered"
            yield FieldProblem(path, message, remedy, name, "ContextNotFound")


def _unconnected(cluster: K8ssandraCluster, contexts: Contexts) -> Iterator[FieldProblem]:
    for path, context, name in _named(cluster):
        if context in contexts.registered - contexts.connected:
            message = f"the ClientConfig of context {context[:100]} is not in use yet"
            yield FieldProblem(path, message, "see its conditions; a restart may be needed", name)


def _named(cluster: K8ssandraCluster) -> Iterator[tuple[str, str, str]]:
    """Path, context and datacenter of every k8sContext."""
    cassandra = cluster.spec.cassandra
    for index, datacenter in enumerate(cassandra.datacenters if cassandra is not None else ()):
        yield f"spec.cassandra.datacenters[{index}].k8sContext", datacenter.k8s_context, datacenter.name
