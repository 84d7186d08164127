"""What API servers say when admission webhooks refuse, or cannot be asked."""

from __future__ import annotations

import msgspec
import pytest

from controller.kube import errors
from controller.kube.transport import Response

GONE = (
    'Internal error occurred: failed calling webhook "vk8ssandracluster.kb.io": failed to call webhook: Post '
    '"https://k8ssandra-operator-webhook-service.k8ssandra-operator.svc:443/validate?timeout=10s": service '
    '"k8ssandra-operator-webhook-service" not found'
)
DENIED = 'admission webhook "vcassandradatacenter.kb.io" denied the request: racks cannot be removed'


def answer(status: int, reason: str, message: str) -> Response:
    body = {"kind": "Status", "status": "Failure", "code": status, "reason": reason, "message": message}
    return Response(status=status, body=msgspec.json.encode(body), headers={})


def test_a_webhook_that_cannot_be_called_is_known_by_its_name() -> None:
    error = errors.from_response(answer(500, "InternalError", GONE))
    assert isinstance(error, errors.WebhookFailed)
    assert (error.webhook, error.message) == ("vk8ssandracluster.kb.io", GONE)


@pytest.mark.parametrize("status", [400, 403, 409, 422])
def test_what_a_webhook_denies_is_no_matter_of_roles_or_of_conflicts(status: int) -> None:
    error = errors.from_response(answer(status, "Forbidden", DENIED))
    assert isinstance(error, errors.AdmissionDenied)
    assert not isinstance(error, errors.Forbidden | errors.Conflict)
    assert error.webhook == "vcassandradatacenter.kb.io"
    assert str(error) == f"{status} Forbidden: {DENIED}"


@pytest.mark.parametrize(("status", "message"), [(500, GONE), (403, DENIED)])
def test_of_a_secret_only_the_webhooks_name_is_kept(status: int, message: str) -> None:
    error = errors.from_response(answer(status, "", message), sensitive=True)
    assert isinstance(error, errors.WebhookFailed | errors.AdmissionDenied)
    assert error.webhook in error.message
    assert error.message.count(":") == error.message.count("racks") == 0


@pytest.mark.parametrize("message", ["etcdserver: request timed out", 'webhook "a" is called', ""])
def test_other_failures_of_a_server_stay_what_they_are(message: str) -> None:
    assert type(errors.from_response(answer(500, "InternalError", message))) is errors.ServerError
