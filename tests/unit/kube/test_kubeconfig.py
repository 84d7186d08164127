from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from controller.kube import kubeconfig
from controller.kube.kubeconfig import KubeconfigError, Reason
from tests.unit.kube.kubeconfigs import (
    CONTEXT,
    authority,
    b64,
    certificate,
    document,
    dump,
    encrypted_key,
    key,
    with_certificate,
)

CA = authority().cert_pem.bytes()


def refusal(data: bytes, context: str = CONTEXT, **options: Any) -> KubeconfigError:
    with pytest.raises(KubeconfigError) as caught:
        kubeconfig.load(data, context, **options)
    return caught.value


def refused(changed: dict[str, Any], **options: Any) -> tuple[str, str]:
    error = refusal(dump(changed), **options)
    return error.reason.value, error.field


# ── what is accepted ────────────────────────────────────────────────────────────────────────────────


def test_a_token_kubeconfig_is_rebuilt() -> None:
    access = kubeconfig.load(dump(document()), CONTEXT)
    assert (access.server, access.token) == ("https://api.example:6443", "abc")
    assert CA.strip() == access.certificate_authority.strip()
    assert (
        access.client_certificate,
        access.client_key,
        access.tls_server_name,
        access.proxy,
    ) == (b"", b"", "", "")


def test_a_client_certificate_is_rebuilt() -> None:
    access = kubeconfig.load(dump(document(user=with_certificate())), CONTEXT)
    assert ("", certificate().strip(), key().strip()) == (
        access.token,
        access.client_certificate.strip(),
        access.client_key.strip(),
    )


def test_json_is_accepted() -> None:
    assert kubeconfig.load(json.dumps(document(), indent="\t").encode(), CONTEXT).token == "abc"


def test_a_byte_order_mark_is_accepted() -> None:
    assert kubeconfig.load(b"\xef\xbb\xbf" + dump(document()), CONTEXT).token == "abc"


@pytest.mark.parametrize(
    "changed",
    [
        document(preferences={"colors": True}, extensions=[{"name": "x"}]),
        document(**{"current-context": "another"}),
        document(apiVersion=None, kind=None),
        document(context={"namespace": "n", "extensions": [{"name": "x", "extension": {"a": 1}}]}),
        document(cluster={"extensions": [], "disable-compression": True, "insecure-skip-tls-verify": False}),
        document(cluster={"certificate-authority": None, "proxy-url": None}),
        document(user={"token": "abc", "exec": None, "extensions": None}),
    ],
    ids=["top", "current-context", "no kind", "context", "cluster", "cluster nulls", "user nulls"],
)
def test_fields_that_change_nothing_are_accepted(changed: dict[str, Any]) -> None:
    assert kubeconfig.load(dump(changed), CONTEXT).token == "abc"


def test_other_entries_are_never_judged() -> None:
    changed = document()
    changed["users"].append({"name": "colleague", "user": {"exec": {"command": "/bin/sh"}}})
    changed["clusters"].append({"name": "plain", "cluster": {"server": "http://old", "insecure-skip-tls-verify": True}})
    changed["contexts"].append({"name": "other", "context": {"cluster": "gone", "user": "gone"}})
    assert kubeconfig.load(dump(changed), CONTEXT).token == "abc"


@pytest.mark.parametrize("name", ["arn:aws:eks:eu-west-1:1:cluster/x", "user@cluster", "größe", "a b", "x" * 300])
def test_any_context_name_can_be_asked_for(name: str) -> None:
    changed = document()
    changed["contexts"][0]["name"] = name
    assert kubeconfig.load(dump(changed), name).token == "abc"


