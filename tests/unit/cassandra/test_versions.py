from __future__ import annotations

import pytest

from controller.cassandra.versions import Version, has_metrics_endpoint, parse_version


@pytest.mark.parametrize(
    ("expected", "given"),
    [
        ("4.0.1", "4.0.1"),
        ("4.0.1", "v4.0.1"),
        ("5.0.0-beta1", "5.0.0-beta1"),
        ("4.0.1+build.7", "4.0.1+build.7"),
        ("4.0.1", "04.00.1"),
    ],
)
def test_a_version_is_normalised(expected: str, given: str) -> None:
    assert expected == str(parse_version(given))


@pytest.mark.parametrize("bad", ["", "abc", "4.0", "4", "4.0.1.2", "4.0.x", "4.0.1 ", "999.0", "4.0.1-", "4..1"])
def test_what_has_not_three_numbers_is_no_version(bad: str) -> None:
    assert parse_version(bad) is None


def test_a_pre_release_is_not_at_least_anything() -> None:
    assert not Version(5, 0, 0, "beta1").at_least(4)
    assert Version(5, 0, 0).at_least(4)


@pytest.mark.parametrize(
    ("expected", "given"),
    [(False, "3.11.12"), (True, "3.11.13"), (False, "4.0.3"), (True, "4.0.4"), (True, "4.1.0"), (True, "5.0.0")],
)
def test_metrics_come_since_3_11_13_and_4_0_4(expected: bool, given: str) -> None:
    version = parse_version(given)
    assert version is not None
    assert expected is has_metrics_endpoint(version)
