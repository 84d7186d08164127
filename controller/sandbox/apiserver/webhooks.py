"""Validating webhooks of the embedded server: functions in this process that stand at URLs.

A ValidatingWebhookConfiguration says who is asked, as on any server: rules, namespaceSelector, matchConditions,
failurePolicy. What stands at no URL that ``reach`` was told of cannot be reached. Webhooks behind a Service are passed
over, for there is no network in here that leads to one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from controller.kube.resources import Resource
from controller.sandbox.apiserver import failures
from controller.sandbox.apiserver.cel import EvaluationFailed, Unsupported, compile_rule
from controller.sandbox.apiserver.core import Core
from controller.sandbox.apiserver.kinds import Kind
from controller.sandbox.apiserver.options import WriteOptions
from controller.sandbox.apiserver.selectors import selected
from controller.sandbox.apiserver.storage import decode, encode

Json = dict[str, Any]
Answer = Callable[[bytes], bytes]

CONFIGURATIONS: Final = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "ValidatingWebhookConfiguration",
    "validatingwebhookconfigurations",
    namespaced=False,
)


class Webhooks:
    """Asks the webhooks that are configured. ``reach``: what answers AdmissionReviews, by URL."""

    def __init__(self, core: Core) -> None:
        self.reach: Final[dict[str, Answer]] = {}
        self._core = core

    def ask(self, kind: Kind, new: Json, old: Json | None, options: WriteOptions, subresource: str = "") -> None:
        """Ask all that a write concerns; raises ``Failure`` when one refuses, or cannot be reached and has to be."""
        for hook in self._concerned(kind, new, old, subresource):
            if not self._meets(hook, new, old):
                continue
            url = hook["clientConfig"]["url"]
            answer = self.reach.get(url)
            if answer is None:
                if hook.get("failurePolicy") != "Ignore":
                    why = f'failed calling webhook "{hook["name"]}": failed to call webhook: Post "{url}": no route'
                    raise failures.Failure(500, "InternalError", f"Internal error occurred: {why}")
                continue
            response = decode(answer(encode(_review(kind, new, old, options, subresource))))["response"]
            options.warnings.extend(response.get("warnings") or ())
            if not response["allowed"]:
                raise _denied(hook["name"], response.get("status") or {})

    def _concerned(self, kind: Kind, new: Json, old: Json | None, subresource: str) -> Iterator[Json]:
        operation = "CREATE" if old is None else "UPDATE"
        place = f"{kind.resource.plural}/{subresource}" if subresource else kind.resource.plural
        for version in self._core.storage.collection(CONFIGURATIONS.name).objects.values():
            for hook in version.decode().get("webhooks") or ():
                if "url" not in hook["clientConfig"] or not self._selects(hook, new):
                    continue
                for rule in hook.get("rules") or ():
                    wanted = {
                        "apiGroups": kind.resource.group,
                        "apiVersions": kind.resource.version,
                        "operations": operation,
                        "resources": place,
                    }
                    if all({value, "*"} & set(rule.get(field) or ()) for field, value in wanted.items()):
                        yield hook
                        break

    def _selects(self, hook: Json, new: Json) -> bool:
        selector = hook.get("namespaceSelector") or {}
        namespace = self._core.namespace(new["metadata"].get("namespace", ""))
        if not selector or namespace is None:
            return True
        return selected(selector, namespace.decode()["metadata"].get("labels") or {})

    def _meets(self, hook: Json, new: Json, old: Json | None) -> bool:
        """Whether every condition holds; one that cannot be judged is an error under failurePolicy Fail."""
        for condition in hook.get("matchConditions") or ():
            try:
                if not compile_rule(condition["expression"])({"object": new, "oldObject": old}):
                    return False
            except (EvaluationFailed, Unsupported) as error:
                if hook.get("failurePolicy") == "Ignore":
                    return False
                why = f"matchCondition {condition['name']} of webhook {hook['name']}: {error}"
                raise failures.Failure(403, "Forbidden", why) from None
        return True


def _review(kind: Kind, new: Json, old: Json | None, options: WriteOptions, subresource: str) -> Json:
    resource, metadata = kind.resource, new["metadata"]
    request = {
        "uid": metadata["uid"],
        "kind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "resource": {"group": resource.group, "version": resource.version, "resource": resource.plural},
        "subResource": subresource,
        "name": metadata["name"],
        "namespace": metadata.get("namespace", ""),
        "operation": "CREATE" if old is None else "UPDATE",
        "userInfo": {"username": options.user.name, "groups": list(options.user.groups)},
        "object": new,
        "oldObject": old,
        "dryRun": options.dry_run,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def _denied(name: str, status: Json) -> failures.Failure:
    message = f'admission webhook "{name}" denied the request'
    if said := status.get("message") or status.get("reason"):
        message += f": {said}"
    code = status.get("code", 0)
    return failures.Failure(
        code if 400 <= code < 600 else 403, status.get("reason", ""), message, details=status.get("details")
    )
