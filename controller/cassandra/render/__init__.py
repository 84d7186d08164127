"""K8ssandraCluster and facts in, complete CassandraDatacenters and ConfigMaps out: pure and deterministic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from controller.cassandra.compare import canonical_hash, diff_fields, semantic_equal
from controller.cassandra.problems import FieldProblem
from controller.cassandra.render import encryption, metrics, notices, validation
from controller.cassandra.render.datacenter import cassandra_datacenter
from controller.cassandra.render.encryption import PasswordSource, StorePasswords
from controller.cassandra.render.per_node import DEFAULT_IMAGE, PerNodeConfig
from controller.cassandra.render.template import Template, build
from controller.cassandra.render.tokens import per_node_config, token_config_maps
from controller.cassandra.secrets import replicated_secret, superuser_secret, superuser_secret_name
from controller.cassandra.seeds import host_names, seed_slices
from controller.cassandra.system_replication import initial_system_replication
from controller.cassandra.types import K8ssandraCluster

__all__ = [
    "Facts",
    "FieldProblem",
    "PasswordSource",
    "Rendered",
    "RenderedDatacenter",
    "StorePasswords",
    "canonical_hash",
    "check",
    "diff_fields",
    "host_names",
    "initial_system_replication",
    "needed_passwords",
    "render",
    "replicated_secret",
    "seed_slices",
    "semantic_equal",
    "superuser_secret",
    "superuser_secret_name",
]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What rendering needs to know from outside of the K8ssandraCluster.

    ``initial_system_replication``: the annotation's content. ``passwords``: of the encryption stores, by datacenter
    and side (see ``needed_passwords``). ``per_node_config_hashes``: of the users' per-node ConfigMaps by datacenter.
    ``per_node_config_image``: for datacenters that name none; "" while nobody knows. ``image_problem``: why the
    ImageConfig did not say it.
    """

    initial_system_replication: dict[str, int] = {}
    passwords: dict[str, dict[encryption.Side, StorePasswords]] = {}
    per_node_config_hashes: dict[str, str] = {}
    per_node_config_image: str = DEFAULT_IMAGE
    image_problem: str = ""


class RenderedDatacenter(msgspec.Struct, frozen=True, kw_only=True):
    """One datacenter. ``object``: the complete CassandraDatacenter, its hash in an annotation.

    ``name`` is the object's, ``cass_name`` the one inside Cassandra. ``context`` is "" for the control plane's own
    cluster. ``founds``: the first in the order of deployment. ``version`` is normalised.
    """

    name: str
    cass_name: str
    namespace: str
    context: str
    size: int
    stopped: bool
    version: str
    founds: bool
    object: dict[str, Any]
    config_maps: tuple[dict[str, Any], ...]


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """What a K8ssandraCluster means.

    ``order``: names of all datacenters in the order of deployment, also of those with errors, which are not in
    ``datacenters``: what comes after one of them must not be created before it. ``errors``: what is wrong, of the
    whole cluster (nothing is rendered) or of one datacenter. ``unsupported``: what is asked for and not done.
    ``warnings``: what has not the effect that it seems to have.
    """

    datacenters: tuple[RenderedDatacenter, ...] = ()
    order: tuple[str, ...] = ()
    errors: tuple[FieldProblem, ...] = ()
    unsupported: tuple[FieldProblem, ...] = ()
    warnings: tuple[FieldProblem, ...] = ()


# Maps that pass through untouched may be as deep as the parser allows; nobody means that.
TOO_DEEP: Final = Rendered(errors=(FieldProblem("spec", "is nested too deeply", "use fewer levels"),))


def render(cluster: K8ssandraCluster, facts: Facts) -> Rendered:
    """Everything that a K8ssandraCluster and the facts mean; never raises for what a user wrote."""
    try:
        return _render(cluster, facts)
    except RecursionError:
        return TOO_DEEP


def _render(cluster: K8ssandraCluster, facts: Facts) -> Rendered:
    errors = validation.check_cluster(cluster)
    cassandra = cluster.spec.cassandra
    if errors or cassandra is None:
        return Rendered(errors=tuple(errors), unsupported=unique(notices.unsupported_cluster(cluster)))
    templates = [build(cluster, cassandra, index) for index in range(len(cassandra.datacenters))]
    tokens = {
        template.datacenter.name: config_map
        for template, config_map in zip(templates, token_config_maps(templates), strict=False)
    }
    ordered = sorted(templates, key=lambda template: -template.priority)  # stable: ties keep their order
    rendered: list[RenderedDatacenter] = []
    unsupported = list(notices.unsupported_cluster(cluster))
    warnings = list(notices.cluster_warnings(cluster))
    for place, template in enumerate(ordered):
        problems = validation.check_datacenter(template)
        problems += encryption.check(template, facts.passwords.get(template.datacenter.name, {}))
        problems += _check_per_node(template, facts, tokens)
        unsupported += notices.unsupported(template)
        if problems or template.version is None:
            errors += problems
            continue
        warnings += notices.warnings(template, template.version)
        if facts.image_problem and _wants_image(template, tokens):
            warnings.append(_default_image(template, facts))
        rendered.append(_datacenter(template, facts, tokens.get(template.datacenter.name), founds=place == 0))
    return Rendered(
        datacenters=tuple(rendered),
        order=tuple(template.datacenter.name for template in ordered),
        errors=unique(errors),
        unsupported=unique(unsupported),
        warnings=unique(warnings),
    )