@pytest.mark.parametrize(
    ("server", "normal"),
    [
        ("https://API.Example:6443/", "https://api.example:6443"),
        ("HTTPS://api.example", "https://api.example"),
        ("https://rancher.example/k8s/clusters/c-1/", "https://rancher.example/k8s/clusters/c-1"),
        ("https://[2001:DB8:0::1]:6443", "https://[2001:db8::1]:6443"),
        ("https://10.0.0.1:6443", "https://10.0.0.1:6443"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://api.example./", "https://api.example."),
    ],
)
def test_servers_are_normalised(server: str, normal: str) -> None:
    assert normal == kubeconfig.load(dump(document(cluster={"server": server})), CONTEXT).server


def test_text_around_certificates_is_dropped() -> None:
    bundle = b"# our CA\nissuer=x\n" + CA + b"\n" + certificate()
    access = kubeconfig.load(dump(document(cluster={"certificate-authority-data": b64(bundle)})), CONTEXT)
    assert access.certificate_authority.count(b"BEGIN CERTIFICATE") == 2
    assert b"our CA" not in access.certificate_authority


@pytest.mark.parametrize(
    ("proxy", "pattern"),
    [
        ("http://proxy.example:3128", "http://proxy.example:3128"),
        ("http://Proxy.example:3128/", "http://*.example:3128"),
        ("https://10.0.0.1:8080", "https://10.0.0.*"),
    ],
)
def test_an_allowed_proxy_is_used(proxy: str, pattern: str) -> None:
    access = kubeconfig.load(dump(document(cluster={"proxy-url": proxy})), CONTEXT, allow_proxy=[pattern])
    assert proxy.lower().rstrip("/") == access.proxy


@pytest.mark.parametrize("name", ["kubernetes.default.svc", "10.0.0.1", "2001:db8::1"])
def test_a_server_name_is_kept(name: str) -> None:
    assert name == kubeconfig.load(dump(document(cluster={"tls-server-name": name})), CONTEXT).tls_server_name


# ── what is refused, by reason and field ────────────────────────────────────────────────────────────

MALFORMED, INSECURE, MISSING = "KubeconfigMalformed", "InsecureKubeconfig", "ContextNotFound"
SERVER = "clusters[0].cluster.server"
USER = "users[0].user"
TOKEN = f"{USER}.token"
CA_FIELD = "clusters[0].cluster.certificate-authority-data"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" \n",
        b"null",
        b"text",
        b"[]",
        b"{}",
        b"{}: x",
        b"a: b: c",
        b"{",
        b"a: 1\n---\nb: 2",
        b"a: &x b\nc: *x",
        b"a: &x [*x]",
        b"a: !!python/object/apply:os.system [id]",
        b"a: !x b",
        b"a: 1\na: 2",
        b"1: a",
        b"<<: {a: b}",
        b"[" * 10_000,
        b"{a: " * 10_000,
        b"- " * 10_000,
        b"\xff\xfea\x00",
        b"a: \xe4",
        b"a: \x00",
    ],
)
def test_what_is_not_plain_yaml_is_malformed(data: bytes) -> None:
    error = refusal(data)
    assert (error.reason, error.field) == (Reason.MALFORMED, "")


def test_what_is_not_yaml_is_named_by_line_and_column_without_its_text() -> None:
    error = refusal(b"apiVersion: v1\nusers: hunter2: x\n")
    assert "line 2, column 15" in str(error)
    assert "hunter2" not in str(error)


def test_a_file_over_the_cap_is_too_large() -> None:
    assert refusal(b" " * (kubeconfig.SIZE_CAP + 1)).reason is Reason.TOO_LARGE
    assert refusal(b" " * kubeconfig.SIZE_CAP).reason is Reason.MALFORMED


@pytest.mark.parametrize("context", ["", "other", " ", f"{CONTEXT} "])
def test_another_context_is_not_found(context: str) -> None:
    error = refusal(dump(document()), context)
    assert (error.reason, error.field) == (Reason.CONTEXT_NOT_FOUND, "contexts")


