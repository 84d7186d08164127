from __future__ import annotations

import asyncio
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controller.kube import exec_plugin
from controller.kube.exec_plugin import ExecPlugin
from controller.kube.in_cluster import REREAD, CredentialsUnavailable, InCluster, in_cluster
from controller.kube.own_kubeconfig import OwnKubeconfig, load_own, own_credentials
from tests.unit.kube.kubeconfigs import CONTEXT, authority, b64, certificate, document, dump, key, with_certificate

V1 = "client.authentication.k8s.io/v1"


@pytest.fixture
def own(tmp_path: Path) -> Callable[..., Path]:
    """Writes a kubeconfig of the user, which is the current context."""

    def write(name: str = "config", **changes: Any) -> Path:
        path = tmp_path / name
        path.write_bytes(dump({"current-context": CONTEXT} | document(**changes)))
        return path

    return write


def program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def printing(status: str, version: str = V1) -> str:
    """A line of shell that answers as a plugin does; variables of the environment are filled in."""
    return f'cat <<END\n{{"apiVersion": "{version}", "kind": "ExecCredential", "status": {status}}}\nEND'


TOKEN_ONE, TOKEN_TWO = '{"token": "one"}', '{"token": "two"}'


def plugin_printing(directory: Path, status: str) -> dict[str, Any]:
    program(directory / "plugin", printing(status))
    return {"exec": {"apiVersion": V1, "command": "./plugin"}}


# ── a trusted kubeconfig ────────────────────────────────────────────────────────────────────────────


async def test_a_token_and_its_context_are_loaded(own: Callable[..., Path]) -> None:
    loaded = await load_own(str(own(context={"namespace": "n"})))
    assert (loaded.bearer(), loaded.context, loaded.namespace) == ("abc", CONTEXT, "n")
    assert loaded.access.server == "https://api.example:6443"
    assert loaded.access.certificate_authority.strip() == authority().cert_pem.bytes().strip()


