"""Writes what is generated of ``manifests/``: the CustomResourceDefinitions."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml

from controller.definitions import definitions

_HEAD = "# Generated from the typed structs by `make manifests`. Apply with: kubectl apply --server-side -f\n"


def files() -> dict[str, str]:
    """The generated files' contents by name."""
    return {f"{name}.yaml": _HEAD + _yaml(entry) for name, entry in definitions().items()}


def write(directory: Path) -> list[Path]:
    """Write the files; returns those that changed."""
    directory.mkdir(parents=True, exist_ok=True)
    changed = []
    for name, content in files().items():
        path = directory / name
        if not path.exists() or path.read_text() != content:
            path.write_text(content)
            changed.append(path)
    return changed


def main() -> None:
    """Entry of ``python -m controller.cli.manifests``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=Path("manifests/crds"))
    for path in write(parser.parse_args().directory):
        print(path)  # noqa: T201  (the command's output)


class _Dumper(yaml.SafeDumper):
    """Writes every value in full, also what is used twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(value: dict[str, Any]) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)


if __name__ == "__main__":
    main()
