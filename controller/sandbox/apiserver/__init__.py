"""An embedded Kubernetes API server, behind HTTPS or in the same process."""

from controller.sandbox.apiserver.failures import Failure
from controller.sandbox.apiserver.faults import Fault
from controller.sandbox.apiserver.https_front import Endpoint, kubeconfig, serve
from controller.sandbox.apiserver.in_process import InProcessTransport, Link
from controller.sandbox.apiserver.server import ApiServer

__all__ = ["ApiServer", "Endpoint", "Failure", "Fault", "InProcessTransport", "Link", "kubeconfig", "serve"]
