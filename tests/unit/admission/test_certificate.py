"""Certificates on real sockets: taken over as they change, the way the kubelet changes them, and never dropped."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trustme

from controller.admission import certificate as certificates
from controller.admission.certificate import Certificate

AUTHORITY = trustme.CA()


def pair(name: str = "127.0.0.1", key_type: trustme.KeyType = trustme.KeyType.ECDSA) -> tuple[bytes, bytes]:
    issued = AUTHORITY.issue_cert("127.0.0.1", common_name=name, key_type=key_type)
    return b"".join(blob.bytes() for blob in issued.cert_chain_pems), issued.private_key_pem.bytes()


def mount(folder: Path, version: str, certificate: bytes, key: bytes) -> None:
    """Write a pair as the kubelet does: into a folder of its own, then one symlink is exchanged."""
    (folder / version).mkdir()
    (folder / version / "tls.crt").write_bytes(certificate)
    (folder / version / "tls.key").write_bytes(key)
    (folder / "..new").symlink_to(version)
    (folder / "..new").replace(folder / "..data")
    for name in ("tls.crt", "tls.key"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")


@asynccontextmanager
async def listening(certificate: Certificate) -> AsyncIterator[int]:
    """A server that says what it hears; in the end all of its connections are closed."""
    served: list[asyncio.Task[None]] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        served.append(task)
        while line := await reader.readline():
            writer.write(line)
        await closed(writer)

    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=certificate.context)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*served)


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):  # the other side may have been faster
        await writer.wait_closed()


def trusting(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


async def shown(port: int) -> str:
    """Common name of the certificate that a new connection sees; the client names no server."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting())
    subject = writer.get_extra_info("peercert")["subject"]
    await closed(writer)
    return dict(entry[0] for entry in subject)["commonName"]


@pytest.mark.parametrize("key_type", list(trustme.KeyType))
async def test_a_new_pair_is_shown_to_new_connections_and_old_ones_live_on(
    tmp_path: Path, key_type: trustme.KeyType
) -> None:
    told: list[str] = []
    mount(tmp_path, "..1", *pair("first", trustme.KeyType.RSA))
    certificate = Certificate(str(tmp_path), told.append)
    certificate.refresh()
    async with listening(certificate) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting())
        mount(tmp_path, "..2", *pair("second", key_type))
        certificate.refresh()
        assert await shown(port) == "second"
        writer.write(b"still here\n")
        assert await reader.readline() == b"still here\n"
        await closed(writer)
    assert told == ["loaded", "loaded"]


@pytest.mark.parametrize("bad", ["mismatch", "text", "no key", "gone"])
async def test_a_bad_pair_leaves_the_last_good_one(tmp_path: Path, bad: str) -> None:
    told: list[str] = []
    mount(tmp_path, "..1", *pair("first"))
    certificate = Certificate(str(tmp_path), told.append)
    certificate.refresh()
    match bad:
        case "mismatch":
            mount(tmp_path, "..2", pair("second")[0], pair("third")[1])
        case "text":
            mount(tmp_path, "..2", b"not PEM", b"not PEM")
        case "no key":
            mount(tmp_path, "..2", pair("second")[0], b"")
        case _:
            (tmp_path / "tls.key").unlink()
    for _ in range(3):
        certificate.refresh()  # said once, not at every look
    async with listening(certificate) as port:
        assert await shown(port) == "first"
    assert told == ["loaded", "refused"]
    mount(tmp_path, "..3", *pair("repaired"))
    certificate.refresh()
    async with listening(certificate) as port:
        assert await shown(port) == "repaired"
    assert told == ["loaded", "refused", "loaded"]


async def test_a_pair_that_comes_late_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "POLL", 0.01)
    loaded = asyncio.Event()
    certificate = Certificate(str(tmp_path), lambda outcome: loaded.set() if outcome == "loaded" else None)
    async with listening(certificate) as port:
        following = asyncio.create_task(certificate.follow())
        assert not certificate.usable
        with pytest.raises(OSError):  # noqa: PT011 -- of TLS or of the socket, whichever is seen first
            await shown(port)
        mount(tmp_path, "..1", *pair("late"))
        await asyncio.wait_for(loaded.wait(), 5)
        assert await shown(port) == "late"
        following.cancel()
    assert certificate.ends is not None


async def test_files_of_the_same_content_are_no_news(tmp_path: Path) -> None:
    told: list[str] = []
    made = pair()
    mount(tmp_path, "..1", *made)
    certificate = Certificate(str(tmp_path), told.append)
    certificate.refresh()
    mount(tmp_path, "..2", *made)
    certificate.refresh()
    os.utime(tmp_path / "tls.crt")
    certificate.refresh()
    assert told == ["loaded"]


async def test_no_version_of_tls_below_1_2_is_spoken(tmp_path: Path) -> None:
    mount(tmp_path, "..1", *pair())
    certificate = Certificate(str(tmp_path), lambda _: None)
    certificate.refresh()
    async with listening(certificate) as port:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting(version))
            await closed(writer)
    assert certificate.context.minimum_version == ssl.TLSVersion.TLSv1_2
