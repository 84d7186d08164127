from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
import threading
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
import yaml
from click.testing import CliRunner, Result

from controller.__main__ import main
from controller.cli import run as command
from controller.kube.access import Access
from controller.kube.addresses import AddressPolicy
from controller.kube.credentials import StaticCredentials
from controller.kube.in_cluster import InCluster
from controller.sandbox.apiserver import ApiServer, kubeconfig, serve
from controller.settings import Settings

AUTHORITY = trustme.CA()
VARIABLES = (
    *("WATCH_NAMESPACE", "K8SSANDRA_CONTROL_PLANE", "KUBECONFIG", "HOT_RELOAD", "RENEW_TOKENS"),
    *("OPERATOR_NAMESPACE", "PER_NODE_CONFIG_IMAGE", "REQUEUE_DEFAULT_DELAY"),
)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*VARIABLES, "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(SSLProtocol, "max_size", SSLProtocol.max_size)  # a run changes it for the whole process


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """The settings that a command line and an environment mean."""
    seen: list[Settings] = []

    async def note(settings: Settings) -> None:
        seen.append(settings)

    monkeypatch.setattr(command, "_run", note)

    def parse(*arguments: str, **environment: str) -> Settings:
        result = invoke(*arguments, **environment)
        assert result.exit_code == 0, result.output
        return seen[-1]

    return parse


