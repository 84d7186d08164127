"""The binaries of the real servers, and the yq of an init container: from KUBEBUILDER_ASSETS, or built once."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

HERE: Final = Path(__file__).parent
KUBERNETES_VERSION: Final = "v1.36.3"  # the one that apiserver/go.mod requires
_VERSION_PACKAGE: Final = "k8s.io/component-base/version"


class BinariesMissing(Exception):
    """The servers cannot be had here; the text says what is missing and what to do."""


class Module(msgspec.Struct, frozen=True):
    """A Go module of ours and the binaries that come out of it: ``packages`` by the name of the binary."""

    name: str
    packages: tuple[tuple[str, str], ...]
    variables: tuple[tuple[str, str], ...] = ()  # package-level strings set by the linker

    @property
    def folder(self) -> Path:
        return HERE / self.name

    @property
    def flags(self) -> list[str]:
        setting = "".join(f" -X {name}={value}" for name, value in self.variables)
        return ["-mod=readonly", "-trimpath", "-ldflags", f"-s -w{setting}"]

    def fingerprint(self) -> str:
        """16 hex digits that change with any file or flag that the binaries are made of."""
        digest = hashlib.sha256(repr((self.packages, self.flags)).encode())
        for file in sorted(p for p in self.folder.iterdir() if p.suffix in {".go", ".mod", ".sum"}):
            digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
        return digest.hexdigest()[:16]

    def go_version(self) -> str:
        """The oldest Go that can build it."""
        lines = (self.folder / "go.mod").read_text().splitlines()
        return next(line.split()[1] for line in lines if line.startswith("go "))


MODULES: Final = (
    Module("etcd", (("etcd", "."),)),
    Module("yq", (("yq", "github.com/mikefarah/yq/v4"),)),
    Module(
        "apiserver",
        (
            ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
            ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
        ),
        (
            # Without these /version says v0.0.0 and clients that look at it take another way.
            (f"{_VERSION_PACKAGE}.gitVersion", KUBERNETES_VERSION),
            (f"{_VERSION_PACKAGE}.gitMajor", KUBERNETES_VERSION[1:].split(".")[0]),
            (f"{_VERSION_PACKAGE}.gitMinor", KUBERNETES_VERSION.split(".")[1]),
            (f"{_VERSION_PACKAGE}.gitTreeState", "clean"),
        ),
    ),
)


class Binaries(msgspec.Struct, frozen=True):
    """Where each server's binary is."""

    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path
    yq: Path


def obtain(environment: Mapping[str, str] = os.environ) -> Binaries:
    """The binaries, built first if needed (10 to 15 minutes of two cores); raises ``BinariesMissing``."""
    found = dict(_from_assets(environment))
    for module in MODULES:
        if not all(name in found for name, _ in module.packages):
            folder = _built(module, environment)
            found = {name: folder / name for name, _ in module.packages} | found
    return Binaries(found["etcd"], found["kube-apiserver"], found["kube-controller-manager"], found["yq"])


def _from_assets(environment: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    """What KUBEBUILDER_ASSETS holds; envtest's own archive has no kube-controller-manager."""
    assets = environment.get("KUBEBUILDER_ASSETS", "")
    if not assets:
        return
    names = [name for module in MODULES for name, _ in module.packages]
    found = [(name, Path(assets) / name) for name in names if os.access(Path(assets) / name, os.X_OK)]
    if not found:
        raise BinariesMissing(f"KUBEBUILDER_ASSETS names {assets}, which holds none of {', '.join(names)}")
    yield from found


def _cache(environment: Mapping[str, str]) -> Path:
    base = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "k8ssandra-controller"


def _built(module: Module, environment: Mapping[str, str]) -> Path:
    """The folder with the module's binaries, complete from the moment it exists."""
    cache = _cache(environment)
    folder = cache / f"{module.name}-{module.fingerprint()}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"{module.name}.lock"):
        if folder.is_dir():  # another run built it while we waited
            return folder
        for abandoned in cache.glob(f"{module.name}-*.partial"):
            shutil.rmtree(abandoned)  # we hold the lock: whoever began it is gone
        partial = Path(tempfile.mkdtemp(prefix=f"{module.name}-", suffix=".partial", dir=cache))
        try:
            _build(module, partial, environment)
            partial.chmod(0o755)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def _build(module: Module, into: Path, environment: Mapping[str, str]) -> None:
    go = shutil.which("go", path=environment.get("PATH"))
    needed = module.go_version()
    if go is None:
        names = ", ".join(name for name, _ in module.packages)
        raise BinariesMissing(
            f"{names}: no `go` on PATH to build them with. Install Go {needed} or newer, "
            "or let KUBEBUILDER_ASSETS name a folder that holds them."
        )
    for name, package in module.packages:
        _say(f"building {name} from {module.name}/go.mod into {into.parent} ...")
        done = subprocess.run(
            [go, "build", *module.flags, "-o", str(into / name), package],
            cwd=module.folder,
            env={**environment, "CGO_ENABLED": "0", "GOWORK": "off"},
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BinariesMissing(
                f"`go build {package}` failed in {module.folder} "
                f"(it needs Go {needed} or newer and a module proxy in GOPROXY):\n{done.stderr[-4000:]}"
            )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock; the kernel lets go of it when the process ends, however it ends."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"another run is building; waiting for {path} ...")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Print where the binaries are, building them if needed; 1 when they cannot be had."""
    try:
        binaries = obtain()
    except BinariesMissing as missing:
        _say(str(missing))
        return 1
    for path in (binaries.etcd, binaries.kube_apiserver, binaries.kube_controller_manager, binaries.yq):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
