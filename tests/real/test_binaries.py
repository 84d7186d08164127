"""Where binaries come from, and what is said when they cannot be had. Nothing is built here."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.real.binaries import MODULES, BinariesMissing, obtain

NAMES = ("etcd", "kube-apiserver", "kube-controller-manager")


def executables(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch(mode=0o755)
    return folder


def cached(cache: Path) -> None:
    for module in MODULES:
        folder = cache / "k8ssandra-controller" / f"{module.name}-{module.fingerprint()}"
        executables(folder, *(name for name, _ in module.packages))


def test_binaries_of_kubebuilder_assets_are_taken_first(tmp_path: Path) -> None:
    cached(tmp_path)
    assets = executables(tmp_path / "assets", *NAMES)
    found = obtain({"KUBEBUILDER_ASSETS": str(assets), "XDG_CACHE_HOME": str(tmp_path)})
    assert (found.etcd, found.kube_apiserver, found.kube_controller_manager) == tuple(assets / n for n in NAMES)


def test_what_the_assets_lack_comes_from_the_cache(tmp_path: Path) -> None:
    cached(tmp_path)
    assets = executables(tmp_path / "assets", "etcd", "kube-apiserver")
    found = obtain({"KUBEBUILDER_ASSETS": str(assets), "XDG_CACHE_HOME": str(tmp_path)})
    assert found.kube_apiserver == assets / "kube-apiserver"
    assert found.kube_controller_manager.is_relative_to(tmp_path / "k8ssandra-controller")


def test_assets_that_hold_nothing_are_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(BinariesMissing, match="KUBEBUILDER_ASSETS"):
        obtain({"KUBEBUILDER_ASSETS": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)})


def test_without_go_the_message_says_which_go_and_for_what(tmp_path: Path) -> None:
    with pytest.raises(BinariesMissing, match=r"etcd: no `go` on PATH .* Install Go 1\.\d+"):
        obtain({"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)})


def test_a_build_that_fails_shows_why_and_leaves_nothing_half_made(tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho no module proxy >&2\nexit 1\n")
    go.chmod(0o755)
    with pytest.raises(BinariesMissing, match="no module proxy"):
        obtain({"PATH": f"{tmp_path}:/usr/bin:/bin", "XDG_CACHE_HOME": str(tmp_path / "cache")})
    left = [path.name for path in (tmp_path / "cache" / "k8ssandra-controller").iterdir()]
    assert left == ["etcd.lock"]


def test_what_an_abandoned_build_left_is_removed(tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.write_text('#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\ntouch "$2"\n')
    go.chmod(0o755)
    cache = tmp_path / "cache" / "k8ssandra-controller"
    abandoned = cache / "etcd-x.partial"
    abandoned.mkdir(parents=True)
    found = obtain({"PATH": f"{tmp_path}:/usr/bin:/bin", "XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert found.etcd.exists()
    assert not abandoned.exists()


def test_two_runs_at_once_build_once(tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.write_text(f'#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\necho "$2" >>{tmp_path}/builds\ntouch "$2"\n')
    go.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    with ThreadPoolExecutor() as pool:
        one, other = pool.map(obtain, [environment, environment])
    assert one == other
    built = [Path(line).name for line in (tmp_path / "builds").read_text().splitlines()]
    assert sorted(built) == sorted(name for module in MODULES for name, _ in module.packages)
