"""The patch types of the API: JSON patch, merge patch, strategic merge patch."""

from controller.sandbox.apiserver.jsonpatch import PatchError, TestFailed, json_patch, merge_patch
from controller.sandbox.apiserver.strategic import strategic_merge_patch

__all__ = ["PatchError", "TestFailed", "json_patch", "merge_patch", "strategic_merge_patch"]
