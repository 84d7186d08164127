"""Tokens: whose they are, and when they end."""

from __future__ import annotations

import base64
import json

import pytest

from controller.sandbox.apiserver import ApiServer
from tests.unit.sandbox.apiserver.conftest import Asker, SetClock

ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
MAPS = "/api/v1/namespaces/default/configmaps"


def requested(ask: Asker, name: str = "robot", **spec: object) -> dict[str, str]:
    ask("POST", ACCOUNTS, {"metadata": {"name": name}})
    found: dict[str, str] = ask.ok("POST", f"{ACCOUNTS}/{name}/token", {"spec": spec})["status"]
    return found


def test_a_requested_token_ends_when_it_says(server: ApiServer, ask: Asker, clock: SetClock) -> None:
    status = requested(ask, expirationSeconds=600)
    assert status["expirationTimestamp"] == "2026-01-02T03:14:05Z"
    clock.advance(seconds=599)
    assert server.accounts.authenticate(status["token"]) is not None
    clock.advance(seconds=1)
    assert server.accounts.authenticate(status["token"]) is None


def test_a_shorter_token_may_be_granted_than_was_asked_for(server: ApiServer, ask: Asker) -> None:
    server.accounts.longest = 900
    assert requested(ask, expirationSeconds=86_400)["expirationTimestamp"] == "2026-01-02T03:19:05Z"


def test_a_token_dies_with_its_account_even_if_that_comes_back(server: ApiServer, ask: Asker) -> None:
    token = requested(ask)["token"]
    ask.ok("DELETE", f"{ACCOUNTS}/robot")
    assert server.accounts.authenticate(token) is None
    ask.ok("POST", ACCOUNTS, {"metadata": {"name": "robot"}})
    assert server.accounts.authenticate(token) is None


def test_the_token_of_a_secret_dies_with_the_secret(server: ApiServer, ask: Asker) -> None:
    ask.ok("POST", ACCOUNTS, {"metadata": {"name": "robot"}})
    annotations = {"kubernetes.io/service-account.name": "robot"}
    secret = {"metadata": {"name": "t", "annotations": annotations}, "type": "kubernetes.io/service-account-token"}
    path = "/api/v1/namespaces/default/secrets"
    ask.ok("POST", path, secret)
    token = base64.b64decode(ask.ok("GET", f"{path}/t")["data"]["token"]).decode()
    assert server.accounts.authenticate(token) is not None
    ask.ok("DELETE", f"{path}/t")
    assert server.accounts.authenticate(token) is None


@pytest.mark.parametrize("token", ["wrong", "a.b.c", "..", "é", "x" * 10_000])
def test_a_wrong_token_is_unauthorized(ask: Asker, token: str) -> None:
    ask.token = token
    assert ask("GET", MAPS).status == 401


def test_a_changed_claim_spoils_a_token(server: ApiServer, ask: Asker) -> None:
    head, claims, signature = requested(ask)["token"].split(".")
    told = json.loads(base64.urlsafe_b64decode(claims + "=="))
    told["exp"] += 1
    forged = base64.urlsafe_b64encode(json.dumps(told).encode()).decode().rstrip("=")
    assert server.accounts.authenticate(f"{head}.{forged}.{signature}") is None


def test_without_a_token_only_health_and_version_are_open(ask: Asker) -> None:
    ask.token = None
    assert {200} == {ask("GET", path).status for path in ("/healthz", "/livez", "/readyz", "/version")}
    assert {403} == {ask("GET", path).status for path in (MAPS, "/api", "/apis", "/openapi/v2")}


def test_whoever_asks_is_told_who_it_is(ask: Asker) -> None:
    ask.token = requested(ask)["token"]
    review = ask.ok("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert review["status"]["userInfo"]["username"] == "system:serviceaccount:default:robot"
