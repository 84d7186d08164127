"""RBAC: what a user may do, by the roles that are bound to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from controller.kube.transport import Request
from controller.sandbox.apiserver import failures
from controller.sandbox.apiserver.core import Core, User
from controller.sandbox.apiserver.failures import Failure
from controller.sandbox.apiserver.faults import Subject
from controller.sandbox.apiserver.storage import Version

Json = dict[str, Any]

MASTERS: Final = "system:masters"
_GROUP: Final = "rbac.authorization.k8s.io"
CLUSTER_ADMIN: Final[Json] = {
    "apiVersion": f"{_GROUP}/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "cluster-admin", "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}},
    "rules": [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ],
}
CLUSTER_ADMINS: Final[Json] = {
    "apiVersion": f"{_GROUP}/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "cluster-admin", "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}},
    "roleRef": {"apiGroup": _GROUP, "kind": "ClusterRole", "name": "cluster-admin"},
    "subjects": [{"apiGroup": _GROUP, "kind": "Group", "name": MASTERS}],
}
_VERBS: Final = {"apply": "patch"}
# what everybody who is somebody may do, as the default cluster roles say
_SELF_SERVICE: Final = frozenset(
    {
        "selfsubjectreviews.authentication.k8s.io",
        "selfsubjectaccessreviews.authorization.k8s.io",
        "selfsubjectrulesreviews.authorization.k8s.io",
    }
)
_EVERYBODY: Final = ("/healthz", "/livez", "/readyz", "/version")


class Authorization:
    """Decides by the bindings that are stored; ``enforced`` False lets every known user do everything."""

    def __init__(self, core: Core, *, enforced: bool) -> None:
        self._core = core
        self.enforced = enforced

    def check(self, user: User, subject: Subject, request: Request) -> None:
        """Raises 403 when the user may not do this."""
        if not self.allows(user, subject, request.path):
            raise self._refusal(user, subject, request)

    def allows(self, user: User, subject: Subject, path: str = "") -> bool:
        """Whether the user may do this."""
        if MASTERS in user.groups:
            return True
        known = "system:authenticated" in user.groups
        if not subject.verb or not subject.resource:
            return known or path.startswith(_EVERYBODY)
        if known and (not self.enforced or subject.resource in _SELF_SERVICE):
            return True
        return any(_grants(rule, subject) for rule in self.rules(user, subject.namespace))

    def rules(self, user: User, namespace: str) -> Iterator[Json]:
        """The rules that hold for a user, cluster-wide and in one namespace."""
        for binding in self._objects("clusterrolebindings"):
            yield from self._bound(user, binding, "")
        if namespace:
            bindings = self._core.storage.collection(f"rolebindings.{_GROUP}")
            for key in bindings.within(bindings.keys, namespace):
                yield from self._bound(user, bindings.objects[key], namespace)

    def _objects(self, plural: str) -> list[Version]:
        return list(self._core.storage.collection(f"{plural}.{_GROUP}").objects.values())

    def _bound(self, user: User, binding: Version, namespace: str) -> Iterator[Json]:
        obj = binding.decode()
        if not any(_is(user, subject, namespace) for subject in obj.get("subjects") or ()):
            return
        reference = obj.get("roleRef") or {}
        local = reference.get("kind") == "Role"
        key = f"{namespace}/{reference.get('name', '')}" if local else reference.get("name", "")
        role = self._core.storage.collection(f"{'roles' if local else 'clusterroles'}.{_GROUP}").get(key)
        if role is not None:
            yield from role.decode().get("rules") or ()

    def _refusal(self, user: User, subject: Subject, request: Request) -> Failure:
        verb = _VERBS.get(subject.verb, subject.verb) or request.method.lower()
        if not subject.resource:
            message = f'forbidden: User "{user.name}" cannot {verb} path "{request.path}"'
            return Failure(403, "Forbidden", message, details={})
        plural, _, group = subject.resource.partition(".")
        part = f"{plural}/{subject.subresource}" if subject.subresource else plural
        where = f'in the namespace "{subject.namespace}"' if subject.namespace else "at the cluster scope"
        why = f'User "{user.name}" cannot {verb} resource "{part}" in API group "{group}" {where}'
        named = f'{subject.resource} "{subject.name}"' if subject.name else subject.resource
        details = {key: value for key, value in (("name", subject.name), ("group", group), ("kind", plural)) if value}
        return failures.Failure(403, "Forbidden", f"{named} is forbidden: {why}", details=details)


def _is(user: User, subject: Json, namespace: str) -> bool:
    match subject.get("kind"):
        case "User":
            return bool(subject.get("name") == user.name)
        case "Group":
            return subject.get("name") in user.groups
        case "ServiceAccount":
            place = subject.get("namespace") or namespace
            return user.name == f"system:serviceaccount:{place}:{subject.get('name', '')}"
        case _:
            return False


def _grants(rule: Json, subject: Subject) -> bool:
    plural, _, group = subject.resource.partition(".")
    verb = _VERBS.get(subject.verb, subject.verb)
    part = f"{plural}/{subject.subresource}" if subject.subresource else plural
    parts = {"*", part, *([f"*/{subject.subresource}"] if subject.subresource else [])}
    names = rule.get("resourceNames") or ()
    return (
        bool({"*", verb} & set(rule.get("verbs") or ()))
        and bool({"*", group} & set(rule.get("apiGroups") or ()))
        and bool(parts & set(rule.get("resources") or ()))
        and (not names or subject.name in names)
    )