async def test_files_are_read_into_memory_relative_to_the_kubeconfig(own: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(authority().cert_pem.bytes())
    (tmp_path / "cert.pem").write_bytes(certificate())
    (tmp_path / "key.pem").write_bytes(key())
    path = own(
        cluster={"certificate-authority-data": None, "certificate-authority": "ca.pem"},
        user={"client-certificate": "cert.pem", "client-key": str(tmp_path / "key.pem")},
    )
    access = (await load_own(str(path))).access
    assert (access.client_certificate, access.client_key, access.token) == (certificate(), key(), "")
    assert access.certificate_authority == authority().cert_pem.bytes()


async def test_loading_leaves_no_file_and_no_descriptor(
    own: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    path = own(user=with_certificate())
    await load_own(str(path))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        await load_own(str(path))
    assert (len(os.listdir("/proc/self/fd")), list(scratch.iterdir())) == (before, [])


async def test_kubeconfigs_are_merged_as_kubectl_does(own: Callable[..., Path]) -> None:
    first, second = own("first"), own("second", user={"token": "second"})
    other = document(user={"token": "other"})
    other["contexts"] = [{"name": "other", "context": {"cluster": "c", "user": "v"}}]
    other["users"][0]["name"] = "v"
    second.write_bytes(dump(other))
    environ = {"KUBECONFIG": f"{first}:{second}:{first.parent / 'absent'}"}
    assert (await load_own(environ=environ)).bearer() == "abc"
    assert (await load_own(context="other", environ=environ)).bearer() == "other"


async def test_a_token_file_wins_is_stripped_and_read_again(own: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one\n")
    loaded = await load_own(str(own(user={"token": "abc", "tokenFile": "token"})))
    assert loaded.bearer() == "one"
    (tmp_path / "token").write_text("two\n")
    assert await loaded.rejected("one")
    assert loaded.bearer() == "two"
    assert not await loaded.rejected("two")


@pytest.mark.looptime
async def test_a_token_file_is_read_again_every_minute(own: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one")
    loaded = await load_own(str(own(user={"tokenFile": "token"})))
    assert loaded.bearer() == "one"
    (tmp_path / "token").write_text("two")
    await asyncio.sleep(REREAD - 1)
    assert loaded.bearer() == "one"
    await asyncio.sleep(1)
    assert loaded.bearer() == "two"
    (tmp_path / "token").unlink()
    await asyncio.sleep(REREAD)
    assert loaded.bearer() == "two"


@pytest.mark.parametrize(
    ("says", "changes"),
    [
        ("no credentials", {"user": {}}),
        ("username", {"user": {"username": "a", "password": "b"}}),
        ("impersonation", {"user": {"token": "a", "as": "b"}}),
        ("both its certificate", {"user": {"client-certificate-data": b64(certificate())}}),
        ("No such file", {"user": {"tokenFile": "absent"}}),
        ("insecure-skip-tls-verify", {"cluster": {"insecure-skip-tls-verify": True}}),
        ("https://", {"cluster": {"server": "http://api.example"}}),
        ("not base64", {"cluster": {"certificate-authority-data": "%"}}),
        ("no entry named", {"context": {"user": "gone"}}),
        ("must be one of", {"user": {"exec": {"command": "x", "apiVersion": "v9"}}}),
        ("needs command", {"user": {"exec": {"apiVersion": V1}}}),
        ("oidc", {"user": {"auth-provider": {"name": "oidc", "config": {"refresh-token": "canary"}}}}),
    ],
)
async def test_what_cannot_work_is_said(own: Callable[..., Path], says: str, changes: dict[str, Any]) -> None:
    with pytest.raises(CredentialsUnavailable, match=says) as caught:
        await load_own(str(own(**changes)))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "a: b: c", "{}"])
async def test_what_is_no_kubeconfig_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(CredentialsUnavailable, match="config"):
        await load_own(str(tmp_path / "config"))


async def test_an_absent_kubeconfig_is_said(tmp_path: Path) -> None:
    with pytest.raises(CredentialsUnavailable, match="no such kubeconfig"):
        await load_own(str(tmp_path / "config"))


async def test_the_lack_of_a_home_folder_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(CredentialsUnavailable, match="no home folder: --kubeconfig"):
        await load_own(environ={})


# ── credential plugins ──────────────────────────────────────────────────────────────────────────────


async def test_a_plugin_gives_a_token(own: Callable[..., Path], tmp_path: Path) -> None:
    loaded = await load_own(str(own(user=plugin_printing(tmp_path, '{"token": "one"}'))))
    assert loaded.bearer() == "one"


async def test_a_plugin_gives_a_certificate(own: Callable[..., Path], tmp_path: Path) -> None:
    status = '{"clientCertificateData": "cert", "clientKeyData": "key"}'
    access = (await load_own(str(own(user=plugin_printing(tmp_path, status))))).access
    assert (access.token, access.client_certificate, access.client_key) == ("", b"cert", b"key")


async def test_a_rejected_token_runs_the_plugin_once_for_all(own: Callable[..., Path], tmp_path: Path) -> None:
    user = plugin_printing(tmp_path, '{"token": "one"}')
    loaded = await load_own(str(own(user=user)))
    program(tmp_path / "plugin", f"echo x >> {tmp_path}/ran\n{printing(TOKEN_TWO)}")
    assert await asyncio.gather(*(loaded.rejected("one") for _ in range(4))) == [True] * 4
    assert (loaded.bearer(), (tmp_path / "ran").read_text()) == ("two", "x\n")


async def test_a_failing_plugin_leaves_the_last_good_token(own: Callable[..., Path], tmp_path: Path) -> None:
    loaded = await load_own(str(own(user=plugin_printing(tmp_path, '{"token": "one"}'))))
    program(tmp_path / "plugin", "exit 3")
    assert not await loaded.rejected("one")
    assert loaded.bearer() == "one"
    with pytest.raises(CredentialsUnavailable, match="ended with 3"):
        await loaded.refresh()


async def test_a_plugin_is_told_the_cluster_and_its_environment(own: Callable[..., Path], tmp_path: Path) -> None:
    user = plugin_printing(tmp_path, '{"token": "$NAME"}')
    user["exec"] |= {"provideClusterInfo": True, "env": [{"name": "NAME", "value": "from-env"}]}
    program(
        tmp_path / "plugin",
        f'printf %s "$KUBERNETES_EXEC_INFO" > {tmp_path}/info\n' + printing('{"token": "$NAME"}'),
    )
    loaded = await load_own(str(own(user=user)))
    assert loaded.bearer() == "from-env"
    assert "https://api.example:6443" in (tmp_path / "info").read_text()


def plugin(path: Path) -> ExecPlugin:
    return exec_plugin.from_user({"apiVersion": V1, "command": str(path), "installHint": "install it"}, Path(), {})


async def test_a_late_plugin_is_killed_with_its_children(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "alive")
    reader = asyncio.StreamReader()
    pipe = os.fdopen(os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK), "rb")
    path = program(tmp_path / "plugin", f"exec 9> {tmp_path}/alive\necho started >&9\nsleep 60 &\nwait")
    with pytest.raises(CredentialsUnavailable, match="no answer within"):
        await plugin(path).run(deadline=0.5)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    # The end of the pipe comes when the last process that holds it has ended.
    assert await asyncio.wait_for(reader.read(), 10) == b"started\n"
    transport.close()


async def test_a_plugin_that_floods_stderr_does_not_hang(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = program(tmp_path / "plugin", f"head -c 300000 /dev/zero >&2\n{printing(TOKEN_ONE)}")
    assert (await plugin(path).run(deadline=20)).token == "one"
    assert len(capfd.readouterr().err) == 300_000


@pytest.mark.parametrize(
    ("says", "script"),
    [
        ("printed no ExecCredential", "echo secret"),
        ("printed no ExecCredential", "true"),
        ("neither a token", printing("{}")),
        ("another version", printing('{"token": "secret"}', "v9")),
        ("ended with 1", "echo secret; exit 1"),
    ],
)
async def test_a_plugin_without_an_answer_is_said(tmp_path: Path, says: str, script: str) -> None:
    with pytest.raises(CredentialsUnavailable, match=says) as caught:
        await plugin(program(tmp_path / "plugin", script)).run()
    assert "secret" not in str(caught.value)


async def test_an_absent_plugin_is_said_with_its_hint(tmp_path: Path) -> None:
    with pytest.raises(CredentialsUnavailable, match=r"No such file.*\(install it\)"):
        await plugin(tmp_path / "absent").run()


# ── a pod ───────────────────────────────────────────────────────────────────────────────────────────

ENVIRON = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}


@pytest.fixture
def pod(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("one\n")
    (tmp_path / "ca.crt").write_bytes(b"ca")
    return tmp_path


def loaded(pod: Path, environ: dict[str, str] = ENVIRON) -> InCluster:
    found = in_cluster(environ, pod)
    assert found is not None
    return found


async def test_a_pod_has_its_token_and_authority(pod: Path) -> None:
    credentials = loaded(pod)
    assert (credentials.access.server, credentials.access.certificate_authority) == ("https://10.96.0.1:443", b"ca")
    assert credentials.bearer() == "one"
    assert "one" not in repr(credentials)


def test_an_ipv6_service_is_put_in_brackets(pod: Path) -> None:
    assert loaded(pod, ENVIRON | {"KUBERNETES_SERVICE_HOST": "fd00::1"}).access.server == "https://[fd00::1]:443"


@pytest.mark.parametrize("missing", ENVIRON)
def test_outside_a_pod_there_is_nothing(pod: Path, missing: str) -> None:
    assert in_cluster(ENVIRON | {missing: ""}, pod) is None


def test_a_pod_without_a_token_has_nothing(pod: Path) -> None:
    (pod / "token").unlink()
    assert in_cluster(ENVIRON, pod) is None


@pytest.mark.parametrize(("file", "content"), [("ca.crt", None), ("token", b""), ("token", b"a b"), ("token", b"\xff")])
def test_incomplete_credentials_are_said(pod: Path, file: str, content: bytes | None) -> None:
    (pod / file).unlink()
    if content is not None:
        (pod / file).write_bytes(content)
    with pytest.raises(CredentialsUnavailable, match=file):
        in_cluster(ENVIRON, pod)


@pytest.mark.looptime
async def test_the_token_of_a_pod_is_read_again_every_minute(pod: Path) -> None:
    credentials = loaded(pod)
    credentials.bearer()
    (pod / "token").write_text("two\n")
    await asyncio.sleep(REREAD - 1)
    assert credentials.bearer() == "one"
    await asyncio.sleep(1)
    assert credentials.bearer() == "two"
    (pod / "token").write_text("")
    await asyncio.sleep(REREAD)
    assert credentials.bearer() == "two"


async def test_the_token_of_a_pod_is_read_again_when_rejected(pod: Path) -> None:
    credentials = loaded(pod)
    assert not await credentials.rejected("one")
    (pod / "token").write_text("two\n")
    assert await credentials.rejected("one")
    assert credentials.bearer() == "two"


async def test_a_kubeconfig_that_was_named_wins_over_the_pod(own: Callable[..., Path]) -> None:
    assert isinstance(await own_credentials(str(own()), environ=ENVIRON), OwnKubeconfig)
    assert isinstance(await own_credentials(environ={"KUBECONFIG": str(own())}), OwnKubeconfig)
