"""Holds over the syntax tree what the design says of seams: no clock, chance, thread or process but through them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "controller"
TEXTS = {
    str(path.relative_to(ROOT)): path.read_text("utf-8")
    for path in sorted(ROOT.rglob("*.py"))
    if path.relative_to(ROOT).parts[0] != "sandbox"
}

# What must not be used, by what it would break; a name ending in ".*" is a whole module.
FORBIDDEN = {
    "wall clock": (
        "time.*",
        "datetime.datetime.now",
        "datetime.datetime.utcnow",
        "datetime.datetime.today",
        "datetime.date.today",
    ),
    "chance": (
        "random.random",
        "random.randint",
        "random.uniform",
        "random.choice",
        "random.choices",
        "random.shuffle",
        "random.sample",
        "random.seed",
        "random.SystemRandom",
        "secrets.*",
        "uuid.uuid1",
        "uuid.uuid4",
        "os.urandom",
        "os.getrandom",
    ),
    "threads": (
        "threading.*",
        "concurrent.*",
        "multiprocessing.*",
        "_thread.*",
        "asyncio.to_thread",
        "anyio.to_thread.*",
        "anyio.from_thread.*",
        "*.run_in_executor",
    ),
    "processes": (
        "subprocess.*",
        "os.system",
        "os.popen",
        "os.fork",
        "os.posix_spawn",
        "os.execv",
        "os.execve",
        "os.spawnv",
        "pty.*",
        "asyncio.create_subprocess_exec",
        "asyncio.create_subprocess_shell",
        "anyio.run_process",
        "anyio.open_process",
    ),
    "code from data": (
        "builtins.eval",
        "builtins.exec",
        "pickle.*",
        "marshal.*",
        "shelve.*",
        "yaml.load",
        "yaml.unsafe_load",
    ),
    "unverified TLS": ("ssl.CERT_NONE", "ssl.CERT_OPTIONAL", "ssl._create_unverified_context", "*.check_hostname"),
}

# The seams themselves, each with its reason.
SEAMS = {
    ("engine/clock.py", "datetime.datetime.now"): "the wall clock",
    ("cli/run.py", "random.SystemRandom"): "the source of randomness of a real run",
    ("cli/looking.py", "random.SystemRandom"): "the same for a look",
    ("cli/sandbox.py", "random.SystemRandom"): "the source of randomness of a sandbox",
    ("cassandra/passwords.py", "secrets.*"): "passwords are made behind a seam of their own",
    ("kube/addresses.py", "threading.*"): "one thread for each cluster's names, the design's one exception",
    ("kube/tls.py", "*.check_hostname"): "pods are called by addresses; their chain is verified all the same",
    ("kube/exec_plugin.py", "asyncio.create_subprocess_exec"): "of the user's own kubeconfig only",
}


def uses(text: str) -> Iterator[str]:
    """Full names of what a module imports or reaches through what it imports, and of builtins that it calls."""
    tree = ast.parse(text)
    names: dict[str, str] = {"eval": "builtins.eval", "exec": "builtins.exec"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
                yield alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield f"*.{node.attr}"
            parts: list[str] = []
            inner: ast.expr = node
            while isinstance(inner, ast.Attribute):
                parts.append(inner.attr)
                inner = inner.value
            if isinstance(inner, ast.Name) and inner.id in names:
                yield ".".join([names[inner.id], *reversed(parts)])
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names:
            yield names[node.id]


def broken(text: str) -> set[str]:
    """The forbidden names that ``text`` uses."""
    used = set(uses(text))
    found = set()
    for rules in FORBIDDEN.values():
        for rule in rules:
            module = rule.removesuffix(".*")
            if rule in used or (rule != module and any(u == module or u.startswith(module + ".") for u in used)):
                found.add(rule)
    return found


@pytest.mark.parametrize("path", TEXTS)
def test_a_module_keeps_to_the_seams(path: str) -> None:
    excused = {rule for place, rule in SEAMS if place == path}
    assert broken(TEXTS[path]) - excused == set()


def test_every_seam_is_one() -> None:
    assert [(place, rule) for place, rule in SEAMS if rule not in broken(TEXTS[place])] == []


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("import time\ntime.time()", "time.*"),
        ("from time import monotonic", "time.*"),
        ("import datetime\ndatetime.datetime.now()", "datetime.datetime.now"),
        ("from datetime import datetime as d\nd.now()", "datetime.datetime.now"),
        ("import random\nrandom.random()", "random.random"),
        ("from random import shuffle", "random.shuffle"),
        ("from uuid import uuid4", "uuid.uuid4"),
        ("import os\nx = os.urandom", "os.urandom"),
        ("from concurrent.futures import ThreadPoolExecutor", "concurrent.*"),
        ("loop.run_in_executor(None, f)", "*.run_in_executor"),
        ("import subprocess", "subprocess.*"),
        ("import ssl\ncontext.verify_mode = ssl.CERT_NONE", "ssl.CERT_NONE"),
        ("context.check_hostname = False", "*.check_hostname"),
        ("eval('1')", "builtins.eval"),
        ("import yaml\nyaml.load(x)", "yaml.load"),
    ],
)
def test_a_breach_is_seen(text: str, rule: str) -> None:
    assert broken(text) == {rule}


@pytest.mark.parametrize(
    "text",
    [
        "from random import Random\nRandom(1).random()",
        "import asyncio\nasyncio.get_running_loop().time()",
        "from datetime import datetime, UTC\ndatetime.fromisoformat(x)",
        "import yaml\nyaml.safe_load(x)",
        "record.time",
    ],
)
def test_what_is_allowed_is_not_seen(text: str) -> None:
    assert broken(text) == set()
