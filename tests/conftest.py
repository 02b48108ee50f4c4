"""Fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Real data made elsewhere; MPOP_TEST_DATA says where they are."""
    default = Path(__file__).parents[1] / ".." / "shared" / "data"
    path = Path(os.environ.get("MPOP_TEST_DATA", default)).resolve()
    if not path.is_dir():
        pytest.skip(f"no test data at {path}; set MPOP_TEST_DATA")
    return path
