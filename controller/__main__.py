"""The command line: ``k8ssandra-controller`` or ``python -m controller``."""

from __future__ import annotations

import importlib
from typing import Final

import click

import controller

_COMMANDS: Final = {
    "run": "run the controller against a control plane",
    "register": "make a data plane known to the control plane",
    "plan": "print what would be created, changed and deleted, without doing it",
    "render": "print what a K8ssandraCluster becomes, without any cluster",
    "takeover": "say what stands in the way of taking over from the reference operator",
    "sandbox": "a control plane and data planes on this machine, with the controller",
}


class _Commands(click.Group):
    """Loads a command's module only when it is used: ``register`` needs no sandbox, ``run`` no YAML of samples."""

    def list_commands(self, _: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command = getattr(importlib.import_module(f"controller.cli.{name}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(controller.__version__, prog_name="k8ssandra-controller")
def main() -> None:
    """One Apache Cassandra cluster across many Kubernetes clusters."""


if __name__ == "__main__":
    main()