def invoke(*arguments: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(main, ["run", *arguments])


def test_defaults(parsed: Callable[..., Settings]) -> None:
    assert parsed() == Settings()


def test_flags_are_settings(parsed: Callable[..., Settings]) -> None:
    settings = parsed(
        *("--kubeconfig", "/a", "--context", "b", "--watch-namespace", "one", "--watch-namespace", "two"),
        *("--metrics-bind-address", "127.0.0.1:1", "--log-format", "console"),
        *("--health-probe-bind-address", "0", "--log-level", "debug", "--workers", "7"),
        *("--allow-proxy", "http://proxy:3128", "--allow-server-cidr", "169.254.0.0/16"),
        *("--hot-reload", "--renew-tokens", "--per-node-config-image", "mine:1"),
        *("--webhook", "--webhook-bind-address", "127.0.0.1:9", "--webhook-cert-dir", "/c"),
    )
    assert settings == Settings(
        kubeconfig="/a",
        context="b",
        watch_namespaces=("one", "two"),
        metrics_address="127.0.0.1:1",
        health_address="",
        log_format="console",
        log_level="debug",
        workers=7,
        allow_proxy=("http://proxy:3128",),
        allow_server_cidr=("169.254.0.0/16",),
        hot_reload=True,
        renew_tokens=True,
        per_node_config_image="mine:1",
        webhook_address="127.0.0.1:9",
        webhook_certificates="/c",
    )


@pytest.mark.parametrize(("value", "names"), [("", ()), ("a", ("a",)), ("a, b", ("a", "b"))])
def test_watch_namespace_comes_from_the_environment(
    parsed: Callable[..., Settings], value: str, names: tuple[str, ...]
) -> None:
    assert parsed(WATCH_NAMESPACE=value).watch_namespaces == names


def test_the_flag_wins_over_the_environment(parsed: Callable[..., Settings]) -> None:
    assert parsed("--watch-namespace", "flag", WATCH_NAMESPACE="a").watch_namespaces == ("flag",)


def test_what_is_off_by_default_can_be_switched_on_by_the_environment(parsed: Callable[..., Settings]) -> None:
    settings = parsed(HOT_RELOAD="true", RENEW_TOKENS="1")
    assert (settings.hot_reload, settings.renew_tokens) == (True, True)
    settings = parsed(HOT_RELOAD="false", RENEW_TOKENS="")
    assert (settings.hot_reload, settings.renew_tokens) == (False, False)


def test_the_controllers_own_namespace_is_its_pods_or_said_by_the_environment_or_the_kubeconfig() -> None:
    access = Access(server="https://10.0.0.1", certificate_authority=b"")
    pod, outside = InCluster(access, Path("token"), "pods"), StaticCredentials(access)
    environment = {"OPERATOR_NAMESPACE": "said"}
    found = [command.own_namespace(each, env) for each in (pod, outside) for env in (environment, {})]
    assert found == ["pods", "pods", "said", ""]


@pytest.mark.parametrize(("value", "is_one"), [("true", True), ("True", False), ("false", False), ("", False)])
def test_only_the_exact_word_makes_a_control_plane(parsed: Callable[..., Settings], value: str, is_one: bool) -> None:
    assert parsed(K8SSANDRA_CONTROL_PLANE=value).control_plane is is_one


def test_variables_without_effect_are_logged(
    parsed: Callable[..., Settings], capfd: pytest.CaptureFixture[str]
) -> None:
    parsed()
    assert "environment variable has no effect" not in capfd.readouterr().err
    result = invoke(REQUEUE_DEFAULT_DELAY="15s")
    [line] = [json.loads(line) for line in result.stderr.splitlines()]
    assert (line["event"], line["variable"]) == ("environment variable has no effect", "REQUEUE_DEFAULT_DELAY")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--metrics-bind-address", "8080"), "'8080' is not host:port"),
        (("--health-probe-bind-address", "host:x"), "'host:x' is not host:port"),
        (("--allow-server-cidr", "10.0.0.0/33"), "10.0.0.0/33"),
        (("--watch-namespace", "Not_One"), "--watch-namespace: 'Not_One' is no name of a namespace"),
        (("--workers", "0"), "0 is not in the range"),
        (("--kubeconfig", "/nowhere"), "/nowhere"),
    ],
)
def test_what_cannot_be_right_is_refused_at_once(arguments: tuple[str, ...], text: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code in (1, 2)
    assert text in result.stderr
    assert "Traceback" not in result.stderr


def test_a_bad_environment_is_refused_by_name() -> None:
    result = invoke(WATCH_NAMESPACE="a;b")
    assert result.exit_code == 1
    assert "WATCH_NAMESPACE: 'a;b' is no name of a namespace" in result.stderr


# ── a whole run ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def own_kubeconfig(tmp_path: Path) -> Iterator[Path]:
    """The kubeconfig of an API server that runs in another thread."""
    ready, done = threading.Event(), threading.Event()
    path = tmp_path / "own.kubeconfig"

    async def host() -> None:
        async with serve(ApiServer(name="control-plane")) as endpoint:
            path.write_text(yaml.safe_dump(kubeconfig(endpoint, "control-plane")))
            ready.set()
            while not done.is_set():
                await asyncio.sleep(0.01)

    thread = threading.Thread(target=asyncio.run, args=(host(),))
    thread.start()
    assert ready.wait(10)
    yield path
    done.set()
    thread.join(10)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run(own_kubeconfig: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    original = command.until_signal

    async def signalled() -> None:
        asyncio.get_running_loop().call_later(0.3, os.kill, os.getpid(), number)
        await original()

    monkeypatch.setattr(command, "until_signal", signalled)
    result = invoke("--kubeconfig", str(own_kubeconfig), *ANYWHERE)
    assert result.exit_code == 0, result.output
    events = [json.loads(line)["event"] for line in result.stderr.splitlines()]
    assert events[0] == "starting"
    assert events[-2:] == ["stopping", "stopped"]


def test_a_run_raises_the_limit_of_open_files(own_kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1] - 1, before[1]))
    try:

        async def at_once() -> None:
            return

        monkeypatch.setattr(command, "until_signal", at_once)
        result = invoke("--kubeconfig", str(own_kubeconfig), *ANYWHERE)
        assert json.loads(result.stderr.splitlines()[0])["open_files"] == before[1]
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == before[1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_run_begins_with_small_buffers(own_kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SSLProtocol, "max_size", 2**18)
    seen: list[int] = []

    async def look() -> None:
        seen.append(SSLProtocol.max_size)

    monkeypatch.setattr(command, "until_signal", look)
    invoke("--kubeconfig", str(own_kubeconfig), *ANYWHERE)
    assert seen == [2**14]


async def test_connections_to_a_host_share_what_resolves_its_name() -> None:
    make = command.transports(AddressPolicy())
    first, second, other = (
        make(StaticCredentials(Access(server=server, certificate_authority=AUTHORITY.cert_pem.bytes())), remote=True)
        for server in ("https://a.example:6443", "https://a.example/cluster/2", "https://b.example:6443")
    )
    assert first._resolver is second._resolver  # type: ignore[attr-defined]
    assert first._resolver is not other._resolver  # type: ignore[attr-defined]


ANYWHERE = ("--metrics-bind-address", "127.0.0.1:0", "--health-probe-bind-address", "127.0.0.1:0")


def test_an_address_in_use_is_said_without_a_traceback(own_kubeconfig: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = invoke("--kubeconfig", str(own_kubeconfig), "--health-probe-bind-address", address)
    assert result.exit_code == 1
    assert "address already in use" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_data_plane_has_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once() -> None:
        return

    monkeypatch.setattr(command, "until_signal", at_once)
    result = invoke(K8SSANDRA_CONTROL_PLANE="false")
    assert result.exit_code == 0
    assert "a data plane has nothing for this controller to do" in result.stderr


# ── the command line itself ─────────────────────────────────────────────────────────────────────────


def test_every_command_explains_itself() -> None:
    overview = CliRunner().invoke(main, ["--help"])
    for name in ("run", "register", "sandbox"):
        assert name in overview.output
        assert CliRunner().invoke(main, [name, "--help"]).exit_code == 0


def test_a_command_that_does_not_exist_is_said() -> None:
    result = CliRunner().invoke(main, ["nothing"])
    assert result.exit_code == 2
    assert "No such command 'nothing'" in result.stderr
