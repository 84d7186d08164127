from __future__ import annotations

import msgspec
import pytest

from controller.kube.access import Access
from controller.kube.credentials import StaticCredentials, same_connection

ACCESS = Access(server="https://api.example", certificate_authority=b"ca", token="one")
CERTIFIED = Access(
    server="https://api.example", certificate_authority=b"ca", client_certificate=b"cert", client_key=b"key"
)


async def test_a_replaced_token_is_used_from_then_on() -> None:
    credentials = StaticCredentials(ACCESS)
    credentials.replace("two")
    assert credentials.bearer() == "two"
    assert credentials.access == msgspec.structs.replace(ACCESS, token="two")


async def test_a_rejected_token_is_worth_another_try_only_when_it_was_replaced() -> None:
    credentials = StaticCredentials(ACCESS)
    assert not await credentials.rejected("one")
    credentials.replace("two")
    assert await credentials.rejected("one")


@pytest.mark.parametrize(("access", "token"), [(ACCESS, ""), (CERTIFIED, "two")])
def test_a_token_only_replaces_a_token(access: Access, token: str) -> None:
    with pytest.raises(ValueError, match="new connection"):
        StaticCredentials(access).replace(token)


@pytest.mark.parametrize(
    ("expected", "changes"),
    [
        (True, {}),
        (True, {"token": "two"}),
        (False, {"server": "https://other"}),
        (False, {"certificate_authority": b"new"}),
        (False, {"tls_server_name": "x"}),
        (False, {"proxy": "http://x"}),
        (False, {"token": "", "client_certificate": b"cert", "client_key": b"key"}),
    ],
)
def test_only_a_token_changes_without_a_new_connection(expected: bool, changes: dict[str, object]) -> None:
    assert expected is same_connection(ACCESS, msgspec.structs.replace(ACCESS, **changes))


def test_tokens_are_not_shown() -> None:
    assert "one" not in repr(StaticCredentials(ACCESS))
