"""Kubeconfigs made to do harm: each is refused, and a trap shows that nothing happened on the way."""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.kube import kubeconfig
from controller.kube.kubeconfig import KubeconfigError, Reason
from tests.hardening.traps import armed
from tests.unit.kube.kubeconfigs import CONTEXT, b64, document, dump, with_certificate


def refusal(data: bytes) -> KubeconfigError:
    with armed() as sprung, pytest.raises(KubeconfigError) as caught:
        kubeconfig.load(data, CONTEXT)
    assert sprung == []
    return caught.value


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """A file that a program would make if it ran."""
    path = tmp_path / "ran"
    yield path
    assert not path.exists()


def test_the_trap_springs(tmp_path: Path) -> None:
    with armed() as sprung:
        (tmp_path / "x").write_text("x")
    assert [event for event, _ in sprung] == ["open"]


def test_a_good_kubeconfig_springs_no_trap_either() -> None:
    with armed() as sprung:
        kubeconfig.load(dump(document(user=with_certificate())), CONTEXT)
        kubeconfig.load(dump(document()), CONTEXT)
    assert sprung == []


USER, CLUSTER = "users[0].user", "clusters[0].cluster"
TOKEN_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/token"


@pytest.mark.parametrize(
    "exec_fields",
    [
        {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/sh", "args": ["-c", "touch {marker}"]},
        {"command": "sh"},
        {"command": "touch", "env": [{"name": "LD_PRELOAD", "value": "./x.so"}], "installHint": "x" * 10_000},
        {},
        "touch {marker}",
        [],
        False,
    ],
)
@pytest.mark.parametrize("beside", [{}, {"token": "abc"}])
def test_programs_do_not_run(exec_fields: Any, beside: dict[str, str], marker: Path) -> None:
    text = dump(document(user={**beside, "exec": exec_fields})).replace(b"{marker}", str(marker).encode())
    error = refusal(text)
    assert (error.reason, error.field) == (Reason.INSECURE, f"{USER}.exec")
    assert "xxx" not in str(error)


@pytest.mark.parametrize("name", ["gcp", "oidc", "azure", "openstack", "unknown"])
def test_auth_providers_do_not_run(name: str) -> None:
    config = {"cmd-path": "/bin/sh", "idp-issuer-url": "https://169.254.169.254", "id-token": "a.b.c"}
    error = refusal(dump(document(user={"auth-provider": {"name": name, "config": config}})))
    assert (error.reason, error.field) == (Reason.INSECURE, f"{USER}.auth-provider")


PATHS = [
    TOKEN_FILE,
    "token",
    "../token",
    "/proc/self/environ",
    "/dev/zero",
    "file:///etc/passwd",
    "~/.kube/config",
    "$HOME/x",
    "",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("field", ["tokenFile", "client-certificate", "client-key"])
@pytest.mark.parametrize("beside", [{"token": "abc"}, with_certificate()], ids=["token", "certificate"])
def test_files_of_a_user_are_not_read(path: str, field: str, beside: dict[str, str]) -> None:
    error = refusal(dump(document(user={**beside, field: path})))
    assert (error.reason, error.field) == (Reason.INSECURE, f"{USER}.{field}")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("beside", [{}, {"certificate-authority-data": None}], ids=["with data", "alone"])
def test_the_file_of_an_authority_is_not_read(path: str, beside: dict[str, None]) -> None:
    error = refusal(dump(document(cluster={**beside, "certificate-authority": path})))
    assert (error.reason, error.field) == (Reason.INSECURE, f"{CLUSTER}.certificate-authority")


def test_a_fifo_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert refusal(dump(document(user={"tokenFile": str(tmp_path / "fifo")}))).reason is Reason.INSECURE


@pytest.mark.parametrize("value", ["true", '"true"', "1", "yes", '"false"', "on", "0", "[]", "{}"])
@pytest.mark.parametrize("authority", [True, False])
def test_tls_is_always_verified(value: str, authority: bool) -> None:
    change: dict[str, Any] = {} if authority else {"certificate-authority-data": None}
    text = dump(document(cluster={**change, "insecure-skip-tls-verify": "HERE"})).replace(b"HERE", value.encode())
    error = refusal(text)
    assert (error.reason, error.field) == (Reason.INSECURE, f"{CLUSTER}.insecure-skip-tls-verify")


@pytest.mark.parametrize("url", ["http://169.254.169.254", "socks5://127.0.0.1:1080", "file:///x"])
def test_proxies_are_not_used(url: str) -> None:
    error = refusal(dump(document(cluster={"proxy-url": url})))
    assert (error.reason, error.field) == (Reason.INSECURE, f"{CLUSTER}.proxy-url")


@pytest.mark.parametrize("field", ["as", "as-uid", "as-groups", "as-user-extra", "username", "password"])
def test_impersonation_and_passwords_are_refused(field: str) -> None:
    error = refusal(dump(document(user={"token": "abc", field: "admin"})))
    assert (error.reason, error.field) == (Reason.INSECURE, f"{USER}.{field}")


def test_the_controllers_own_server_without_credentials_is_refused() -> None:
    error = refusal(dump(document(cluster={"server": "https://kubernetes.default.svc"}, user={})))
    assert (error.reason, error.field) == (Reason.INSECURE, USER)


# ── files made to cost much ─────────────────────────────────────────────────────────────────────────

MIB = 2**20


COSTLY: dict[str, Callable[[int], bytes]] = {
    "sequences": lambda size: b"[" * size,
    "mappings": lambda size: (b"{a: " * size)[:size],
    "flat": lambda size: b"[" + b"a," * (size // 2 - 1) + b"]",
    "keys": lambda size: b"".join(b"k%d: v\n" % i for i in range(size // 11)).ljust(size),
    "dashes": lambda size: b"- " * (size // 2),
    "questions": lambda size: b"? " * (size // 2),
    "scalar": lambda size: b"a: '" + b"x" * (size - 8) + b"'",
    "escapes": lambda size: b'a: "' + b"\\u0041" * (size // 6 - 2) + b'"',
    "comments": lambda size: b"#\n" * (size // 2),
    "anchors": lambda size: b"".join(b"- &a%d x\n" % i for i in range(size // 11)).ljust(size),
    "aliases": lambda size: b"a: &a [x]\nb: [" + b"*a," * (size // 3 - 8) + b"]",
    "tags": lambda size: b"!" * size,
    "directives": lambda size: b"%YAML 1.1\n" * (size // 10),
    "colons": lambda size: b"a:" * (size // 2),
    "begins": lambda size: dump(
        document(cluster={"certificate-authority-data": b64(b"-----BEGIN X-----" * (size // 24))})
    ),
    "dots": lambda size: dump(document(cluster={"server": "https://" + "a." * (size // 2 - 900)})),
}


@pytest.mark.parametrize("kind", COSTLY)
def test_a_mebibyte_costs_next_to_nothing(kind: str) -> None:
    data = COSTLY[kind](MIB + 8192)
    started = time.process_time()
    error = refusal(data)
    assert time.process_time() - started < 0.005
    assert error.reason is Reason.TOO_LARGE


@pytest.mark.parametrize("kind", COSTLY)
def test_what_is_just_under_the_cap_costs_little(kind: str) -> None:
    data = COSTLY[kind](kubeconfig.SIZE_CAP - 3072)
    tracemalloc.start()
    try:
        started = time.process_time()
        refusal(data)
        seconds, (_, peak) = time.process_time() - started, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seconds < 0.2  # a tenth of it without the tracing, on a machine that is busy with nothing else
    assert peak < 8 * MIB


# ── whatever comes ──────────────────────────────────────────────────────────────────────────────────

GOOD = dump(document(user=with_certificate()))

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)


def _never_anything_else(data: bytes, check: Callable[[KubeconfigError], None] = lambda _: None) -> None:
    with armed() as sprung:
        try:
            kubeconfig.load(data, CONTEXT)
        except KubeconfigError as error:
            check(error)
    assert sprung == []


def _says_little(error: KubeconfigError) -> None:
    assert str(error).isprintable()
    assert len(str(error)) < 700


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    _never_anything_else(data, _says_little)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_mutated_kubeconfig_is_loaded_or_refused(data: st.DataObject) -> None:
    mutated = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(mutated) - 1))
        until = at + data.draw(st.integers(0, 40))
        mutated[at:until] = data.draw(
            st.binary(max_size=20) | st.sampled_from([b"\n", b": ", b"- ", b"&a ", b"*a", b"{"])
        )
    _never_anything_else(bytes(mutated), _says_little)


FIELDS = [
    *(("clusters", "cluster", f) for f in ("server", "certificate-authority-data", "tls-server-name", "proxy-url")),
    *(("clusters", "cluster", f) for f in ("insecure-skip-tls-verify", "certificate-authority", "extensions", "x")),
    *(("users", "user", f) for f in ("token", "tokenFile", "client-certificate-data", "client-key-data", "exec", "as")),
    *(("contexts", "context", f) for f in ("cluster", "user", "namespace", "x")),
]


@given(st.sampled_from(FIELDS), json_values)
def test_any_value_in_any_field_is_loaded_or_refused(at: tuple[str, str, str], value: Any) -> None:
    section, kind, field = at
    changed = document(user=with_certificate())
    changed[section][0][kind][field] = value
    _never_anything_else(dump(changed), _says_little)


@given(st.sampled_from(["clusters", "users", "contexts", "kind", "apiVersion", "preferences"]), json_values)
def test_any_value_at_the_top_is_loaded_or_refused(field: str, value: Any) -> None:
    _never_anything_else(dump(document() | {field: value}), _says_little)


@given(st.text(min_size=1, max_size=60))
def test_any_server_is_normalised_to_one_that_stays_or_refused(server: str) -> None:
    def load(text: str) -> str:
        return kubeconfig.load(dump(document(cluster={"server": text})), CONTEXT).server

    try:
        once = load(f"https://{server}")
    except KubeconfigError:
        return
    assert load(once) == once
    assert once.isascii()
