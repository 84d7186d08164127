"""The image without an engine: the Containerfile's steps, then the demo from what they installed, read-only."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.containerfile import only, stages

ROOT: Final = Path(__file__).parents[2]
SAMPLE: Final = ROOT / "manifests" / "samples" / "demo.yaml"
UID: Final = 10001  # as the Containerfile and the Deployment say; a test of the manifests holds them together
(ENTRYPOINT,) = json.loads(only(stages()[-1], "ENTRYPOINT"))
BULKY: Final = ("site-packages", "test", "config-*", "idlelib", "tkinter", "turtledemo", "lib2to3", "__pycache__")
IS_ROOT: Final = os.getuid() == 0

pytestmark = pytest.mark.timeout(300)  # s; downloads what the locks name


class Done(NamedTuple):
    """How a program ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def refused(self) -> set[str]:
        """Its attempts to write a file; whether the standard library's bytecode is there is the base image's affair."""
        found = {line.removeprefix("refused: ") for line in self.err.splitlines() if line.startswith("refused: ")}
        return {entry for entry in found if "__pycache__" not in entry or "site-packages" in entry}


class Installed:
    """What the build stage left under ``folder``; ``environment`` is what its Python needs."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self._environment = environment

    async def run(self, program: str, *arguments: str) -> Done:
        """A program of the image as uid 10001 (as oneself, when not root), without a home or a place to write."""
        process = await asyncio.create_subprocess_exec(
            f"{self.folder}{program}",
            *arguments,
            env=self._environment | {"PYTHONPATH": str(self.folder / "hooks"), "TMPDIR": "/nonexistent"},
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **({"user": UID, "group": UID, "extra_groups": []} if IS_ROOT else {}),
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return Done(process.returncode, out.decode(), err.decode())


@pytest.fixture(scope="module")
def installed() -> Iterator[Installed]:
    # Not tmp_path: only its owner may enter that.
    folder = Path(tempfile.mkdtemp(prefix="install-"))
    try:
        folder.chmod(0o755)
        python, libraries = _python(folder)
        environment = {"LD_LIBRARY_PATH": str(libraries)} if libraries else {}
        _build(folder, python, environment)
        (folder / "hooks").mkdir()
        shutil.copy(Path(__file__).with_name("read_only.py"), folder / "hooks" / "sitecustomize.py")
        _make_read_only(folder)
        yield Installed(folder, environment)
    finally:
        _make_writable(folder)
        shutil.rmtree(folder)


async def test_the_demo_runs_where_nothing_can_be_written(installed: Installed) -> None:
    sample = str(installed.folder / SAMPLE.name)
    done = await installed.run(ENTRYPOINT, "sandbox", "--apply", sample, "--until-ready", "--timeout", "60")
    assert done.code == 0, done.out + done.err
    assert "everything applied is Ready" in done.out
    # The sandbox asks for a folder for its kubeconfigs and does without. No bytecode, no cache, no temporary file.
    assert {"os.mkdir sandbox"} == done.refused


async def test_the_image_runs_the_controller_which_says_what_it_misses(installed: Installed) -> None:
    done = await installed.run(ENTRYPOINT, *json.loads(only(stages()[-1], "CMD")))
    assert (1, set()) == (done.code, done.refused), done.err
    assert "Error: no kubeconfig was named, and there is no home folder" in done.err


async def test_what_is_installed_is_what_is_locked(installed: Installed) -> None:
    program = "from importlib.metadata import distributions as d; print(*(f'{i.name}=={i.version}' for i in d()))"
    done = await installed.run("/opt/controller/bin/python", "-c", program)
    found = {entry.lower().replace("_", "-") for entry in done.out.split()}
    lock = (ROOT / "requirements" / "runtime.lock").read_text()
    locked = {line.split()[0] for line in lock.splitlines() if "==" in line}
    (own,) = found - locked
    assert "k8ssandra-controller==" in own
    assert {"trustme", "cryptography", "rich"} <= {entry.partition("==")[0] for entry in found}


async def test_an_attempt_to_write_would_be_noticed(installed: Installed) -> None:
    program = "import pathlib; pathlib.Path('/tmp/left-behind').write_text('')"
    done = await installed.run("/opt/controller/bin/python", "-c", program)
    assert (1, {"open /tmp/left-behind"}) == (done.code, done.refused)


# ── building ────────────────────────────────────────────────────────────────────────────────────────


def _build(folder: Path, python: Path, environment: dict[str, str]) -> None:
    """Carry out the build stage with ``folder`` for the root of the file system."""
    place = folder
    for word, argument in stages()[0]:
        match word:
            case "WORKDIR":
                place = folder / argument.lstrip("/")
                place.mkdir(parents=True)
            case "COPY":
                *sources, target = argument.split()
                for source in sources:
                    _copy(ROOT / source, place / target)
            case "RUN":
                command = re.sub(r"^python\b", str(python), argument)
                for root in ("/build/", "/opt/"):
                    command = command.replace(root, f"{folder}{root}")
                _run(command, place, environment)
            case "FROM" | "ENV":
                pass  # pip's cache is of use here
            case _:
                raise AssertionError(f"{word} is not understood here")


def _run(command: str, place: Path, environment: dict[str, str]) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(["/bin/sh", "-c", command], cwd=place, env=own | environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        target.mkdir(exist_ok=True)
        shutil.copy(source, target)


def _python(folder: Path) -> tuple[Path, Path | None]:
    """A ``python`` that uid 10001 may run, and where its shared libraries are if they had to be copied.

    The one that runs the tests may be in a home folder that nobody else may enter.
    """
    base, name = Path(sys.base_prefix), f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = base / "bin" / name
    prefix, libraries = base, None
    if IS_ROOT and not _may_run(python):
        prefix = folder / "python"
        shutil.copytree(
            base / "lib" / name, prefix / "lib" / name, ignore=shutil.ignore_patterns(*BULKY), symlinks=True
        )
        (prefix / "bin").mkdir()
        shutil.copy(python, prefix / "bin" / name)
        for library in base.glob("lib/libpython*.so*"):
            shutil.copy(library, prefix / "lib")
        libraries = prefix / "lib"
    return prefix / "bin" / name, libraries


def _may_run(python: Path) -> bool:
    try:
        done = subprocess.run([python, "-c", "import venv"], user=UID, group=UID, extra_groups=[], cwd="/")
    except PermissionError:
        return False
    return done.returncode == 0


def _make_read_only(folder: Path) -> None:
    shutil.copy(SAMPLE, folder)
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod((stat.S_IMODE(path.stat().st_mode) | 0o444) & ~0o222)


def _make_writable(folder: Path) -> None:
    for path in [folder, *(path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink())]:
        path.chmod(0o755)
