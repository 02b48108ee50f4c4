"""The tomostar: a real file, unknown columns, and what is wrong with a bad one."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from mpop.errors import InputError
from mpop.formats.tomostar import read_tomostar, write_tomostar


def test_a_real_tomostar_survives_read_write_read(test_data: Path, tmp_path: Path) -> None:
    series = read_tomostar(test_data / "warp/TS_1.tomostar")
    assert series.name == "TS_1"
    assert len(series.movies) == 41
    assert series.movies[0] == "../warp_frameseries/2Dvs3D_53-1_00041_-40.0_Jul31_11.05.12.tif"
    assert series.table["wrpAngleTilt"].iloc[[0, -1]].tolist() == [40.01, -39.98]
    assert "wrpMaskedFraction" in series.table.columns  # unknown to mpop, and kept
    write_tomostar(tmp_path / "TS_1.tomostar", series.table)
    again = read_tomostar(tmp_path / "TS_1.tomostar")
    pd.testing.assert_frame_equal(again.table, series.table, check_dtype=False, rtol=0, atol=1e-6)


@pytest.mark.parametrize("column", ["wrpMovieName", "wrpAngleTilt"])
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    table = pd.DataFrame({"wrpMovieName": ["a.tif", "b.tif"], "wrpAngleTilt": [0.0, 3.0]})
    write_tomostar(tmp_path / "TS.tomostar", table.drop(columns=column))
    with pytest.raises(InputError, match=rf"TS\.tomostar: block data_ has no column _{column}$"):
        read_tomostar(tmp_path / "TS.tomostar")


def test_a_movie_that_is_listed_twice_is_refused(tmp_path: Path) -> None:
    write_tomostar(tmp_path / "TS.tomostar", pd.DataFrame({"wrpMovieName": ["a.tif"] * 2, "wrpAngleTilt": [0, 3]}))
    with pytest.raises(InputError, match=r"the movie a\.tif is listed twice"):
        read_tomostar(tmp_path / "TS.tomostar")
