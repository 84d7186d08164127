"""The script of the init container for single nodes, run by this machine's shell on files in a folder of its own.

With a yq of our own that knows the one expression, and with the real one (``--real``).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml

from controller.cassandra.render.per_node import SCRIPT, PerNodeConfig
from tests.real.binaries import obtain

POD = "demo-dc1-default-sts-0"
STAND_IN = f"""#!{sys.executable}
import sys
import yaml

def merged(one, two):
    if not isinstance(two, dict):
        raise SystemExit("cannot multiply a map with something else")
    both = {{**one, **two}}
    for key in one.keys() & two.keys():
        if isinstance(one[key], dict) and isinstance(two[key], dict):
            both[key] = merged(one[key], two[key])
    return both

command, expression, *files = sys.argv[1:]
assert (command, expression) == ("ea", ". as $item ireduce ({{}}; . * $item)")
whole = {{}}
for file in files:
    with open(file) as content:
        for document in yaml.safe_load_all(content):
            whole = merged(whole, document if document is not None else {{}})
print(yaml.safe_dump(whole), end="")
"""

Files: TypeAlias = Mapping[str, str]
Run: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(params=["stand-in", pytest.param("yq", marks=pytest.mark.real)])
def tools(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with yq in it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    if request.param == "yq":
        shutil.copy(obtain().yq, folder / "yq")
    else:
        (folder / "yq").write_text(STAND_IN)
        (folder / "yq").chmod(0o755)
    return folder


@pytest.fixture
def run(tools: Path, tmp_path: Path) -> Run:
    """Run the script on the files of the config builder and of the ConfigMap."""

    def run(config: Files, per_node: Files, pod: str = POD) -> subprocess.CompletedProcess[str]:
        for name, files in (("config", config), ("per-node-config", per_node)):
            (tmp_path / name).mkdir()
            for file, text in files.items():
                (tmp_path / name / file).write_text(text)
        script = SCRIPT
        for mount in ("/per-node-config/", "/config/"):
            assert mount in script
            script = script.replace(mount, f"{tmp_path}{mount}")
        shell = shutil.which("sh")
        assert shell is not None
        # Nothing but yq can be found: the image may have no other tool.
        environment = {"PATH": str(tools), "POD_NAME": pod, "LANG": "C.UTF-8"}
        return subprocess.run([shell, "-c", script], env=environment, capture_output=True, text=True, check=False)

    return run


def content(tmp_path: Path) -> dict[str, Any]:
    return {file.name: yaml.safe_load(file.read_text()) for file in (tmp_path / "config").iterdir()}


def test_maps_are_merged_lists_replaced_and_the_rest_stays(run: Run, tmp_path: Path) -> None:
    built = "cluster_name: demo\nseed_provider: [{class_name: a}]\nclient_encryption_options: {enabled: true, x: 1}\n"
    added = "\ninitial_token: -1,5\nseed_provider: [{class_name: b}]\nclient_encryption_options: {x: 2}\n"
    done = run({"cassandra.yaml": built}, {f"{POD}_cassandra.yaml": added})
    assert (done.returncode, done.stderr) == (0, "")
    assert content(tmp_path) == {
        "cassandra.yaml": {
            "cluster_name": "demo",
            "seed_provider": [{"class_name": "b"}],
            "client_encryption_options": {"enabled": True, "x": 2},
            "initial_token": "-1,5",
        }
    }


def test_every_file_of_the_pod_is_merged_and_no_other_pods(run: Run, tmp_path: Path) -> None:
    per_node = {
        f"{POD}_cassandra.yaml": "a: 2\n",
        f"{POD}_dse.yaml": "b: 2\n",
        f"{POD}_with_underscores.yaml": "c: 2\n",
        f"{POD}0_cassandra.yaml": "a: 3\n",
        f"x{POD}_cassandra.yaml": "a: 3\n",
        "README": "not for a pod",
    }
    done = run({"cassandra.yaml": "a: 1\nb: 1\n"}, per_node)
    assert done.returncode == 0, done.stderr
    assert content(tmp_path) == {
        "cassandra.yaml": {"a": 2, "b": 1},
        "dse.yaml": {"b": 2},
        "with_underscores.yaml": {"c": 2},
    }
    assert done.stdout.splitlines()[-1] == f"3 files merged for pod {POD}"


@pytest.mark.parametrize("nothing", [{}, {"other-pod_cassandra.yaml": "a: 2\n"}, {f"{POD}_cassandra.yaml": ""}])
def test_with_nothing_to_say_for_the_pod_its_files_stay(run: Run, tmp_path: Path, nothing: Files) -> None:
    done = run({"cassandra.yaml": "a: 1\n"}, nothing)
    assert done.returncode == 0, done.stderr
    assert content(tmp_path) == {"cassandra.yaml": {"a": 1}}


@pytest.mark.parametrize("wrong", ["a: [1\n", "- 1\n"])
def test_what_cannot_be_merged_stops_the_pod_and_leaves_the_file_whole(run: Run, tmp_path: Path, wrong: str) -> None:
    done = run({"cassandra.yaml": "a: 1\n"}, {f"{POD}_cassandra.yaml": wrong})
    assert done.returncode != 0
    assert done.stderr
    assert content(tmp_path) == {"cassandra.yaml": {"a": 1}}


def test_texts_come_through_as_they_are(run: Run, tmp_path: Path) -> None:
    text = "a: '50% \\n $HOME `id` \"x\"'\nb: ünïcode\n"
    done = run({"cassandra.yaml": "c: 1\n"}, {f"{POD}_cassandra.yaml": text})
    assert done.returncode == 0, done.stderr
    assert content(tmp_path) == {"cassandra.yaml": {"a": '50% \\n $HOME `id` "x"', "b": "ünïcode", "c": 1}}


def test_running_again_changes_nothing(run: Run, tmp_path: Path) -> None:
    given = {f"{POD}_cassandra.yaml": "a: {b: 2}\n"}
    run({"cassandra.yaml": "a: {b: 1, c: 1}\n"}, given)
    once = content(tmp_path)
    for name in ("config", "per-node-config"):
        os.rename(tmp_path / name, tmp_path / f"{name}-before")
    run({"cassandra.yaml": (tmp_path / "config-before" / "cassandra.yaml").read_text()}, given)
    assert content(tmp_path) == once == {"cassandra.yaml": {"a": {"b": 2, "c": 1}}}


def test_the_container_runs_this_script_where_it_looks() -> None:
    container = PerNodeConfig("nodes", "v1:x", "image").init_container
    assert container["command"] == ["sh", "-c", SCRIPT]
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/config", "/per-node-config", "/tmp"}
    assert [variable["name"] for variable in container["env"]] == ["POD_NAME"]
