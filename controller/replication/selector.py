"""Label selectors, as the API conventions define them."""

from __future__ import annotations

from collections.abc import Mapping

from controller.replication.types import LabelSelector


def problem(selector: LabelSelector | None) -> str:
    """What is wrong with a selector, "" for nothing. One that selects every Secret is refused."""
    if selector is None or (not selector.match_labels and not selector.match_expressions):
        return "spec.selector is empty, which would select every Secret of the namespace; name at least one label"
    for index, requirement in enumerate(selector.match_expressions):
        path = f"spec.selector.matchExpressions[{index}]"
        if requirement.operator in ("In", "NotIn"):
            if not requirement.values:
                return f"{path}.values is empty; {requirement.operator} needs at least one value"
        elif requirement.operator in ("Exists", "DoesNotExist"):
            if requirement.values:
                return f"{path}.values must be empty for {requirement.operator}"
        else:
            return f"{path}.operator is unknown; use In, NotIn, Exists or DoesNotExist"
    return ""


def matches(selector: LabelSelector, labels: Mapping[str, str] | None) -> bool:
    """Whether ``labels`` meet every requirement of a selector without ``problem``."""
    have = labels or {}
    if any(have.get(key) != value for key, value in selector.match_labels.items()):
        return False
    for requirement in selector.match_expressions:
        present = requirement.key in have
        match requirement.operator:
            case "In" if not present or have[requirement.key] not in requirement.values:
                return False
            case "NotIn" if present and have[requirement.key] in requirement.values:
                return False
            case "Exists" if not present:
                return False
            case "DoesNotExist" if present:
                return False
            case _:
                pass
    return True


def text(selector: LabelSelector) -> str:
    """The same as a ``labelSelector`` parameter."""
    parts = [f"{key}={value}" for key, value in sorted(selector.match_labels.items())]
    for requirement in selector.match_expressions:
        key, values = requirement.key, ",".join(requirement.values)
        match requirement.operator:
            case "In":
                parts.append(f"{key} in ({values})")
            case "NotIn":
                parts.append(f"{key} notin ({values})")
            case "Exists":
                parts.append(key)
            case _:
                parts.append(f"!{key}")
    return ",".join(parts)
