"""Cluster IPs for Services, out of one small range."""

from __future__ import annotations

import ipaddress
from typing import Any, Final

from controller.sandbox.apiserver.failures import Failure, invalid, invalid_value

Json = dict[str, Any]

_RANGE: Final = ipaddress.IPv4Network("10.96.0.0/12")
_FIRST: Final = 2  # .0 is the network, .1 the API server's own Service


class AddressPool:
    """Hands out addresses in order, so that a run with the same requests gives the same addresses."""

    def __init__(self) -> None:
        self._used: dict[str, str] = {}  # address → the Service's key
        self._next = _FIRST

    def allocate(self, service: Json, old: Json | None) -> None:
        """Fill ``spec.clusterIP`` and its companions; raises 422 for an address that is not to be had."""
        spec = service.setdefault("spec", {})
        if old is not None:
            before = old.get("spec") or {}
            for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                if key not in spec and key in before and spec.get("type") != "ExternalName":
                    spec[key] = before[key]
        if spec.get("type") == "ExternalName":
            return
        metadata = service["metadata"]
        key = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"
        wanted = spec.get("clusterIP") or (spec.get("clusterIPs") or [""])[0]
        if wanted == "None":
            spec["clusterIP"] = "None"
            spec["clusterIPs"] = ["None"]
            if "selector" not in spec and spec.get("ipFamilyPolicy") == "RequireDualStack":
                spec.setdefault("ipFamilies", ["IPv4", "IPv6"])
        else:
            spec["clusterIP"] = self._take(wanted, key, metadata.get("name", ""))
            spec["clusterIPs"] = [spec["clusterIP"]]
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")

    def release(self, service: Json) -> None:
        """Take back the address of a Service that is gone."""
        self._used.pop((service.get("spec") or {}).get("clusterIP", ""), None)

    def _take(self, wanted: str, key: str, name: str) -> str:
        if wanted:
            try:
                inside = ipaddress.ip_address(wanted) in _RANGE
            except ValueError:
                raise self._refused(name, wanted, "must be a valid IP address") from None
            if not inside:
                raise self._refused(name, wanted, f"the provided IP ({wanted}) is not in the valid range {_RANGE}")
            if self._used.setdefault(wanted, key) != key:
                raise self._refused(name, wanted, "provided IP is already allocated")
            return wanted
        while (address := str(_RANGE[self._next])) in self._used:
            self._next += 1
        self._used[address] = key
        return address

    @staticmethod
    def _refused(name: str, wanted: str, why: str) -> Failure:
        return invalid("", "Service", name, [invalid_value("spec.clusterIPs", [wanted], why)])
