"""Under CI a test may skip only for a reason in `allowed_skips.txt`; elsewhere skipping is free."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = """
import pytest

def test_runs():
    pass

def test_skips_in_the_test():
    pytest.skip("needs the moon")

@pytest.mark.skip(reason="needs a CUDA device")
def test_skips_by_leave():
    pass

@pytest.mark.xfail(reason="known", strict=True)
def test_fails_as_known():
    raise AssertionError
"""
SKIPPED_MODULE = 'import pytest\npytest.importorskip("no_such_library")\n'


@pytest.mark.parametrize(("ci", "failed", "skipped"), [("true", 2, 1), ("", 0, 3)])
def test_unexpected_skips_fail_under_ci(tmp_path: Path, ci: str, failed: int, skipped: int) -> None:
    here = Path(__file__).parent
    for name in ("conftest.py", "allowed_skips.txt"):
        shutil.copy(here / name, tmp_path)
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "test_module.py").write_text(SKIPPED_MODULE)
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--continue-on-collection-errors", "."]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    done = subprocess.run(run, cwd=tmp_path, env=environment | {"CI": ci}, capture_output=True, text=True)
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", done.stdout.splitlines()[-1])}
    assert counts.get("failed", 0) + counts.get("error", 0) == failed, done.stdout
    assert counts.get("skipped", 0) == skipped
    assert (done.returncode != 0) == bool(failed)
    if failed:
        assert "unexpected skip under CI: Skipped: needs the moon" in done.stdout
