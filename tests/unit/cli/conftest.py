from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.unit.cli.world import ControlPlane


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Commands configure logging for their whole process, which here is that of all other tests, too."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path) as made:
        yield made
