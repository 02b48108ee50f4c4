"""The page on arrays from Python says what works: its code is run."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from example_population import make_population, refine

PAGE = Path(__file__).resolve().parents[2] / "docs/how-to/python.md"


def test_the_code_on_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    population = make_population(tmp_path)
    refine(population)
    monkeypatch.chdir(population.root)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert len(blocks) == 3
    np.testing.assert_array_equal(names["box"], names["part"])  # pyright: ignore[reportArgumentType]
