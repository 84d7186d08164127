from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.kube import kubeconfig
from controller.kube.kubeconfig_token import NotReplaceable, with_token
from tests.unit.kube.kubeconfigs import CONTEXT, document, dump, with_certificate

OLD, NEW = "eyJhbGciOiJSUzI1NiJ9.old.c2lnbmF0dXJl", "eyJhbGciOiJSUzI1NiJ9.new.c2lnbmF0dXJl-_"


def text_with(line: str) -> str:
    """A kubeconfig as a person writes it, with comments and odd spacing, and ``line`` for the token."""
    cluster = document()["clusters"][0]["cluster"]
    return (
        "# of Ünïcode and 漢字\napiVersion: v1\nkind:   Config\n"
        f"contexts: [{{name: {CONTEXT}, context: {{cluster: c, user: me}}}}, {{name: x, context: {{}}}}]\n"
        f"clusters:\n- name: c\n  cluster: {json.dumps(cluster)}\n"
        f"users:\n- {{name: other, user: {{token: {OLD}}}}}\n- name: me\n  user:\n    {line}  # mine\n"
        f"current-context: {CONTEXT}   # the end"
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"token: {OLD}", f"token: {NEW}"),
        (f"token:    '{OLD}'", f"token:    '{NEW}'"),
        (f'token: "{OLD}"', f'token: "{NEW}"'),
        (f'"token" : "{OLD}"', f'"token" : "{NEW}"'),
    ],
)
def test_only_the_token_of_the_context_changes(line: str, expected: str) -> None:
    changed = with_token(text_with(line).encode(), CONTEXT, NEW).decode()
    assert changed == text_with(expected)
    assert changed.count(OLD) == 1  # the other user's


def test_a_block_is_replaced_by_a_quoted_token() -> None:
    whole = text_with("token: |-\n      " + OLD + "\n    extensions: []").replace("  # mine", "")
    changed = with_token(whole.encode(), CONTEXT, NEW).decode()
    assert kubeconfig.load(changed.encode(), CONTEXT).token == NEW
    assert changed.replace(f'"{NEW}"', "?") == whole.replace("|-\n      " + OLD, "?")


@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("form", [dump, lambda value: json.dumps(value, ensure_ascii=False, indent=1).encode()])
def test_json_and_marked_files_stay_what_they_are(form: object, bom: str) -> None:
    whole = document(user={"token": OLD}) | {"users-note": "ü"}
    before = bom.encode() + form(whole)  # type: ignore[operator]
    assert with_token(before, CONTEXT, NEW) == before.replace(OLD.encode(), NEW.encode())


@given(st.from_regex(r"[A-Za-z0-9._~+/-]{1,40}={0,2}", fullmatch=True))
def test_any_token_arrives(token: str) -> None:
    before = dump(document(user={"token": OLD}))
    after = kubeconfig.load(with_token(before, CONTEXT, token), CONTEXT)
    assert after == msgspec.structs.replace(kubeconfig.load(before, CONTEXT), token=token)


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "a'b", 'a"b', "a: b", "ü", "a#b", "x" * 20_000])
def test_a_token_that_no_request_can_carry_is_refused(token: str) -> None:
    with pytest.raises(NotReplaceable):
        with_token(dump(document(user={"token": OLD})), CONTEXT, token)


def test_a_user_with_a_certificate_has_no_token_to_replace() -> None:
    with pytest.raises(NotReplaceable, match="no token"):
        with_token(dump(document(user=with_certificate())), CONTEXT, NEW)


def test_a_file_that_could_not_be_used_is_not_changed() -> None:
    whole = document(user={"token": OLD, "exec": {"command": "x"}})
    with pytest.raises(kubeconfig.KubeconfigError):
        with_token(dump(whole), CONTEXT, NEW)


def test_a_file_that_would_be_too_large_is_not_changed() -> None:
    before = dump(document(user={"token": OLD}))
    full = before + b"#" * (kubeconfig.SIZE_CAP - len(before))
    with pytest.raises(NotReplaceable):
        with_token(full, CONTEXT, NEW)


def test_errors_show_nothing_of_the_file() -> None:
    with pytest.raises(NotReplaceable) as caught:
        with_token(dump(document(user={"token": OLD})), CONTEXT, "a b")
    assert OLD not in str(caught.value)
