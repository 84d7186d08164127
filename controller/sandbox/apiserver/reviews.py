"""Reviews: who somebody is, and what they may do."""

from __future__ import annotations

from typing import Any

from controller.sandbox.apiserver.accounts import ISSUER, Accounts
from controller.sandbox.apiserver.authorization import MASTERS, Authorization
from controller.sandbox.apiserver.core import User
from controller.sandbox.apiserver.faults import Subject

Json = dict[str, Any]


def self_review(user: User, now: str) -> Json:
    """SelfSubjectReview: who the caller is."""
    info: Json = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        info["uid"] = user.uid
    return {
        "kind": "SelfSubjectReview",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"creationTimestamp": now},
        "status": {"userInfo": info},
    }


def access_review(body: Any, user: User, authorization: Authorization) -> Json:
    """SelfSubjectAccessReview: whether the caller may do one thing."""
    spec = (body.get("spec") if isinstance(body, dict) else None) or {}
    asked = spec.get("resourceAttributes") or {}
    group, plural = asked.get("group", ""), asked.get("resource", "")
    subject = Subject(
        asked.get("verb", ""),
        f"{plural}.{group}" if group else plural,
        asked.get("namespace", ""),
        asked.get("name", ""),
        asked.get("subresource", ""),
    )
    allowed = authorization.allows(user, subject, (spec.get("nonResourceAttributes") or {}).get("path", ""))
    return {
        "kind": "SelfSubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": {},
        "spec": spec,
        "status": {"allowed": allowed},
    }


def rules_review(body: Any, user: User, authorization: Authorization) -> Json:
    """SelfSubjectRulesReview: everything that the caller may do in one namespace."""
    spec = (body.get("spec") if isinstance(body, dict) else None) or {}
    everything: Json = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    unlimited = MASTERS in user.groups or not authorization.enforced
    rules = [everything] if unlimited else [*authorization.rules(user, spec.get("namespace", ""))]
    return {
        "kind": "SelfSubjectRulesReview",
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": {},
        "spec": {},
        "status": {"incomplete": False, "resourceRules": rules, "nonResourceRules": []},
    }


def token_review(accounts: Accounts, body: Any) -> Json:
    """TokenReview: whose token it is."""
    spec = (body.get("spec") if isinstance(body, dict) else None) or {}
    user = accounts.authenticate(str(spec.get("token", "")))
    status: Json = {"user": {}, "error": "the token is not valid"}
    if user is not None:
        status = {
            "authenticated": True,
            "user": {"username": user.name, "uid": user.uid, "groups": list(user.groups)},
            "audiences": [ISSUER],
        }
    return {
        "kind": "TokenReview",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {},
        "spec": spec,
        "status": status,
    }
