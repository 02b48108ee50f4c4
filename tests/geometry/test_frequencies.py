"""Indices, shells and sizes are whole numbers, for every size and resolution."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import scipy.fft
from hypothesis import given
from hypothesis import strategies as st

from mpop.geometry.frequencies import covering_shell, even_fast_size, last_shell, wrapped_indices


@pytest.mark.parametrize("size", range(1, 1201))
def test_wrapped_indices(size: int) -> None:
    expected = [k if k < (size + 1) // 2 else k - size for k in range(size)]
    assert wrapped_indices(size).tolist() == expected
    assert wrapped_indices(size).dtype == np.int64


@given(box=st.integers(2, 2000), hundredths=st.integers(30, 2000), shell=st.integers(1, 1000))
def test_a_resolution_that_means_a_whole_shell_gives_it(box: int, hundredths: int, shell: int) -> None:
    pixel_size_A = hundredths / 100
    resolution_A = float(box * Fraction(hundredths, 100) / shell)
    assert last_shell(box, pixel_size_A, resolution_A) == shell
    assert covering_shell(box, pixel_size_A, resolution_A) == shell


@pytest.mark.parametrize(("resolution_A", "last", "covering"), [(11.0, 10, 10), (11.1, 9, 10), (10.9, 10, 11)])
def test_shells_between(resolution_A: float, last: int, covering: int) -> None:
    assert last_shell(100, 1.1, resolution_A) == last
    assert covering_shell(100, 1.1, resolution_A) == covering


@pytest.mark.parametrize(
    ("minimum", "expected"), [(0.5, 2), (64.0, 64), (64 + 1e-9, 64), (64.1, 72), (97, 100), (101, 108)]
)
def test_a_size_that_is_fast_is_taken_as_it_is(minimum: float, expected: int) -> None:
    assert even_fast_size(minimum) == expected


@given(minimum=st.floats(0.1, 3000))
def test_sizes_are_even_fast_and_barely_larger(minimum: float) -> None:
    size = even_fast_size(minimum)
    assert size % 2 == 0
    assert size >= minimum
    assert scipy.fft.next_fast_len(size, real=True) == size
    assert size <= max(2.0, 1.25 * minimum + 2)
