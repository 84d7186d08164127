"""ClientConfig: which Secret of a namespace opens which cluster."""

from __future__ import annotations

from typing import Final

from controller.kube.resources import Resource

CLIENT_CONFIGS: Final = Resource("config.k8ssandra.io", "v1beta1", "ClientConfig", "clientconfigs")
