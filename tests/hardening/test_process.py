"""The process itself, as it is run: what it opens, starts and calls, what it says, and that it ends well (Z)."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import yaml

from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from controller.sandbox.apiserver import ApiServer, Endpoint, serve
from tests.hardening.kubeconfigs import CONNECTED, HOSTILE, SHAPES
from tests.hardening.stand import CANARY, NAMESPACE, STEADY, Stand, cluster_of, kubeconfig, operated, prepared
from tests.hardening.traps import PROCESSES
from tests.unit.kube.kubeconfigs import b64

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).parents[2]
# Loopback is allowed where the controller runs with a kubeconfig; and these names are nobody's to resolve.
ROWS = [row for row in (*SHAPES, *HOSTILE) if row.reason != CONNECTED and not re.match("H1[89]", row.id)]
HOOK = """
import os, sys
journal = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
watched = frozenset(sys.argv[2].split(","))
def notice(event, arguments):
    if event in watched:
        os.write(journal, f"{event} {arguments!r}\\n".encode())
sys.addaudithook(notice)
sys.argv = ["controller", *sys.argv[3:]]
from controller.__main__ import main
main()
"""
WATCHED = [*sorted(PROCESSES), "open", "socket.connect", "socket.getaddrinfo", "pickle.find_class", "ctypes.dlopen"]


class Process:
    """A controller in a process of its own, with what it did and said."""

    def __init__(self, running: asyncio.subprocess.Process, journal: Path, log: Path, ports: set[int]) -> None:
        self.running = running
        self.ports = ports
        self._journal = journal
        self._log = log

    def deeds(self, event: str) -> list[str]:
        return [
            rest for kind, _, rest in (line.partition(" ") for line in self._journal.read_text().splitlines())
            if kind == event
        ]  # fmt: skip

    @property
    def log(self) -> str:
        return self._log.read_text()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ended(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Process, dict[str, Any]]]:
    """A process that has lived among all the bad kubeconfigs, was scraped, and was asked to end."""
    folder = tmp_path_factory.mktemp("process")
    async with AsyncExitStack() as stack:
        one = Stand([STEADY])
        steady: ApiServer = one.servers[one.urls[STEADY]]
        control: Endpoint = await stack.enter_async_context(serve(one.control))
        plane: Endpoint = await stack.enter_async_context(serve(steady))
        await prepared(one)
        own = folder / "kubeconfig"
        own.write_bytes(access("own", control, one.control.admin_token))
        await one.put_secret(STEADY, access(STEADY, plane, steady.admin_token))
        await one.put_config(STEADY)
        places = {"MARKER": str(folder / "marker"), "PORT": "1", "FIFO": "/dev/zero", "SPARSE": "/dev/zero"}
        for row in ROWS:
            await one.put_secret(row.id.lower(), row.content(row.id.lower(), {**places, "GOOD": "https://192.0.2.1"}))
            await one.put_config(row.id.lower())
        await stack.enter_async_context(operated({STEADY: steady}))
        journal, log = folder / "journal", folder / "log"
        options = ["run", "--kubeconfig", str(own), "--context", "own", "--log-level", "debug"]
        options += ["--metrics-bind-address", "127.0.0.1:0", "--health-probe-bind-address", "0"]
        with log.open("wb") as stderr:
            running = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", HOOK, str(journal), ",".join(WATCHED), *options),
                cwd=ROOT, stderr=stderr, stdout=stderr, env={**os.environ, "CANARY": f"{CANARY}-environment"},
            )  # fmt: skip
        try:
            process = Process(running, journal, log, {port(control.url), port(plane.url)})
            for row in ROWS:
                await one.says(row.id.lower(), row.reason, within=30.0)
            await one.client.create(K8SSANDRA_CLUSTERS, NAMESPACE, cluster_of(STEADY))
            await one.until(lambda: one.says_of_datacenter("dc1", "", ""), "the good cluster converges", within=30.0)
            limits = Path(f"/proc/{running.pid}/limits").read_text()
            found = {"status": running.returncode, "metrics": await scraped(running.pid), "limits": limits}
            assert not (folder / "marker").exists()
            running.send_signal(signal.SIGTERM)
            await asyncio.wait_for(running.wait(), 15.0)
            yield process, found
        finally:
            if running.returncode is None:
                running.kill()
                await running.wait()


def access(context: str, endpoint: Endpoint, token: str) -> bytes:
    made = yaml.safe_load(kubeconfig(context, endpoint.url, **{"certificate-authority-data": b64(endpoint.ca_pem)}))
    made["users"][0]["user"]["token"] = token
    return yaml.safe_dump(made).encode()


def port(url: str) -> int:
    return int(url.rpartition(":")[2])


async def scraped(pid: int) -> str:
    """The metrics of a process, at whichever port it listens."""
    for candidate in listening(pid):
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{candidate}/metrics") as answer:
            return await answer.text()
    raise AssertionError("it listens nowhere")


def listening(pid: int) -> list[int]:
    sockets = {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()}
    found = []
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
            found.append(int(fields[1].rpartition(":")[2], 16))
    return found


Ended = tuple[Process, dict[str, Any]]


async def test_z02_no_process_was_ever_started(ended: Ended) -> None:
    process, _ = ended
    assert {event: process.deeds(event) for event in PROCESSES} == {event: [] for event in PROCESSES}
    assert process.deeds("pickle.find_class") == []


FILES = [
    r".*\.(py|pyc|so)",  # its own modules
    r".*/(site-packages|lib/python[0-9.]*)(/.*)?",  # and what they bring
    r".*\.pth|.*/pyvenv\.cfg|.*\.dist-info/.*",
    r".*/process[0-9]*/kubeconfig",  # the one that it was started with
    r"/proc/stat|/proc/(self|[0-9]+)/(stat|limits|fd(/[0-9]+)?)",  # figures for metrics
    r"/dev/null|/etc/(localtime|mime\.types|hosts|resolv\.conf|nsswitch\.conf)|.*/mime\.types",
    r"[0-9]+",  # a descriptor
]


async def test_z03_no_file_was_opened_but_its_own(ended: Ended) -> None:
    process, _ = ended
    paths = {match[1] for deed in process.deeds("open") if (match := re.match(r"\(b?'?([^',]*)", deed))}
    assert [path for path in sorted(paths) if not any(re.fullmatch(pattern, path) for pattern in FILES)] == []


async def test_z03_nobody_was_called_but_the_two_servers_that_may_be(ended: Ended) -> None:
    process, _ = ended
    called = {
        match[1] for deed in process.deeds("socket.connect") if (match := re.search(r"\('127.0.0.1', (\d+)\)", deed))
    }
    assert {int(number) for number in called} == process.ports
    assert [deed for deed in process.deeds("socket.connect") if "127.0.0.1" not in deed] == []


async def test_z29_a_process_says_nothing_secret_at_its_lowest_level(ended: Ended) -> None:
    process, found = ended
    assert '"level":"debug"' in process.log
    for text in (process.log, found["metrics"]):
        assert CANARY not in text
        assert "Y2FuYXJ5" not in text


async def test_z33_labels_of_metrics_are_contexts_kinds_and_codes(ended: Ended) -> None:
    labels = set(re.findall(r'[{,]([a-z_]+)="', ended[1]["metrics"]))
    assert labels <= {
        "context", "kind", "outcome", "le", "verb", "resource", "code", "task", "reason", "phase", "error", "result",
        "class", "from", "to", "implementation", "major", "minor", "patchlevel", "version", "generation", "from_phase",
        "to_phase", "direction", "clientconfig", "name", "state", "cause",
    }  # fmt: skip


async def test_z34_its_memory_is_not_written_to_a_disk(ended: Ended) -> None:
    (line,) = [line for line in ended[1]["limits"].splitlines() if line.startswith("Max core file size")]
    assert line.split()[4:6] == ["0", "0"]


async def test_it_lived_through_all_of_it_and_ended_as_it_was_asked_to(ended: Ended) -> None:
    process, found = ended
    assert found["status"] is None
    assert process.running.returncode == 0
    lines = [json.loads(line) for line in process.log.splitlines()]
    assert [line for line in lines if line["event"].startswith("task ended")] == []
    assert lines[-1]["event"] == "stopped"
