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


def read_text(tmp_path: Path, content: str | bytes) -> dict[str, pd.DataFrame]:
    """The blocks of a file with this content."""
    path = tmp_path / "text.star"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_star(path)


def test_names_in_columns_of_any_program_stay_as_they_are(tmp_path: Path) -> None:
    header = "data_\n\nloop_\n_rlnGroupName #1\n_rlnOpticsGroupName #2\n_myLabel #3\n_rlnTomoParticleId #4\n"
    table = read_text(tmp_path, header + "007 1.10 0012 007\n010 2.00 0100 010\n")[""]
    assert table["rlnGroupName"].tolist() == ["007", "010"]
    assert table["rlnOpticsGroupName"].tolist() == ["1.10", "2.00"]
    assert table["myLabel"].tolist() == ["0012", "0100"]
    assert table["rlnTomoParticleId"].tolist() == [7, 10]  # RELION says that it is a number


def test_a_hash_begins_a_comment_only_outside_of_values(tmp_path: Path) -> None:
    content = "# top\ndata_x # block\n\nloop_\n_rlnMicrographName #1\n_a #2 why\n# between\n"
    table = read_text(tmp_path, content + "grid#1_mic.mrc 1\nb#.mrc 2 # behind it\n\n#end\n")["x"]
    assert table["rlnMicrographName"].tolist() == ["grid#1_mic.mrc", "b#.mrc"]
    assert table["a"].tolist() == [1, 2]


PLAIN = "data_optics\n\n_rlnVoltage 300\n\ndata_x\n\nloop_\n_rlnTomoName #1\n_a #2\nTS_1 1.5\nTS_2 2\n"


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        "\ufeff" + PLAIN,
        PLAIN.replace("loop_", "LOOP_ ").replace("data_", "DATA_"),
        PLAIN + "\ndata_empty\n\n",
        PLAIN.replace("TS_1 1.5", "  TS_1\t1.5  "),
        PLAIN.rstrip(),
    ],
    ids=["crlf", "cr", "bom", "capitals", "empty block", "blanks", "no end of line"],
)
def test_the_form_of_a_file_does_not_matter(tmp_path: Path, content: str) -> None:
    read = read_text(tmp_path, content)
    assert list(read) == ["optics", "x"]
    assert read["optics"]["rlnVoltage"].tolist() == [300]
    assert read["x"].to_dict("list") == {"rlnTomoName": ["TS_1", "TS_2"], "a": [1.5, 2.0]}


def test_latin_1_and_wide_blanks_are_part_of_names(tmp_path: Path) -> None:
    content = "data_\n\nloop_\n_rlnTomoName\n_a\nMünchen 1\n".encode("latin-1")
    assert read_text(tmp_path, content)[""]["rlnTomoName"].tolist() == ["München"]
    content = "data_\n\nloop_\n_rlnTomoName\n_a\na\u00a0b 1\n"
    assert read_text(tmp_path, content)[""]["rlnTomoName"].tolist() == ["a\u00a0b"]


def test_an_empty_loop_is_a_table_without_rows(tmp_path: Path) -> None:
    table = read_text(tmp_path, "data_x\n\nloop_\n_rlnTomoName #1\n_a #2\n\n\ndata_y\n\n_b 1\n")["x"]
    assert (len(table), list(table.columns)) == (0, ["rlnTomoName", "a"])


def test_a_column_twice_is_refused(tmp_path: Path) -> None:
    header = "data_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnVoltage #2\n_rlnOpticsGroup #3\n"
    with pytest.raises(InputError, match="line 3 in data_optics: duplicate tag _rlnOpticsGroup"):
        read_text(tmp_path, header + "1 300 1\n2 300 2\n")


def test_two_blocks_of_one_name_are_refused(tmp_path: Path) -> None:
    block = "data_particles\n\nloop_\n_a #1\n1\n2\n\n"
    with pytest.raises(InputError, match="duplicate block name: particles"):
        read_text(tmp_path, block + block)
    assert len(read_text(tmp_path, block + block.replace("particles", "others"))) == 2


@given(
    cut=st.integers(0, len(PLAIN)),
    length=st.integers(0, 40),
    inserted=st.binary(max_size=8) | st.sampled_from([b'"', b"'", b"#", b"\r", b"loop_\n", b"data_\n", b"_a\n"]),
)
def test_whatever_is_cut_out_or_put_in_is_read_or_named(
    tmp_path_factory: pytest.TempPathFactory, cut: int, length: int, inserted: bytes
) -> None:
    path = tmp_path_factory.mktemp("star") / "broken.star"
    content = PLAIN.encode()
    path.write_bytes(content[:cut] + inserted + content[cut + length :])
    try:
        tables = read_star(path)
    except InputError as error:
        assert str(error).startswith(f"{path}: ")
        assert "\n" not in str(error)
    else:
        assert all(len(set(table.columns)) == len(table.columns) for table in tables.values())


@pytest.mark.parametrize(
    "name", ["TS_01", "TS_01.tomostar", "T", "../a/b_1.mrc", "000001@a.mrcs", "grid#1.mrc", "T'x"]
)
def test_names_are_written_without_quotation_marks(tmp_path: Path, name: str) -> None:
    """Warp and M take the marks as part of a name."""
    write_star(tmp_path / "a.star", {"particles": pd.DataFrame({"rlnTomoName": [name]})})
    assert (tmp_path / "a.star").read_text().split()[-1] == name
    assert read_star(tmp_path / "a.star")["particles"]["rlnTomoName"].tolist() == [name]


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
        ("data_\n\nloop_\n_a\n_b\n1 2\n4\n", r"line 3: Wrong number of values in loop _\*"),
        ("data_\n\nloop_\n_a\n_b\n1 2\n\nloop_\n_c\n4\n", "block data_ holds more than one table"),
        ("data_\n\nloop_\n1 2\n", "line 4: parse error"),
        ("data_\n\n1 2\n", "line 3: parse error"),
        ("data_\n\nloop_\n_a\n_b\n1\n3 4 5\n6 7\n8 9 0\n1\n", "line 6 holds 1 values, expected 2"),
        ("data_\n\nloop_\n_a\n_b\n1 2\n3\n4\n", "line 7 holds 1 values, expected 2"),
        ("data_\n\nloop_\n_a\n_b\n'1' 2\n'3'\n'4'\n", "line 3: a table of 2 rows in 3 lines"),
        ("data_\n\n_a 1\nloop_\n_b\n1\n", "block data_ holds more than one table"),
        ("data_\0\n_a 1\n", "no data block; is it a STAR file"),
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
