"""The image of the init container for single nodes, as the reference operator's ImageConfig names it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from controller.cassandra.render.per_node import DEFAULT_IMAGE
from controller.cassandra.types import CassandraDatacenterTemplate, DatacenterOptions, K8ssandraCluster
from controller.fleet.cluster import Cluster
from controller.kube import errors, strict_yaml
from controller.kube.resources import CONFIG_MAPS

LABEL: Final = "k8ssandra.io/config=image"  # selects the ConfigMaps that hold an ImageConfig
KEY: Final = "image_config.yaml"
API_VERSION: Final = "config.k8ssandra.io/v1beta2"
COMPONENT: Final = "k8ssandra-client"
READ_AGAIN: Final = 300.0  # s; it changes with a release of the reference operator, if at all
TRY_AGAIN: Final = 30.0  # s, after a read that failed
_DIGEST: Final = re.compile(r"[a-z0-9]+(?:[._+-][a-z0-9]+)*:[a-zA-Z0-9=_-]+")


class Invalid(ValueError):
    """An ImageConfig that cannot be used; the text says why."""


def client_image(config_maps: Iterable[Mapping[str, Any]]) -> str:
    """The image that the first ImageConfig among ConfigMaps (by name) names, "" when none does.

    Raises ``Invalid`` when that one cannot be read, or when none of the ConfigMaps has the key ``image_config.yaml``.
    """
    found = sorted(config_maps, key=lambda each: str(each["metadata"].get("name")))
    texts = [(each["metadata"].get("name"), (each.get("data") or {}).get(KEY)) for each in found]
    for name, text in texts:
        if isinstance(text, str) and text:
            try:
                return _image(text)
            except Invalid as error:
                raise Invalid(f"ConfigMap {name}: {error}") from None
    if texts:
        raise Invalid(f"ConfigMap {texts[0][0]}: has no {KEY}")
    return ""


def _image(text: str) -> str:
    try:
        config = strict_yaml.parse(text.encode())
    except strict_yaml.YAMLError as error:
        raise Invalid(f"{KEY}: {error}") from None
    if not isinstance(config, dict) or (config.get("apiVersion"), config.get("kind")) != (API_VERSION, "ImageConfig"):
        raise Invalid(f"{KEY}: is no ImageConfig of {API_VERSION}")
    image, defaults, overrides = (_section(config, path) for path in (f"images.{COMPONENT}", "defaults", "overrides"))
    name, tag, digest = _text(image, "name"), _text(image, "tag"), _text(image, "digest")
    if not name:
        return ""
    if not tag and not digest:
        raise Invalid(f"{KEY}: images.{COMPONENT} has neither tag nor digest")
    place = []
    for part in ("registry", "repository"):
        # An override wins, also an empty one; a default fills what the image leaves open.
        value = overrides[part] if overrides.get(part) is not None else _text(image, part) or defaults.get(part)
        if value is not None and not isinstance(value, str):
            raise Invalid(f"{KEY}: {part} is no text")
        place.append(value or "")
    at = "@" if digest or _DIGEST.fullmatch(tag) else ":"
    return "/".join(filter(None, (*place, name))) + at + (digest or tag)


def _section(config: Mapping[str, Any], path: str) -> dict[str, Any]:
    found: Any = config
    for part in path.split("."):
        found = {} if found is None else found
        if not isinstance(found, dict):
            break
        found = found.get(part)
    if found is not None and not isinstance(found, dict):
        raise Invalid(f"{KEY}: {path} is no map")
    return found if found is not None else {}


def _text(section: Mapping[str, Any], field: str) -> str:
    value = section.get(field)
    if value is not None and not isinstance(value, str):
        raise Invalid(f"{KEY}: images.{COMPONENT}.{field} is no text; put it in quotes")
    return value or ""


# ── read from the control plane ─────────────────────────────────────────────────────────────────────


class Images:
    """What is known of the ImageConfig in one namespace of the control plane.

    ``image`` is "" until that was read once. ``problem`` says why what is there cannot be used. ``revision`` grows
    with every change of the two. Without a namespace, the default is all that there is.
    """

    def __init__(self, local: Cluster | None = None, namespace: str = "", default: str = "") -> None:
        self._local = local
        self._namespace = namespace
        self._default = default or DEFAULT_IMAGE
        self._due = 0.0  # loop time
        self.image = "" if local is not None and namespace else self._default
        self.problem = ""
        self.revision = 0

    async def refresh(self) -> float:
        """Read it when that is due; returns the seconds until it is due again, 0 for never.

        Raises what the client raises while nothing is known; after that, what was read last stays.
        """
        if self._local is None or not self._namespace:
            return 0.0
        now = asyncio.get_running_loop().time()
        if self.image and now < self._due:
            return self._due - now
        try:
            page = await self._local.client.list_page(CONFIG_MAPS, self._namespace, label_selector=LABEL)
            self._learn(client_image(obj.decode(dict) for obj in page.objects) or self._default, "")
        except Invalid as error:
            self._learn(self._default, f"ImageConfig in namespace {self._namespace}: {error}")
        except (errors.Forbidden, errors.NotFound) as error:
            self._learn(self._default, f"ImageConfig in namespace {self._namespace} cannot be read: {error}")
        except errors.KubeError:
            if not self.image:
                raise
            self._due = now + TRY_AGAIN
            return TRY_AGAIN
        self._due = now + READ_AGAIN
        return READ_AGAIN

    def _learn(self, image: str, problem: str) -> None:
        if (image, problem) != (self.image, self.problem):
            self.image, self.problem = image, problem
            self.revision += 1


def needs_image(cluster: K8ssandraCluster) -> bool:
    """Whether rendering may ask for the image: some datacenter may have configuration of single nodes.

    Asked in every pass, so that it does not look closer: few tokens may come to nothing.
    """
    cassandra = cluster.spec.cassandra
    if cassandra is None:
        return False
    return any(
        not (datacenter.per_node_config_init_container_image or cassandra.per_node_config_init_container_image)
        and (_has_reference(datacenter) or _names_tokens(datacenter) or _names_tokens(cassandra))
        for datacenter in cassandra.datacenters
    )


def _has_reference(datacenter: CassandraDatacenterTemplate) -> bool:
    return datacenter.per_node_config_map_ref is not None and bool(datacenter.per_node_config_map_ref.name)


def _names_tokens(options: DatacenterOptions) -> bool:
    return options.config is not None and "num_tokens" in options.config.cassandra_yaml
