"""How far a result is from the recorded one."""

from __future__ import annotations

import numpy as np
import pytest

from mpop.jobs.result_differences import ResultDifference, result_differences


def test_equal_results_differ_in_nothing() -> None:
    arrays = {"map": np.array([1.0, np.nan]), "count": np.array([1, 2])}
    values = {"verdict": "Even.", "none": None, "by": {"best_A": 3.0}, "curve": [1.0, 2.0]}
    assert (
        result_differences(values, dict(values), arrays, {name: one.copy() for name, one in arrays.items()}) == []
    )


def test_a_whole_number_is_the_same_without_its_point() -> None:
    """Records are written in one form, in which 0.0 is 0; true is no number."""
    assert result_differences({"width": 0, "count": 2}, {"width": 0.0, "count": 2}, {}, {}) == []
    (found,) = result_differences({"seen": True}, {"seen": 1}, {}, {})
    assert found.name == "seen"


def test_each_kind_of_difference() -> None:
    found = result_differences(
        {"verdict": "Even.", "by": {"best_A": 3.0}, "curve": [3.0, 4.0], "steps": 5, "zero": 0.0},
        {"verdict": "Odd.", "by": {"best_A": 3.3}, "curve": [3.0, 4.5], "zero": 1.0, "new": True},
        {"map": np.array([3.0, 4.0]), "gone": np.ones(2), "other": np.ones(3)},
        {"map": np.array([3.0, 4.5]), "other": np.ones(4)},
    )
    tenth = pytest.approx(0.1)
    assert found == [
        ResultDifference("by.best_A", 3.0, 3.3, tenth),
        ResultDifference("curve", None, None, tenth),
        ResultDifference("new", None, True, None),
        ResultDifference("steps", 5, None, None),
        ResultDifference("verdict", "Even.", "Odd.", None),
        ResultDifference("zero", 0.0, 1.0, None),
        ResultDifference("gone", None, None, None),
        ResultDifference("map", None, None, tenth),
        ResultDifference("other", None, None, None),
    ]


def test_what_is_infinite_or_of_other_length_has_no_size() -> None:
    found = result_differences({"a": [1.0], "b": 1.0}, {"a": [1.0, 2.0], "b": float("inf")}, {}, {})
    assert [(one.name, one.relative) for one in found] == [("a", None), ("b", None)]
