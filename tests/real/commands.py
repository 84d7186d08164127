"""How each real server is started: its flags, and the files that they name."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

from controller.kube.access import Access
from tests.real.pki import Pki
from tests.real.process import Process

ISSUER: Final = "https://kubernetes.default.svc.cluster.local"

# What the controller and its users lean on, and no more: every controller costs watches and memory.
CONTROLLERS: Final = (
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "clusterrole-aggregation-controller",
)


# Of Go programs, of which nine share a machine: by default each looks for work on all processors, which costs a sixth
# of the time where there are two. A heap this small is collected all the time by default; memory is there, processors
# are not.
_SHARED: Final = {"GOMAXPROCS": str(max(1, (os.cpu_count() or 1) // 2)), "GOGC": "400"}


def etcd(binary: Path, folder: Path, client_url: str, peer_url: str) -> Process:
    """An etcd of one member, as fast as it can be: nothing in it has to outlive the machine."""
    return Process(
        "etcd",
        [
            str(binary),
            "--name=default",
            f"--data-dir={folder / 'etcd-data'}",
            f"--listen-client-urls={client_url}",
            f"--advertise-client-urls={client_url}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster=default={peer_url}",
            "--unsafe-no-fsync",
            "--watch-progress-notify-interval=5s",  # as kubeadm has it; without it idle watches get no bookmarks
            "--log-level=warn",
        ],
        folder / "etcd.log",
        **_SHARED,
    )


def api_server(binary: Path, folder: Path, pki: Pki, *, port: int, etcd_url: str, prefix: str, egress: str) -> Process:
    """A kube-apiserver with its defaults wherever a flag is not needed to run it alone on loopback."""
    tokens = folder / "tokens.csv"
    tokens.write_text(f'{pki.admin_token},admin,admin-uid,"system:masters"\n')
    return Process(
        f"kube-apiserver {prefix}",
        [
            str(binary),
            f"--etcd-servers={etcd_url}",
            f"--etcd-prefix=/{prefix}",
            "--etcd-compaction-interval=24h",  # tests say when history is forgotten; 0 would not notice that it is
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",  # the default one refuses to publish a loopback address
            f"--secure-port={port}",
            f"--tls-cert-file={pki.certificate_file}",
            f"--tls-private-key-file={pki.key_file}",
            f"--client-ca-file={pki.ca_file}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=Node,RBAC",
            f"--service-account-issuer={ISSUER}",
            f"--service-account-key-file={pki.service_account_public_key}",
            f"--service-account-signing-key-file={pki.service_account_key}",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--disable-admission-plugins=ServiceAccount",  # it wants a default ServiceAccount before any Pod
            "--profiling=false",
            f"--egress-selector-config-file={egress}",  # the addresses of simulated pods lead nowhere
        ],
        folder / "kube-apiserver.log",
        **_SHARED,
    )


def controller_manager(binary: Path, folder: Path, pki: Pki, access: Access) -> Process:
    """A kube-controller-manager with the few ``CONTROLLERS``, quick to act."""
    kubeconfig = folder / "kube-controller-manager.kubeconfig"
    kubeconfig.write_text(
        json.dumps(  # JSON is YAML
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [
                    {"name": "it", "cluster": {"server": access.server, "certificate-authority": str(pki.ca_file)}}
                ],
                "users": [{"name": "admin", "user": {"token": access.token}}],
                "contexts": [{"name": "it", "context": {"cluster": "it", "user": "admin"}}],
                "current-context": "it",
            }
        )
    )
    return Process(
        f"kube-controller-manager of {access.server}",
        [
            str(binary),
            f"--kubeconfig={kubeconfig}",
            f"--controllers={','.join(CONTROLLERS)}",
            "--leader-elect=false",
            "--secure-port=0",
            f"--service-account-private-key-file={pki.service_account_key}",
            f"--root-ca-file={pki.ca_file}",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
        ],
        folder / "kube-controller-manager.log",
        **_SHARED,
    )
