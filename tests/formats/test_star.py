"""STAR tables: names stay names, errors say where, and the same table gives the same bytes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpop.errors import InputError
from mpop.formats.star import read_star, read_star_table, write_star

NUMBERS = st.floats(-1e5, 1e5, allow_nan=False).map(lambda x: round(x, 6))
NAMES = st.text("abcXYZ0189_-./", min_size=1, max_size=12).filter(lambda name: not name.startswith(("_", "data_")))


@given(st.lists(st.tuples(NAMES, NUMBERS, st.integers(-1000, 1000)), min_size=1, max_size=8))
def test_tables_survive_a_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple]) -> None:
    path = tmp_path_factory.mktemp("star") / "table.star"
    table = pd.DataFrame(rows, columns=["rlnTomoName", "rlnCoordinateX", "rlnClassNumber"])
    write_star(path, {"particles": table})
    read = read_star(path)["particles"]
    assert read["rlnTomoName"].tolist() == table["rlnTomoName"].tolist()
    assert read["rlnCoordinateX"].tolist() == pytest.approx(table["rlnCoordinateX"].tolist(), abs=5e-7)
    assert read["rlnClassNumber"].tolist() == table["rlnClassNumber"].tolist()


def test_names_that_look_like_numbers_stay_names(tmp_path: Path) -> None:
    path = tmp_path / "names.star"
    path.write_text("data_\n\nloop_\n_rlnTomoName\n_wrpSourceHash\n_rlnCoordinateX\n00254 12e4567890123456 007\n")
    table = read_star_table(path)
    assert table["rlnTomoName"].tolist() == ["00254"]
    assert table["wrpSourceHash"].tolist() == ["12e4567890123456"]
    assert table["rlnCoordinateX"].tolist() == [7]


def test_files_hold_no_time_and_are_the_same_on_every_run(tmp_path: Path) -> None:
    tables = {
        "general": pd.DataFrame({"rlnFinalResolution": [3.2]}),
        "fsc": pd.DataFrame({"rlnResolution": [0.1, 0.2]}),
    }
    write_star(tmp_path / "a.star", tables)
    write_star(tmp_path / "b.star", tables)
    content = (tmp_path / "a.star").read_text()
    assert content == (tmp_path / "b.star").read_text()
    assert content.startswith("data_general")


def test_a_simple_block_becomes_a_table_of_one_row(test_data: Path) -> None:
    general = read_star(test_data / "relion5_tomo/PostProcess/job022/postprocess.star")["general"]
    assert len(general) == 1
    assert float(general["rlnFinalResolution"].iloc[0]) == pytest.approx(5.08, abs=0.01)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no data block; is it a STAR file"),
        ("hello\nworld\n", "no data block; is it a STAR file"),
        ("data_\n\nloop_\n_a\n_b\n1 2 3\n4 5 6\n", "not a readable STAR file"),
        ("data_\n", "not a readable STAR file"),
    ],
)
def test_what_is_not_a_star_file_is_named_in_one_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "broken.star"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        read_star(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_column_is_named_with_its_block(tmp_path: Path) -> None:
    path = tmp_path / "table.star"
    write_star(path, {"tilts": pd.DataFrame({"wrpMovieName": ["a.tif"]})})
    with pytest.raises(InputError, match=r"block data_tilts has no column _wrpAngleTilt, _wrpDose$"):
        read_star_table(path, required=("wrpMovieName", "wrpAngleTilt", "wrpDose"))


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_star(tmp_path / "nowhere.star")
