from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Commands configure logging for their whole process, which here is that of all other tests, too."""
    yield
    structlog.reset_defaults()
