"""Who may come in: the admin token, and the tokens of service accounts."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import timedelta
from typing import Any, Final

import msgspec

from controller.engine.clock import rfc3339
from controller.kube.resources import SECRETS, SERVICE_ACCOUNTS
from controller.sandbox.apiserver import failures
from controller.sandbox.apiserver.core import Core, User
from controller.sandbox.apiserver.failures import required
from controller.sandbox.apiserver.kinds import Kind
from controller.sandbox.apiserver.metadata import malformed
from controller.sandbox.apiserver.storage import Version, encode

Json = dict[str, Any]

ISSUER: Final = "https://kubernetes.default.svc.cluster.local"
_SHORTEST: Final = 600  # s
_LONGEST: Final = 2**32  # s
_CLAIMS: Final = "kubernetes.io"


class Accounts:
    """Issues tokens and tells whose they are."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._key = core.rng.randbytes(32)
        self.admin_token = core.rng.randbytes(24).hex()
        self.admin = User("kubernetes-admin", groups=("system:masters", "system:authenticated"))
        self.longest = _LONGEST  # s that a requested token may live; shorter ones are granted as asked

    # ── who it is ───────────────────────────────────────────────────────────────────────────────────

    def authenticate(self, token: str) -> User | None:
        """Whose token it is; None when it is nobody's, or nobody's any more."""
        if hmac.compare_digest(token.encode(), self.admin_token.encode()):
            return self.admin
        claims = self._verified(token)
        if claims is None:
            return None
        return self._bound_user(claims) if _CLAIMS in claims else self._secret_user(claims, token)

    def _bound_user(self, claims: Json) -> User | None:
        """The account that a token by TokenRequest stands for."""
        if claims["exp"] <= self._core.clock.now().timestamp():
            return None
        bound = claims[_CLAIMS]
        account = self._account(bound["namespace"], bound["serviceaccount"]["name"])
        if account is None or account.uid != bound["serviceaccount"]["uid"]:
            return None
        return _account_user(account)

    def _secret_user(self, claims: Json, token: str) -> User | None:
        """The account that the token of a Secret stands for, while both exist."""
        namespace = claims["kubernetes.io/serviceaccount/namespace"]
        secret = self._core.storage.collection(SECRETS.name).get(
            f"{namespace}/{claims['kubernetes.io/serviceaccount/secret.name']}"
        )
        account = self._account(namespace, claims["kubernetes.io/serviceaccount/service-account.name"])
        if secret is None or secret.deleting or account is None or account.deleting:
            return None
        if account.uid != claims["kubernetes.io/serviceaccount/service-account.uid"]:
            return None
        stored = (secret.decode().get("data") or {}).get("token", "")
        return _account_user(account) if base64.b64decode(stored).decode() == token else None

    def _account(self, namespace: str, name: str) -> Version | None:
        return self._core.storage.collection(SERVICE_ACCOUNTS.name).get(f"{namespace}/{name}")

    # ── tokens ──────────────────────────────────────────────────────────────────────────────────────

    def secret_token(self, secret: Version, account: Version) -> str:
        """The token of a Secret: it has no end of its own."""
        return self._signed(
            {
                "iss": "kubernetes/serviceaccount",
                "kubernetes.io/serviceaccount/namespace": secret.namespace,
                "kubernetes.io/serviceaccount/secret.name": secret.name,
                "kubernetes.io/serviceaccount/service-account.name": account.name,
                "kubernetes.io/serviceaccount/service-account.uid": account.uid,
                "sub": f"system:serviceaccount:{account.namespace}:{account.name}",
            }
        )

    def request_token(self, kind: Kind, account: Version, body: Any) -> Json:
        """Answer a TokenRequest; raises 400 and 422."""
        if not isinstance(body, dict):
            raise malformed(kind, "a TokenRequest is an object")
        spec = body.get("spec") or {}
        seconds = spec.get("expirationSeconds", 3600)
        if not isinstance(seconds, int) or not _SHORTEST <= seconds <= _LONGEST:
            field = "spec.expirationSeconds"
            why = "may not specify a duration less than 10 minutes"
            if isinstance(seconds, int) and seconds > _LONGEST:
                why = "may not specify a duration larger than 2^32 seconds"
            fault = failures.invalid_value(field, seconds, why)
            raise failures.invalid("authentication.k8s.io", "TokenRequest", account.name, [fault])
        if "spec" not in body and body.get("kind") not in (None, "TokenRequest"):
            raise failures.invalid("authentication.k8s.io", "TokenRequest", account.name, [required("spec")])
        seconds = min(seconds, self.longest)
        audiences = spec.get("audiences") or [ISSUER]
        now = self._core.clock.now()
        issued = int(now.timestamp())
        token = self._signed(
            {
                "aud": audiences,
                "exp": issued + seconds,
                "iat": issued,
                "iss": ISSUER,
                "jti": self._core.new_uid(),
                _CLAIMS: {
                    "namespace": account.namespace,
                    "serviceaccount": {"name": account.name, "uid": account.uid},
                },
                "nbf": issued,
                "sub": f"system:serviceaccount:{account.namespace}:{account.name}",
            }
        )
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {
                "name": account.name,
                "namespace": account.namespace,
                "creationTimestamp": self._core.now(),
            },
            "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": None},
            "status": {"token": token, "expirationTimestamp": rfc3339(now + timedelta(seconds=seconds))},
        }

    def _signed(self, claims: Json) -> str:
        head = _b64(encode({"alg": "HS256", "kid": "sandbox", "typ": "JWT"}))
        text = f"{head}.{_b64(encode(claims))}"
        return f"{text}.{self._signature(text)}"

    def _signature(self, text: str) -> str:
        return _b64(hmac.digest(self._key, text.encode(), hashlib.sha256))

    def _verified(self, token: str) -> Json | None:
        text, _, signature = token.rpartition(".")
        if text.count(".") != 1 or not hmac.compare_digest(self._signature(text).encode(), signature.encode()):
            return None
        body = text.partition(".")[2]
        claims: Json = msgspec.json.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return claims


def _account_user(account: Version) -> User:
    return User(
        f"system:serviceaccount:{account.namespace}:{account.name}",
        uid=account.uid,
        groups=(
            "system:serviceaccounts",
            f"system:serviceaccounts:{account.namespace}",
            "system:authenticated",
        ),
    )


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
