"""Text in STAR files: whatever can be printed comes back, for our reader and for an independent one."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpop.errors import InputError, StateError
from mpop.formats.particle_tables import read_particles, write_m_particles
from mpop.formats.star import write_star
from mpop.formats.star_parser import parse_star

PRINTABLE = st.text(st.characters(codec="utf-8"), max_size=12).filter(str.isprintable)
HARD = st.sampled_from(
    [
        *("", " ", "a b", " a", "a ", "#", "a#b", "#1", "'", "O'Brien", "_x", "data_", "data_x", "loop_", "stop_"),
        *("$a", "[1,2]", ";", "?", ".", "007", "1e5", "nan", "<NA>", "True", "save_x", "global_"),
    ]
)


def by_gemmi(path: Path, column: str) -> list[str]:
    return [
        gemmi.cif.as_string(value) for value in gemmi.cif.read(str(path)).sole_block().find_values(f"_{column}")
    ]


@given(values=st.lists(PRINTABLE | HARD, min_size=1, max_size=6))
def test_an_independent_reader_gets_the_text_that_was_written(
    tmp_path_factory: pytest.TempPathFactory, values: list[str]
) -> None:
    path = tmp_path_factory.mktemp("star") / "table.star"
    table = pd.DataFrame({"rlnTomoName": values, "rlnClassNumber": range(len(values))})
    try:
        write_star(path, {"particles": table})
    except StateError:  # STAR has no form for it in one line
        assert any({"'", '"'} <= set(value) for value in values)
        assert not path.exists()
        return
    assert by_gemmi(path, "rlnTomoName") == values
    assert by_gemmi(path, "rlnClassNumber") == [str(number) for number in range(len(values))]


@given(values=st.lists(PRINTABLE | HARD, min_size=1, max_size=6))
def test_text_survives_import_and_export(tmp_path_factory: pytest.TempPathFactory, values: list[str]) -> None:
    """A table that was exported, imported and exported again has the same bytes."""
    folder = tmp_path_factory.mktemp("star")
    values = [value for value in values if not {"'", '"'} <= set(value)] or ["O'Brien"]
    n = len(values)
    positions = [[[1.0, 2.0, 3.0]]] * n

    def write(path: Path, names: list[str]) -> None:
        arrays = np.array(positions), np.array(positions)
        write_m_particles(
            path, ["TS_1.tomostar"] * n, *arrays, np.ones(n, np.uint8), ["h"] * n, {"rlnTomoParticleName": names}
        )

    write(folder / "first.star", values)
    kept = read_particles(folder / "first.star").extra["rlnTomoParticleName"]
    assert kept == values
    assert by_gemmi(folder / "first.star", "rlnTomoParticleName") == values
    write(folder / "again.star", [str(value) for value in kept])
    assert (folder / "again.star").read_bytes() == (folder / "first.star").read_bytes()


@pytest.mark.parametrize("name", ["a\n_wrpAngleRot1", "a b", "", "a#", "a\tb", "é", "a/b", "1a", "a" * 65])
def test_a_column_that_would_be_read_as_something_else_is_not_written(tmp_path: Path, name: str) -> None:
    for block in (pd.DataFrame({name: [1.0]}), {name: 1.0}):
        with pytest.raises(StateError, match="cannot be the name of a column"):
            write_star(tmp_path / "x.star", {"particles": block})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "value", ["a\nb", "a\rb", "a\tb", "a\u2028b", "\x1b[2J", "a\u202eb", "\0", "' \"", "a' b\" c"]
)
def test_a_value_that_cannot_stand_in_a_line_is_not_written(tmp_path: Path, value: str) -> None:
    for block in (pd.DataFrame({"rlnTomoName": ["a", value]}), {"rlnTomoName": value}):
        with pytest.raises(StateError, match="cannot stand in one line") as refused:
            write_star(tmp_path / "x.star", {"particles": block})
        assert str(refused.value).isprintable()
    assert not list(tmp_path.iterdir())


COLUMNS = ["CoordinateX1", "CoordinateY1", "CoordinateZ1", "AngleRot1", "AngleTilt1", "AnglePsi1", "SourceName"]
TABLE = (
    "data_particles\n\nloop_\n" + "".join(f"_wrp{name}\n" for name in COLUMNS) + "_{column}\n"
    "1 2 3 0 0 0 TS_1.tomostar {value}\n1 2 3 0 0 0 TS_1.tomostar x\n"
)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("rlnTomoParticleName", "a\u202eb", "its column rlnTomoParticleName holds 'a\\u202eb' in row 1"),
        ("rlnTomoParticleName", "x" * 5000, "its column rlnTomoParticleName holds 'xxx"),
        ("rln\u202eName", "a", "a column cannot be called 'rln\\u202eName'"),
    ],
)
def test_a_column_that_could_not_be_exported_is_left_out_and_doubted(
    tmp_path: Path, column: str, value: str, message: str
) -> None:
    path = tmp_path / "p.star"
    path.write_text(TABLE.format(column=column, value=value))
    read = read_particles(path)
    assert column not in read.extra
    (doubt,) = read.doubts
    assert (doubt.kind, doubt.grave) == ("column-not-kept", False)
    assert message in doubt.against
    assert str(doubt).isprintable()


def test_what_no_program_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.star"
    path.write_text(TABLE.format(column="rlnTomoParticleName", value="a\x1bb"))
    with pytest.raises(InputError, match="line 12: parse error") as refused:
        read_particles(path)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("value", "kept"), [(2**60, [str(2**60), 1]), ("nan", ["nan", 1.0]), ("-inf", ["-inf", 1.0]), (7, [7, 1])]
)
def test_numbers_beyond_json_are_kept_as_text(tmp_path: Path, value: object, kept: list) -> None:
    path = tmp_path / "p.star"
    path.write_text(TABLE.format(column="rlnTomoParticleId", value=value).replace(" x\n", " 1\n"))
    assert read_particles(path).extra["rlnTomoParticleId"] == kept


def test_quotation_marks_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "p.star"
    for written, meant in (("O'Brien", "O'Brien"), ("'a b'", "a b"), ('"it\'s"', "it's"), ("a\"b'c", "a\"b'c")):
        path.write_text(TABLE.format(column="rlnTomoParticleName", value=written))
        assert read_particles(path).extra["rlnTomoParticleName"] == [meant, "x"]


NUMBER = st.one_of(
    st.integers(-(2**65), 2**65).map(str),
    st.floats().map(repr),
    st.floats(-1e6, 1e6).map(lambda value: f"{value:.6f}"),
    st.sampled_from(
        ["007", "+5", "-0", "1.", ".5", "1e400", "-nan", "NaN", "inf", "1_0", "0x1F", "True", "x", "?"]
    ),
)


@given(columns=st.lists(st.lists(NUMBER, min_size=3, max_size=3), min_size=1, max_size=3))
def test_numbers_read_at_once_are_those_read_one_by_one(columns: list[list[str]]) -> None:
    """A comment behind a row makes the reader take one value after the other."""
    names = "".join(f"_rln{number} #{number}\n" for number in range(len(columns)))
    rows = [" ".join(row) for row in zip(*columns, strict=True)]
    head = f"data_particles\n\nloop_\n{names}"
    at_once = parse_star(f"{head}{chr(10).join(rows)}\n")["particles"]
    one_by_one = parse_star(f"{head}{chr(10).join(rows)} # comment\n")["particles"]
    pd.testing.assert_frame_equal(at_once, one_by_one, check_exact=True)


@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_numbers_have_all_digits_that_were_written(values: list[float]) -> None:
    text = "data_\nloop_\n_rlnOriginXAngst\n" + "".join(f"{value!r}\n" for value in values)
    assert parse_star(text)[""]["rlnOriginXAngst"].tolist() == values
