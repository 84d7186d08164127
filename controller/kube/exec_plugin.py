"""Credential plugins of the user's own kubeconfig: a program that prints a token or a client certificate."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from controller.kube.in_cluster import CredentialsUnavailable

DEADLINE: Final = 60.0  # s; a plugin may ask a login server, and a person may be asked by it
API_VERSIONS: Final = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


class ExecCredential(msgspec.Struct, frozen=True, rename="camel"):
    """What a plugin gave: a token, or a client certificate and its key (PEM)."""

    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""

    def __repr__(self) -> str:
        return "ExecCredential()"


class _Answer(msgspec.Struct, rename="camel"):
    api_version: str
    status: ExecCredential


class ExecPlugin(msgspec.Struct, frozen=True):
    """The ``exec`` of a user. ``cluster``: what the plugin is told of the cluster, if it asked to be."""

    command: str
    args: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    api_version: str
    cluster: dict[str, Any] | None = None
    install_hint: str = ""

    async def run(self, *, deadline: float = DEADLINE) -> ExecCredential:
        """Start the program, wait for its answer. Its stderr is ours; its stdin is empty.

        Raises ``CredentialsUnavailable``; a program that is late is killed, with what it started.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                self.command,
                *self.args,
                env={**os.environ, **dict(self.env), "KUBERNETES_EXEC_INFO": self._info()},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,  # a group of its own, so that it ends with everything that it started
            )
        except OSError as error:
            hint = f" ({self.install_hint})" if self.install_hint else ""
            raise CredentialsUnavailable(f"exec {self.command}: {error.strerror}{hint}") from None
        try:
            async with asyncio.timeout(deadline):
                output, _ = await process.communicate()
        except TimeoutError:
            raise CredentialsUnavailable(f"exec {self.command}: no answer within {deadline:g} s") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode != 0:
            raise CredentialsUnavailable(f"exec {self.command}: ended with {process.returncode}")
        return self._credential(output)

    def _info(self) -> str:
        spec: dict[str, Any] = {"interactive": False}
        if self.cluster is not None:
            spec["cluster"] = self.cluster
        info = {"apiVersion": self.api_version, "kind": "ExecCredential", "spec": spec}
        return msgspec.json.encode(info).decode()

    def _credential(self, output: bytes) -> ExecCredential:
        try:
            answer = msgspec.json.decode(output, type=_Answer)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise CredentialsUnavailable(f"exec {self.command}: printed no ExecCredential") from None
        if answer.api_version != self.api_version:
            raise CredentialsUnavailable(f"exec {self.command}: answered in another version than {self.api_version}")
        found = answer.status
        if not found.token and not (found.client_certificate_data and found.client_key_data):
            raise CredentialsUnavailable(f"exec {self.command}: neither a token nor a client certificate with its key")
        return found


def from_user(fields: Mapping[str, Any], directory: Path, cluster: Mapping[str, Any]) -> ExecPlugin:
    """The plugin of a user's ``exec``; a command with a slash is relative to ``directory``, the kubeconfig's."""
    try:
        command = str(fields["command"])
        api_version = str(fields["apiVersion"])
        args = tuple(str(arg) for arg in fields.get("args") or ())
        env = tuple((str(item["name"]), str(item["value"])) for item in fields.get("env") or ())
    except (KeyError, TypeError):
        raise CredentialsUnavailable(
            "users[].user.exec: needs command, apiVersion, and env as names and values"
        ) from None
    if api_version not in API_VERSIONS:
        raise CredentialsUnavailable(f"users[].user.exec.apiVersion: must be one of {', '.join(API_VERSIONS)}")
    if os.sep in command:
        command = str(directory / command)
    told = dict(cluster) if fields.get("provideClusterInfo") else None
    return ExecPlugin(command, args, env, api_version, told, str(fields.get("installHint") or ""))
