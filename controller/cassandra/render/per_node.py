"""Configuration of single nodes: a ConfigMap that an init container merges into the configuration files."""

from __future__ import annotations

from typing import Any, Final

import msgspec

DEFAULT_IMAGE: Final = "docker.io/k8ssandra/k8ssandra-client:v0.8.13"  # has sh and yq
NAME: Final = "per-node-config"  # of the init container and of its volume
# For each file of this pod: what stands after the first underscore is the file to merge it into. Maps are merged key by
# key, lists replaced; a file that is not there yet begins empty. The shell's own words and yq are all that is needed.
SCRIPT: Final = """set -eu
merged=0
for addition in /per-node-config/"${POD_NAME}"_*; do
  [ -f "$addition" ] || continue
  name=${addition##*/}
  target=/config/${name#*_}
  if [ -s "$target" ]; then
    whole=$(yq ea '. as $item ireduce ({}; . * $item)' "$target" "$addition")
  else
    whole=$(yq ea '. as $item ireduce ({}; . * $item)' "$addition")
  fi
  printf '%s\\n' "$whole" > "$target"
  echo "merged ${addition} into ${target}"
  merged=$((merged + 1))
done
echo "${merged} files merged for pod ${POD_NAME}"
"""


class PerNodeConfig(msgspec.Struct, frozen=True):
    """What per-node configuration adds to the pods. ``config_hash``: of the ConfigMap, so that a change restarts."""

    config_map: str
    config_hash: str
    image: str = DEFAULT_IMAGE

    @property
    def volume(self) -> dict[str, Any]:
        return {"name": NAME, "configMap": {"name": self.config_map}}

    @property
    def init_container(self) -> dict[str, Any]:
        return {
            "name": NAME,
            "image": self.image,
            "command": ["sh", "-c", SCRIPT],
            "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            "volumeMounts": [
                {"name": "server-config", "mountPath": "/config"},
                {"name": NAME, "mountPath": "/per-node-config"},
                {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  (a path in the pod)
            ],
            "resources": {
                "requests": {"cpu": "10m", "memory": "16Mi"},
                "limits": {"cpu": "100m", "memory": "64Mi"},
            },
        }
