"""Kubeconfigs as a user breaks them (K) and as an attacker makes them (H), each with what has to be said of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from tests.hardening.stand import CANARY
from tests.unit.kube.kubeconfigs import (
    authority,
    b64,
    certificate,
    document,
    dump,
    encrypted_key,
    identity,
    key,
    with_certificate,
)

CONNECTED: Final = "Connected"
MALFORMED: Final = "KubeconfigMalformed"
INSECURE: Final = "InsecureKubeconfig"
TOO_LARGE: Final = "KubeconfigTooLarge"
MISSING: Final = "ContextNotFound"

SERVER: Final = "clusters[0].cluster.server"
USER: Final = "users[0].user"
CLUSTER: Final = "clusters[0].cluster"
CONTEXT: Final = "contexts[0].context"
TINY: Final = b"-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n"
CA: Final = authority().cert_pem.bytes()

Make = Callable[[str], bytes]  # from the context's name


class Kubeconfig(NamedTuple):
    """One input. ``field`` and ``says`` are parts of the message that is expected.

    ``PORT``, ``MARKER``, ``FIFO`` and ``SPARSE`` in the content stand for the traps of a test, ``GOOD`` for the
    address of a server that is well, and ``LOUD`` for the same in capitals.
    """

    id: str
    sentence: str
    make: Make
    reason: str
    field: str = ""
    says: str = ""

    def content(self, context: str, traps: dict[str, str]) -> bytes:
        made = self.make(context)
        for name, value in traps.items():
            made = made.replace(name.encode(), value.encode())
        return made


def doc(
    *, user: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None, **root: Any
) -> Callable[[str], dict[str, Any]]:
    """A good kubeconfig but for what is named; its token is a canary."""

    def make(context: str) -> dict[str, Any]:
        token = {"token": f"{CANARY}.{context}"}
        made = document(cluster={"server": "GOOD", **(cluster or {})}, user=token if user is None else user, **root)
        for entry in made["contexts"] if isinstance(made["contexts"], list) else []:
            if isinstance(entry, dict) and entry.get("name") == "kind-k8ssandra-1":
                entry["name"] = context
        return made

    return make


def yaml_of(make: Callable[[str], dict[str, Any]]) -> Make:
    return lambda context: dump(make(context))


def good(**changes: Any) -> Make:
    return yaml_of(doc(**changes))


def token(**beside: Any) -> dict[str, Any]:
    return {"token": f"{CANARY}-token", **beside}


def raw(content: bytes) -> Make:
    return lambda context: content


def context_of(**fields: Any) -> Make:
    """A context with other fields than cluster and user."""

    def make(context: str) -> bytes:
        made = doc()(context)
        made["contexts"][0]["context"] |= fields
        return dump(made)

    return make


def edited(edit: Callable[[dict[str, Any], str], object]) -> Make:
    """A good kubeconfig after ``edit(document, context)``."""

    def make(context: str) -> bytes:
        made = doc()(context)
        edit(made, context)
        return dump(made)

    return make


def twice(section: str) -> Make:
    """The first entry of a section once more."""
    return edited(lambda made, _: made[section].append(copy.deepcopy(made[section][0])))


def text_of(old: bytes, new: bytes, **changes: Any) -> Make:
    """A good kubeconfig as text, with a replacement."""

    def make(context: str) -> bytes:
        made = dump(doc(**changes)(context))
        assert old in made
        return made.replace(old, new)

    return make


def pair(made: Any) -> dict[str, str]:
    """A client certificate of a key of this kind."""
    pem = made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {"client-certificate-data": b64(_signed(made)), "client-key-data": b64(pem)}


def _signed(made: Any) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client")])
    now = datetime.now(UTC)
    digest = None if isinstance(made, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(made.public_key())
    builder = builder.serial_number(1).not_valid_before(now - timedelta(days=1))
    return builder.not_valid_after(now + timedelta(days=1)).sign(made, digest).public_bytes(serialization.Encoding.PEM)


BOMB: Final = b"\n".join(
    [b"a0: &a0 [canary, canary]"]
    + [b"a%d: &a%d [%s]" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 10)]
)
PLAIN: Final = "not plain YAML"

SHAPES: Final = [
    Kubeconfig("K01", "what is not YAML is named by line and column", raw(b"a: b\nb: canary: x\n"), MALFORMED,
               says="not YAML at line 2, column 10"),
    Kubeconfig("K02-scalar", "a text is no kubeconfig", raw(b"canary"), MALFORMED, says="must be a mapping"),
    Kubeconfig("K02-list", "a list is no kubeconfig", raw(b"[canary]"), MALFORMED, says="must be a mapping"),
    Kubeconfig("K02-null", "null is no kubeconfig", raw(b"null"), MALFORMED, says="must be a mapping"),
    Kubeconfig("K02-empty", "an empty mapping is no kubeconfig", raw(b"{}"), MALFORMED, says="must be a mapping"),
    Kubeconfig("K03", "one document only", lambda c: dump(doc()(c)) + b"---\n" + dump(doc()(c)), MALFORMED,
               says="more than one document"),
    Kubeconfig("K04-bomb", "a bomb of aliases is refused at its first anchor", raw(BOMB), MALFORMED,
               says="an anchor: not allowed"),
    Kubeconfig("K04-self", "an alias of itself is refused", raw(b"a: &a [*a, canary]"), MALFORMED, says="an anchor"),
    Kubeconfig("K05-python", "a tag makes no object", raw(b"a: !!python/object/apply:os.system [touch MARKER]"),
               MALFORMED, says="a tag: not allowed"),
    Kubeconfig("K05-binary", "no tag is allowed, not even a plain one", raw(b"a: !!binary Y2FuYXJ5"), MALFORMED,
               says="a tag: not allowed"),
    Kubeconfig("K06-lists", "ten thousand lists in each other end at the cap", raw(b"[" * 10_000 + b"canary"),
               MALFORMED, says="more than 32 levels"),
    Kubeconfig("K06-maps", "ten thousand mappings in each other end at the cap", raw(b"{a: " * 10_000), MALFORMED,
               says="more than 32 levels"),
    Kubeconfig("K07", "of two servers neither wins", text_of(b"server: GOOD", b"server: GOOD\n    server: GOOD"),
               MALFORMED, says="a key that comes twice"),
    Kubeconfig("K08", "JSON is YAML", lambda c: json.dumps(doc()(c), indent="\t").encode(), CONNECTED),
    Kubeconfig("K09-kind", "another kind is refused", good(kind="Secret"), MALFORMED, "kind", "must be Config"),
    Kubeconfig("K09-version", "another version is refused", good(apiVersion="v2"), MALFORMED, "apiVersion", "v1"),
    Kubeconfig("K09-absent", "without kind and version it is taken", good(kind=None, apiVersion=None), CONNECTED),
    Kubeconfig("K10", "no current context is needed", edited(lambda d, _: d.pop("current-context", None)), CONNECTED),
    Kubeconfig("K11", "a context that is not there is named", edited(lambda d, _: d["contexts"][0].update(name="x")),
               MISSING, "contexts", "no context is named"),
    Kubeconfig("K12", "a context has to name a cluster that is there", context_of(cluster="gone"), MALFORMED,
               f"{CONTEXT}.cluster", "must name an entry of clusters"),
    Kubeconfig("K13-missing", "a user that is not there is nobody", context_of(user="gone"), INSECURE,
               f"{CONTEXT}.user", "no credentials"),
    Kubeconfig("K13-empty", "an empty user is nobody", context_of(user=""), INSECURE, f"{CONTEXT}.user",
               "no credentials"),
    Kubeconfig("K13-null", "a null user is nobody", context_of(user=None), INSECURE, f"{CONTEXT}.user",
               "no credentials"),
    Kubeconfig("K14-contexts", "two contexts of one name are refused",
               twice("contexts"), MALFORMED, "contexts[1].name", "two"),
    Kubeconfig("K14-clusters", "two clusters of one name are refused",
               twice("clusters"), MALFORMED, "clusters[1].name", "two"),
    Kubeconfig("K14-users", "two users of one name are refused",
               twice("users"), MALFORMED, "users[1].name", "two"),
    Kubeconfig("K15-clusters", "clusters are a list", good(clusters={"c": {}}), MALFORMED, "clusters", "a list"),
    Kubeconfig("K15-users", "users are a list", good(users={}), MALFORMED, "users", "a list"),
    Kubeconfig("K15-contexts", "contexts are a list", good(contexts="x"), MALFORMED, "contexts", "a list"),
    Kubeconfig("K16-absent", "a server is needed", good(cluster={"server": None}), MALFORMED, SERVER, "empty"),
    Kubeconfig("K16-number", "a number is no server", good(cluster={"server": 6443}), MALFORMED, SERVER, "string"),
    Kubeconfig("K16-empty", "an empty server is none", good(cluster={"server": ""}), MALFORMED, SERVER, "empty"),
    Kubeconfig("K16-space", "a server has no spaces", good(cluster={"server": "https://a b"}), MALFORMED, SERVER,
               "spaces"),
    Kubeconfig("K16-control", "a server has no line ends", good(cluster={"server": "https://a\r\nx-canary: y"}),
               MALFORMED, SERVER, "control characters"),
    Kubeconfig("K17", "without TLS there is no connection", good(cluster={"server": "http://127.0.0.1:PORT"}), INSECURE,
               SERVER, "https://"),
    Kubeconfig("K18-user", "a server holds no password", good(cluster={"server": "https://u:canary@127.0.0.1:PORT"}),
               INSECURE, SERVER, "user or password"),
    Kubeconfig("K18-query", "a server has no query", good(cluster={"server": "https://127.0.0.1:PORT?canary=1"}),
               INSECURE, SERVER, "query or fragment"),
    Kubeconfig("K18-fragment", "a server has no fragment", good(cluster={"server": "https://127.0.0.1:PORT#canary"}),
               INSECURE, SERVER, "query or fragment"),
    Kubeconfig("K19-prefix", "a path before the API's own is kept", good(cluster={"server": "GOOD/k8s/clusters/c-1"}),
               CONNECTED),
    Kubeconfig("K19-dots", "a path does not climb", good(cluster={"server": "GOOD/k8s/../../c-1"}), INSECURE, SERVER,
               "dot segments"),
    Kubeconfig("K19-encoded", "a path does not climb in disguise", good(cluster={"server": "GOOD/%2e%2e/c"}), INSECURE,
               SERVER, "dot segments"),
    Kubeconfig("K20-slash", "a slash at the end is dropped", good(cluster={"server": "GOOD/"}), CONNECTED),
    Kubeconfig("K20-case", "a scheme may be in capitals", text_of(b"GOOD", b"LOUD"), CONNECTED),
    Kubeconfig("K20-ipv6", "an IPv6 address needs brackets", good(cluster={"server": "https://::1"}), MALFORMED, SERVER,
               "host"),
    Kubeconfig("K20-zero", "there is no port 0", good(cluster={"server": "https://10.1.0.2:0"}), MALFORMED, SERVER,
               "1 to 65535"),
    Kubeconfig("K20-port", "there is no port 99999", good(cluster={"server": "https://10.1.0.2:99999"}), MALFORMED,
               SERVER, "1 to 65535"),
    Kubeconfig("K20-idn", "a name that is none in any alphabet", good(cluster={"server": "https://ü..x"}), MALFORMED,
               SERVER, "host name"),
    Kubeconfig("K21", "a CA is needed", good(cluster={"certificate-authority-data": None}), INSECURE,
               f"{CLUSTER}.certificate-authority-data", "required"),
    Kubeconfig("K22-base64", "a CA is in base64", good(cluster={"certificate-authority-data": "%canary%"}), MALFORMED,
               f"{CLUSTER}.certificate-authority-data", "not base64"),
    Kubeconfig("K22-pem", "a CA is PEM", good(cluster={"certificate-authority-data": b64(b"canary")}), MALFORMED,
               f"{CLUSTER}.certificate-authority-data", "PEM certificates"),
    Kubeconfig("K22-key", "a CA holds no key", good(cluster={"certificate-authority-data": b64(CA + key())}), INSECURE,
               f"{CLUSTER}.certificate-authority-data", "private key"),
    Kubeconfig("K22-many", "a CA holds at most 64 certificates",
               good(cluster={"certificate-authority-data": b64(TINY * 65)}), MALFORMED,
               f"{CLUSTER}.certificate-authority-data", "1 to 64"),
    Kubeconfig("K22-ten-thousand", "ten thousand certificates are over the cap of the file",
               good(cluster={"certificate-authority-data": b64(TINY * 10_000)}), TOO_LARGE, says="64 KiB"),
    Kubeconfig("K23-no-key", "a certificate needs its key",
               good(user={"client-certificate-data": b64(certificate())}), MALFORMED, f"{USER}.client-key-data",
               "both"),
    Kubeconfig("K23-no-certificate", "a key needs its certificate", good(user={"client-key-data": b64(key())}),
               MALFORMED, f"{USER}.client-certificate-data", "both"),
    Kubeconfig("K23-mismatch", "a key has to fit", good(user=with_certificate() | {"client-key-data": b64(key("x"))}),
               MALFORMED, USER, "cannot be used together"),
    Kubeconfig("K23-encrypted", "nobody is asked for the password of a key",
               good(user=with_certificate(**{"client-key-data": b64(encrypted_key())})), MALFORMED,
               f"{USER}.client-key-data", "encrypted"),
    Kubeconfig("K23-rsa", "a client certificate works", good(user=with_certificate()), CONNECTED),
    Kubeconfig("K23-p521", "a key on P-521 works", good(user=pair(ec.generate_private_key(ec.SECP521R1()))), CONNECTED),
    Kubeconfig("K23-ed25519", "a key of Ed25519 works", good(user=pair(ed25519.Ed25519PrivateKey.generate())),
               CONNECTED),
    Kubeconfig("K24-both", "a token and a certificate are one too many", good(user=token(**with_certificate())),
               INSECURE, USER, "exactly one"),
    *(
        Kubeconfig(f"K24-{name}", "a token that would break out of its header is refused", good(user={"token": value}),
                   MALFORMED, f"{USER}.token", "printable ASCII")
        for name, value in {
            "newline": "canary\n", "space": "canary a", "crlf": "canary\r\nX-Remote-User: admin",
            "non-ascii": "canary-ä", "long": "canary" * 3000,
        }.items()
    ),
]  # fmt: skip


EVIL: Final = "canary\n\x1b[31m\r{0}%s<b>" + "x" * 10_000


def named(name: str) -> Make:
    """A good kubeconfig whose cluster and user have this name."""

    def edit(made: dict[str, Any], _: str) -> None:
        made["clusters"][0]["name"] = made["users"][0]["name"] = name
        made["contexts"][0]["context"] = {"cluster": name, "user": name}

    return edited(edit)


SHELL: Final = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/sh", "args": ["-c", "touch MARKER"]}
RUNS: Final = "it would run a program"
OWN_TOKEN: Final = "/var/run/secrets/kubernetes.io/serviceaccount/token"


def unused(name: str, user: dict[str, Any]) -> Make:
    def edit(made: dict[str, Any], _: str) -> None:
        made["users"].append({"name": name, "user": user})
        made["contexts"].append({"name": name, "context": {"cluster": "c", "user": name}})

    return edited(edit)


def _provider(name: str, **config: str) -> Make:
    return good(user=token(**{"auth-provider": {"name": name, "config": config}}))


def _user_file(field: str, path: str, beside: dict[str, Any] | None = None) -> Make:
    return good(user={**(token() if beside is None else beside), field: path})


def _at(server: str) -> Make:
    return good(cluster={"server": server})


HOSTILE: Final = [
    Kubeconfig("H01", "a shell is not started", good(user={"exec": SHELL}), INSECURE, f"{USER}.exec", RUNS),
    Kubeconfig("H02-relative", "a command without a path is not looked for", good(user={"exec": {"command": "touch"}}),
               INSECURE, f"{USER}.exec", RUNS),
    Kubeconfig("H02-empty", "an empty exec is one too", good(user={"exec": {}}), INSECURE, f"{USER}.exec", RUNS),
    Kubeconfig("H02-text", "an exec of another shape is one too", good(user={"exec": "touch MARKER"}), INSECURE,
               f"{USER}.exec", RUNS),
    Kubeconfig("H03", "an exec of a user that no chosen context names is never used", unused("x", {"exec": SHELL}),
               CONNECTED),
    Kubeconfig("H04", "neither environment nor hint of an exec have any effect",
               good(user={"exec": {**SHELL, "env": [{"name": "LD_PRELOAD", "value": "./canary.so"}],
                                   "installHint": "canary " * 2000}}), INSECURE, f"{USER}.exec", RUNS),
    Kubeconfig("H05", "the command of gcp is not run",
               _provider("gcp", **{"cmd-path": "/bin/sh", "cmd-args": "-c 'touch MARKER'"}), INSECURE,
               f"{USER}.auth-provider", RUNS),
    Kubeconfig("H06", "the issuer of oidc is not called",
               _provider("oidc", **{"idp-issuer-url": "https://127.0.0.1:PORT", "id-token": "a.canary.c"}), INSECURE,
               f"{USER}.auth-provider", "call another server"),
    *(
        Kubeconfig(f"H07-{name}", "no provider is known", _provider(name, secret="canary"), INSECURE,
                   f"{USER}.auth-provider", "not allowed")
        for name in ("azure", "openstack", "unknown")
    ),
    Kubeconfig("H08", "a token beside an exec does not help", good(user=token(exec=SHELL)), INSECURE, f"{USER}.exec",
               RUNS),
    Kubeconfig("H09", "the controller's own token is not read", _user_file("tokenFile", OWN_TOKEN, {}), INSECURE,
               f"{USER}.tokenFile", "only token is allowed"),
    *(
        Kubeconfig(f"H10-{name}", "no file is read as a token", _user_file("tokenFile", path), INSECURE,
                   f"{USER}.tokenFile", "read a file")
        for name, path in {
            "relative": "canary", "parent": "../canary", "environ": "/proc/self/environ", "fifo": "FIFO",
            "zero": "/dev/zero", "sparse": "SPARSE",
        }.items()
    ),
    Kubeconfig("H11", "no file is read as a CA",
               good(cluster={"certificate-authority-data": None, "certificate-authority": "/etc/passwd"}), INSECURE,
               f"{CLUSTER}.certificate-authority", "-data form"),
    Kubeconfig("H12-certificate", "no file is read as a certificate",
               _user_file("client-certificate", "/etc/passwd", {"client-key-data": b64(key())}), INSECURE,
               f"{USER}.client-certificate", "-data form"),
    Kubeconfig("H12-key", "no file is read as a key",
               _user_file("client-key", "/etc/passwd", {"client-certificate-data": b64(certificate())}), INSECURE,
               f"{USER}.client-key", "-data form"),
    Kubeconfig("H13-authority", "a file beside its data is refused too",
               good(cluster={"certificate-authority": "/etc/passwd"}), INSECURE, f"{CLUSTER}.certificate-authority",
               "-data form"),
    Kubeconfig("H13-key", "a file beside its data is refused too",
               _user_file("client-key", "/etc/passwd", with_certificate()), INSECURE, f"{USER}.client-key",
               "-data form"),
    *(
        Kubeconfig(f"H14-{name}", "a path in any dress is one", _user_file("client-key", path), INSECURE,
                   f"{USER}.client-key", "read a file")
        for name, path in {"url": "file:///etc/passwd", "home": "~/.kube/config", "variable": "$HOME/x",
                           "empty": ""}.items()
    ),
    *(
        Kubeconfig(f"H15-{name}", "TLS is always verified, however that is put",
                   text_of(b"LATER", value, cluster={"insecure-skip-tls-verify": "LATER",
                                                     "certificate-authority-data": None}),
                   INSECURE, f"{CLUSTER}.insecure-skip-tls-verify", "always verified")
        for name, value in {"true": b"true", "text": b'"true"', "number": b"1", "yes": b"yes"}.items()
    ),
    Kubeconfig("H16", "a CA does not make it right to skip verification",
               good(cluster={"insecure-skip-tls-verify": True}), INSECURE, f"{CLUSTER}.insecure-skip-tls-verify",
               "always verified"),
    *(
        Kubeconfig(f"H17-{name}", "a proxy that nobody allowed is not called", good(cluster={"proxy-url": url}),
                   INSECURE, f"{CLUSTER}.proxy-url", says)
        for name, url, says in (
            ("metadata", "http://169.254.169.254", "--allow-proxy"), ("here", "http://127.0.0.1:PORT", "--allow-proxy"),
            ("socks", "socks5://127.0.0.1:PORT", "--allow-proxy"), ("file", "file:///etc/passwd", ""),
        )
    ),
    *(
        Kubeconfig(f"H18-{name}", "an address that leads inwards is not called", _at(server), INSECURE, "server", says)
        for name, server, says in (
            ("metadata", "https://169.254.169.254", "a cloud metadata address"),
            ("loopback", "https://127.0.0.1:PORT", "a loopback address"),
            ("localhost", "https://localhost:PORT", "localhost is at 127.0.0.1, a loopback address"),
            ("ipv6", "https://[::1]:PORT", "a loopback address"),
            ("mapped", "https://[::ffff:127.0.0.1]:PORT", "a loopback address"),
            ("link-local", "https://169.254.1.1", "a link-local address"),
            ("unspecified", "https://0.0.0.0:PORT", "an unspecified address"),
            ("decimal", "https://2130706433:PORT", SERVER),
            ("octal", "https://0177.0.0.1:PORT", SERVER),
            ("name", "https://inward.example:PORT", "inward.example is at 127.0.0.1, a loopback address"),
            ("metadata-name", "https://metadata.example", "a cloud metadata address"),
        )
    ),
    Kubeconfig("H19", "nobody is anybody at the controller's own server",
               good(cluster={"server": "https://kubernetes.default.svc"}, user={}), INSECURE, USER, "no credentials"),
    *(
        Kubeconfig(f"H20-{field}", "impersonation is refused", good(user=token(**{field: value})), INSECURE,
                   f"{USER}.{field}", "impersonation")
        for field, value in (("as", "canary"), ("as-groups", ["system:masters"]), ("as-uid", "0"),
                             ("as-user-extra", {"canary": ["x"]}))
    ),
    *(
        Kubeconfig(f"H21-{name}", "an empty token is none", good(user={"token": value}), INSECURE, f"{USER}.token",
                   "no credentials")
        for name, value in (("empty", ""), ("spaces", "  "))
    ),
    *(
        Kubeconfig(f"H22-{field}", "passwords are refused", good(user=token(**{field: "canary"})), INSECURE,
                   f"{USER}.{field}", "passwords")
        for field in ("username", "password")
    ),
    *(
        Kubeconfig(f"H23-{name}", "a name to verify is a host name", good(cluster={"tls-server-name": value}), INSECURE,
                   f"{CLUSTER}.tls-server-name", "host name")
        for name, value in (("crlf", "a\r\nX-Canary: canary"), ("space", "a canary"), ("wildcard", "*.canary"))
    ),
    Kubeconfig("H24-noise", "what has no meaning here has no effect",
               good(cluster={"disable-compression": True,
                             "extensions": [{"name": "x", "extension": {"exec": SHELL, "canary": "x" * 20_000}}]},
                    extensions=[{"name": "canary"}], preferences={"colors": True}), CONNECTED),
    Kubeconfig("H25-names", "names of clusters and users are never shown", named(EVIL), CONNECTED),
    Kubeconfig("H25-missing", "not even where they lead nowhere", context_of(cluster=EVIL), MALFORMED,
               f"{CONTEXT}.cluster", "must name an entry of clusters"),
    Kubeconfig("H24-megabytes", "megabytes of it are refused unread",
               good(extensions=[{"name": "x", "extension": "canary" * 100_000}]), TOO_LARGE, says="64 KiB"),
]  # fmt: skip

LEAF: Final = identity().cert_chain_pems[0].bytes()
