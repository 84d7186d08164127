"""What a user wants registered."""

from __future__ import annotations

from typing import Final

import msgspec

from controller.fleet.object_names import is_object_name
from controller.kube.errors import KubeError

LIFETIME_MINIMUM: Final = 600  # s; the API refuses less


class RegistrationError(KubeError):
    """The data plane cannot be registered; the text names the object and the way out."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What to register, and how.

    ``context``: the name that ``k8sContext`` of datacenters uses. ``namespace``: of Secret and ClientConfig.
    ``server``: URL to reach the data plane by, "" for the one that ``source`` uses. ``name``: of the ClientConfig,
    "" for one made of ``context``. ``certificate_authority``: PEM, b"" for the data plane's own.
    ``token_lifetime``: seconds of a bound token, 0 for the token Secret's, which does not end.
    ``force``: overwrite a Secret or ClientConfig of this name that ``register`` did not make.
    """

    context: str
    namespace: str
    service_account: str
    source_namespace: str
    server: str = ""
    tls_server_name: str = ""
    certificate_authority: bytes = b""
    name: str = ""
    token_lifetime: int = 0
    dry_run: bool = False
    force: bool = False

    def check(self) -> None:
        """Raise ``RegistrationError`` for what cannot be right."""
        if not self.context:
            raise RegistrationError("the context needs a name: --context-name")
        if self.name and not is_object_name(self.name):
            raise RegistrationError("--name: not a valid object name")
        if self.token_lifetime and self.token_lifetime < LIFETIME_MINIMUM:
            raise RegistrationError(f"--token-lifetime: at least {LIFETIME_MINIMUM} seconds")