@pytest.mark.parametrize(
    ("expected", "changed"),
    [
        ((MALFORMED, "kind"), document(kind="Secret")),
        ((MALFORMED, "apiVersion"), document(apiVersion="v2")),
        ((MALFORMED, "clusters"), document(clusters={})),
        ((MALFORMED, "users"), document(users="u")),
        ((MALFORMED, "contexts[0]"), document(contexts=["x"])),
        ((MALFORMED, "contexts[0].context"), document(contexts=[{"name": CONTEXT}])),
        ((MALFORMED, "contexts[0].context.cluster"), document(context={"cluster": "gone"})),
        ((MALFORMED, "contexts[0].context.cluster"), document(context={"cluster": None})),
        ((INSECURE, "contexts[0].context.user"), document(context={"user": "gone"})),
        ((INSECURE, "contexts[0].context.user"), document(context={"user": ""})),
        ((INSECURE, "contexts[0].context.user"), document(context={"user": None})),
        ((INSECURE, "contexts[0].context.cloud"), document(context={"cloud": "x"})),
        ((INSECURE, "users[0].user"), document(users=[{"name": "u", "user": None}])),
        ((INSECURE, "users[0].user"), document(user={})),
        ((MALFORMED, "users[0].user"), document(users=[{"name": "u", "user": "token"}])),
        ((INSECURE, "users[0].exec"), document(users=[{"name": "u", "user": {"token": "a"}, "exec": {}}])),
        ((MALFORMED, "users[1].name"), document(users=[{"name": "u", "user": {"token": "a"}}, {"name": "u"}])),
        ((MALFORMED, "contexts[1].name"), document(contexts=[*document()["contexts"], *document()["contexts"]])),
    ],
)
def test_broken_structure_is_refused(expected: tuple[str, str], changed: dict[str, Any]) -> None:
    assert expected == refused(changed)


@pytest.mark.parametrize(
    ("reason", "server"),
    [
        *(
            (MALFORMED, s)
            for s in (
                None,
                6443,
                "",
                " ",
                "api.example:6443",
                "https://",
                "https:///x",
                "https:api",
                "file:///etc/passwd",
            )
        ),
        *((MALFORMED, s) for s in ("https://a b", "https://a\r\nx: y", "https://a\x00", "https://api:0")),
        *((MALFORMED, s) for s in ("https://api:99999", "https://api:6443x", "https://api:", "https://[::1")),
        *((MALFORMED, s) for s in ("https://[fe80::1%eth0]", "https://::1", "https://-a.example", "https://a..b")),
        *(
            (MALFORMED, s)
            for s in ("https://api\\.evil.example", "https://a/\x7f", "https://a/%zz", "https://" + "a" * 64)
        ),
        *((INSECURE, s) for s in ("http://api.example", "ftp://api.example")),
        *((INSECURE, s) for s in ("https://u:p@api.example", "https://api?x=y", "https://api#f", "https://@api")),
        *((INSECURE, s) for s in ("https://api/a/../b", "https://api/./b", "https://api/%2e%2e/b", "https://api/a//b")),
        *((INSECURE, s) for s in ("https://2130706433", "https://127.1", "https://0x7f000001", "https://0177.0.0.1")),
        (INSECURE, "https://１２７.1"),
    ],
)
def test_servers_that_are_none_are_refused(reason: str, server: Any) -> None:
    assert (reason, SERVER) == refused(document(cluster={"server": server}))


@pytest.mark.parametrize(
    ("reason", "user"),
    [
        *((INSECURE, {"token": t}) for t in ("", " ", "\n")),
        *((MALFORMED, {"token": t}) for t in ("a b", "a\n", "a\r\nX-Remote-User: admin", "ä", "a\x7f", "a" * 20_000)),
        *((MALFORMED, {"token": t}) for t in (5, ["a"], True, {"a": "b"})),
    ],
)
def test_tokens_that_cannot_go_into_a_header_are_refused(reason: str, user: dict[str, Any]) -> None:
    assert (reason, TOKEN) == refused(document(user=user))


