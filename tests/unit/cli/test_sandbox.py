from __future__ import annotations

import asyncio
import os
import re
import signal
import stat
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from controller.__main__ import main
from controller.cli import sandbox as command

SAMPLE = Path(__file__).parents[3] / "manifests" / "samples" / "demo.yaml"
FULL = SAMPLE.with_name("full.yaml")


def invoke(directory: Path, *arguments: str) -> Result:
    common = ("--clusters", "1", "--ready-after", "0", "--directory", str(directory))
    return CliRunner().invoke(main, ["sandbox", *common, *arguments])


@pytest.fixture
def small(tmp_path: Path) -> str:
    """The sample with one datacenter only."""
    document = yaml.safe_load(SAMPLE.read_text("utf-8"))
    del document["spec"]["cassandra"]["datacenters"][1:]
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(document), "utf-8")
    return str(path)


def test_until_ready_ends_when_everything_is(tmp_path: Path, small: str) -> None:
    result = invoke(tmp_path, "--apply", small, "--until-ready", "--timeout", "30")
    assert result.exit_code == 0, result.output
    assert "everything applied is Ready after" in result.output


def test_the_full_sample_gets_ready_with_few_requests(tmp_path: Path) -> None:
    result = invoke(tmp_path, "--clusters", "3", "--apply", str(FULL), "--until-ready", "--timeout", "30")
    assert result.exit_code == 0, result.output
    requests = re.search(r"the controller made (\d+) requests", result.output)
    assert requests is not None
    assert int(requests[1]) <= 60


def test_a_manifest_for_a_context_that_is_not_there_is_said(tmp_path: Path) -> None:
    result = invoke(tmp_path, "--apply", str(FULL), "--until-ready")
    assert result.exit_code == 1
    assert "sandbox.k8ssandra.io/contexts names kind-k8ssandra-2; there are kind-k8ssandra-1" in result.output


def test_a_timeout_says_what_is_not_ready(tmp_path: Path, small: str) -> None:
    result = invoke(tmp_path, "--apply", small, "--until-ready", "--timeout", "0.5", "--no-controller")
    assert result.exit_code == 1
    assert "not everything is Ready after 0.5 s" in result.output


def test_kubeconfigs_are_for_their_owner_only(tmp_path: Path) -> None:
    result = invoke(tmp_path, "--until-ready")
    assert result.exit_code == 0, result.output
    for name in ("control-plane", "kind-k8ssandra-1"):
        path = tmp_path / f"{name}.kubeconfig"
        assert yaml.safe_load(path.read_text())["current-context"] == name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    original = command._Sandbox._follow

    async def follow(*arguments: object) -> bool:
        asyncio.get_running_loop().call_later(0.3, os.kill, os.getpid(), number)
        return await original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(command._Sandbox, "_follow", follow)
    result = invoke(tmp_path)
    assert result.exit_code == 0, result.output
    assert "Traceback" not in result.output


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = invoke(tmp_path / "file" / "below")
    assert result.exit_code == 1
    assert "--directory" in result.stderr


def test_a_manifest_that_is_refused_is_said(tmp_path: Path) -> None:
    manifest = tmp_path / "bad.yaml"
    manifest.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: Not_A_Name, namespace: default}\n")
    result = invoke(tmp_path, "--apply", str(manifest))
    assert result.exit_code == 1
    assert "metadata.name" in result.stderr
    assert "Traceback" not in result.output
