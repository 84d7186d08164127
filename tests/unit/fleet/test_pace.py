from __future__ import annotations

import pytest

from controller.fleet.pace import CLIENT_BURST, CLIENT_QPS, Pace, pace


def test_without_annotations_the_defaults_count() -> None:
    assert pace({}) == Pace(50.0, 100)


@pytest.mark.parametrize(
    ("qps", "burst", "expected"),
    [
        ("20", None, Pace(20.0, 40)),
        ("0.2", None, Pace(0.2, 1)),
        ("2.5", "7", Pace(2.5, 7)),
        (None, "300", Pace(50.0, 300)),
        ("1e3", "100000", Pace(1000.0, 100_000)),
    ],
)
def test_annotations_say_how_fast(qps: str | None, burst: str | None, expected: Pace) -> None:
    given = {CLIENT_QPS: qps, CLIENT_BURST: burst}
    assert pace({key: value for key, value in given.items() if value is not None}) == expected


@pytest.mark.parametrize("text", ["", "fast", "0", "-1", "nan", "inf", "1e9", "5/s", "1_0_0_0_0_0_0", "9" * 5000])
def test_a_rate_that_cannot_be_is_said_and_the_default_counts(text: str) -> None:
    found = pace({CLIENT_QPS: text})
    assert (found.qps, found.burst) == (50.0, 100)
    assert found.complaint.startswith("annotation k8ssandra.io/client-qps: ")
    assert len(found.complaint) < 300


@pytest.mark.parametrize("text", ["", "many", "0", "-5", "1.5", "1e3", "100001", "9" * 5000])
def test_a_burst_that_cannot_be_is_said_and_the_default_counts(text: str) -> None:
    found = pace({CLIENT_QPS: "10", CLIENT_BURST: text})
    assert (found.qps, found.burst) == (10.0, 20)
    assert found.complaint.startswith("annotation k8ssandra.io/client-burst: ")
    assert "20 is used" in found.complaint


def test_both_complaints_are_made() -> None:
    assert "client-burst" in pace({CLIENT_QPS: "x", CLIENT_BURST: "y"}).complaint.split("; ")[2]