@pytest.mark.parametrize("field", ["client-certificate-data", "client-key-data"])
def test_half_a_client_certificate_is_malformed(field: str) -> None:
    user = with_certificate()
    del user[field]
    assert (MALFORMED, f"{USER}.{field}") == refused(document(user=user))


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        (f"{USER}.client-key-data", {"client-key-data": "%%%"}),
        (f"{USER}.client-key-data", {"client-key-data": b64(CA)}),
        (f"{USER}.client-key-data", {"client-key-data": b64(key() + key("other"))}),
        (f"{USER}.client-key-data", {"client-key-data": b64(encrypted_key())}),
        (
            f"{USER}.client-key-data",
            {"client-key-data": b64(encrypted_key(serialization.PrivateFormat.TraditionalOpenSSL))},
        ),
        (f"{USER}.client-certificate-data", {"client-certificate-data": b64(key())}),
        (f"{USER}.client-certificate-data", {"client-certificate-data": b64(b"-----BEGIN CERTIFICATE-----\nx")}),
        (USER, {"client-key-data": b64(key("other"))}),
        (USER, {"token": "abc"}),
    ],
)
def test_client_certificates_that_cannot_work_are_refused(field: str, changes: dict[str, str]) -> None:
    reason = INSECURE if "token" in changes else MALFORMED
    assert (reason, field) == refused(document(user=with_certificate(**changes)))


@pytest.mark.parametrize(
    ("reason", "authority_data"),
    [
        (INSECURE, None),
        (INSECURE, ""),
        (INSECURE, b64(CA + key())),
        (MALFORMED, "not base64!"),
        (MALFORMED, b64(b"not PEM")),
        (MALFORMED, b64(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")),
        (MALFORMED, b64((b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n") * 65)),
        (MALFORMED, 5),
    ],
)
def test_authorities_that_verify_nothing_are_refused(reason: str, authority_data: Any) -> None:
    assert (reason, CA_FIELD) == refused(document(cluster={"certificate-authority-data": authority_data}))


@pytest.mark.parametrize("name", ["a\r\nb", "a b", "-", "a/b", "*.example", "a:1"])
def test_server_names_that_are_none_are_refused(name: str) -> None:
    assert refused(document(cluster={"tls-server-name": name})) == (INSECURE, "clusters[0].cluster.tls-server-name")


@pytest.mark.parametrize(
    "proxy",
    [
        "http://169.254.169.254",
        "socks5://proxy.example:3128",
        "http://proxy.example:3128@evil.example",
        "http://proxy.example:3128/x",
        "http://evil.example/?http://proxy.example:3128",
        "file:///etc/passwd",
        "proxy.example:3128",
    ],
)
def test_other_proxies_are_refused(proxy: str) -> None:
    changed = document(cluster={"proxy-url": proxy})
    assert refused(changed, allow_proxy=["http*://proxy.example:3128*"]) == (INSECURE, "clusters[0].cluster.proxy-url")


# ── what an error says ──────────────────────────────────────────────────────────────────────────────


def test_errors_name_the_field_and_what_is_allowed() -> None:
    error = refusal(dump(document(user={"tokenFile": "/var/run/secrets/token"})))
    assert str(error).startswith("users[0].user.tokenFile: not allowed")
    assert "only token is allowed" in error.message


@pytest.mark.parametrize("pasted", ["eyJhbGciOi.J9.c2ln", "a\nb", "\x1b[31m", "{secret}", "x" * 64])
def test_what_was_pasted_in_place_of_a_field_is_not_shown(pasted: str) -> None:
    error = refusal(dump(document(user={pasted: 1})))
    assert (error.reason, error.field) == (Reason.INSECURE, USER)
    assert pasted not in str(error)


def test_names_of_contexts_are_shown_escaped_and_cut() -> None:
    text = str(refusal(dump(document()), "a\n\x1b[31m" + "x" * 10_000))
    assert text.isprintable()
    assert len(text) < 320