def check(cluster: K8ssandraCluster) -> Rendered:
    """``errors``, ``unsupported`` and ``warnings`` that need no facts to be found; nothing is rendered."""
    try:
        return _check(cluster)
    except RecursionError:
        return TOO_DEEP


def _check(cluster: K8ssandraCluster) -> Rendered:
    errors = validation.check_cluster(cluster)
    unsupported = list(notices.unsupported_cluster(cluster))
    warnings: list[FieldProblem] = []
    cassandra = cluster.spec.cassandra
    if not errors and cassandra is not None:
        warnings += notices.cluster_warnings(cluster)
        for index in range(len(cassandra.datacenters)):
            template = build(cluster, cassandra, index)
            problems = validation.check_datacenter(template)
            problems += [each for each in encryption.check(template, {}) if each.reason != "SecretNotFound"]
            unsupported += notices.unsupported(template)
            if not problems and template.version is not None:
                warnings += notices.warnings(template, template.version)
            errors += problems
    return Rendered(errors=unique(errors), unsupported=unique(unsupported), warnings=unique(warnings))


def needed_passwords(cluster: K8ssandraCluster) -> tuple[PasswordSource, ...]:
    """The passwords that have to be in ``Facts`` before the cluster can be rendered; () when it needs none."""
    cassandra = cluster.spec.cassandra
    if cassandra is None or not (cassandra.client_encryption_stores or cassandra.server_encryption_stores):
        return ()
    templates = (build(cluster, cassandra, index) for index in range(len(cassandra.datacenters)))
    return tuple(source for template in templates for source in encryption.password_sources(template))


def _datacenter(template: Template, facts: Facts, tokens: dict[str, Any] | None, *, founds: bool) -> RenderedDatacenter:
    assert template.version is not None
    datacenter = template.datacenter
    image = template.options.per_node_config_init_container_image or facts.per_node_config_image
    per_node: PerNodeConfig | None = None
    if reference := _per_node_reference(template):
        per_node = PerNodeConfig(reference, facts.per_node_config_hashes[datacenter.name], image)
    elif tokens is not None:
        per_node = per_node_config(tokens, image)
    return RenderedDatacenter(
        name=datacenter.name,
        cass_name=datacenter.cass_name,
        namespace=template.namespace,
        context=datacenter.k8s_context,
        size=datacenter.size,
        stopped=datacenter.stopped,
        version=str(template.version),
        founds=founds,
        object=cassandra_datacenter(
            template,
            template.version,
            founds=founds,
            encryption=encryption.encryption(template, facts.passwords.get(datacenter.name, {})),
            per_node=per_node,
            system_replication=facts.initial_system_replication,
        ),
        config_maps=(metrics.config_map(template), *([tokens] if tokens is not None else [])),
    )


def _per_node_reference(template: Template) -> str:
    """Name of the user's ConfigMap with configuration of single nodes, "" when there is none."""
    reference = template.datacenter.per_node_config_map_ref
    return reference.name if reference is not None else ""


def _wants_image(template: Template, tokens: Mapping[str, Any]) -> bool:
    """Whether a datacenter has configuration of single nodes, and names no image for its init container."""
    if template.options.per_node_config_init_container_image:
        return False
    return bool(_per_node_reference(template)) or template.datacenter.name in tokens


def _default_image(template: Template, facts: Facts) -> FieldProblem:
    message = f"the init container has the image {facts.per_node_config_image}: {facts.image_problem}"
    path, remedy = f"{template.path}.perNodeConfigInitContainerImage", "mend the ImageConfig, or name an image here"
    return FieldProblem(path, message, remedy, template.datacenter.name, "ImageConfigInvalid")


def _check_per_node(template: Template, facts: Facts, tokens: Mapping[str, Any]) -> Iterator[FieldProblem]:
    if not facts.per_node_config_image and _wants_image(template, tokens):
        path = f"{template.path}.perNodeConfigInitContainerImage"
        message, remedy = "the ImageConfig of the control plane was not read yet", "wait, or name an image here"
        yield FieldProblem(path, message, remedy, template.datacenter.name, "ImageConfigUnknown")
    if _per_node_reference(template) and template.datacenter.name not in facts.per_node_config_hashes:
        path = f"{template.path}.perNodeConfigMapRef.name"
        remedy = "create it in the cluster and namespace of the datacenter"
        yield FieldProblem(path, "the ConfigMap is not there", remedy, template.datacenter.name, "ConfigMapNotFound")


def unique(problems: Iterable[FieldProblem]) -> tuple[FieldProblem, ...]:
    """Each once, in order."""
    return tuple(dict.fromkeys(problems))
