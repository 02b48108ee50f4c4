"""What comes in from RELION goes out to RELION: every column, every optics group, whatever mpop does with it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import mrcfile
import numpy as np
import pandas as pd
import pytest
from blank_stacks import DIAMETER_A, through_a_population, write_maps, write_stacks
from hypothesis import given, settings
from hypothesis import strategies as st

from mpop.formats.stack_tables import MODELLED, OPTICS, StackTable, read_stack_table
from mpop.formats.star import read_star, write_star
from mpop.jobs.export_stacks import export_relion
from mpop.jobs.importing.source import add_source
from mpop.jobs.importing.species import add_species
from mpop.population import Population
from mpop.records.arrays import stack_from_arrays, stack_to_arrays
from mpop.records.stack import StackModel
from mpop.records.tilt_series import CTFModel

ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
NUMBER, NAME = "rlnOpticsGroup", "rlnOpticsGroupName"


def sorted_rows(table: StackTable) -> np.ndarray:
    """Rows in an order that both tables have: by file and image."""
    return np.lexsort([table.image, [table.files[number] for number in table.file]])


def require_same(first: Path, second: Path) -> None:
    """All that the first table says, the second says too, of each image and each optics group."""
    before, after = read_stack_table(first), read_stack_table(second)
    old, new = sorted_rows(before), sorted_rows(after)
    assert len(old) == len(new)
    assert [before.files[before.file[row]] for row in old] == [after.files[after.file[row]] for row in new]
    for name in ("image", "defocus_um", "defocus_delta_um", "defocus_angle_deg", "phase_shift_pi", "bfactor_A2"):
        np.testing.assert_allclose(getattr(after, name)[new], getattr(before, name)[old], atol=2e-6, err_msg=name)
    for name in ("scale", "optics", "origin_A", "angles_deg"):
        np.testing.assert_allclose(getattr(after, name)[new], getattr(before, name)[old], atol=2e-6, err_msg=name)
    if before.half is not None and after.half is not None:
        assert np.array_equal(before.half[old], after.half[new])
    assert before.ignored == after.ignored
    assert before.extra.keys() <= after.extra.keys() | set(OPTICS)
    for name, values in before.extra.items():
        if name != NUMBER or before.groups:
            assert [after.extra[name][row] for row in new] == [values[row] for row in old], name
    for group in before.groups:
        (found,) = [other for other in after.groups if other[NUMBER] == group[NUMBER]]
        assert {name: found[name] for name in group} == group
    assert len(after.groups) == max(len(before.groups), 1)


NUMBERS = st.one_of(
    st.floats(-1e9, 1e9, allow_nan=False).map(lambda x: x + 0.0),
    st.floats(-1e-9, 1e-9, allow_subnormal=False).map(lambda x: x + 0.0),
)
WORDS = st.text("abcXYZ019 _-./#()'é", min_size=1, max_size=12).map(str.strip).filter(bool)
LISTS = st.lists(st.floats(-9, 9).map(lambda x: round(x, 6) + 0.0), min_size=1, max_size=4).map(
    lambda numbers: "[" + ",".join(map(str, numbers)) + "]"
)
COLUMN = st.from_regex(r"\A(rln|wrp|x)[A-Z][A-Za-z0-9]{2,12}\Z").filter(
    lambda name: name not in MODELLED and "Pixel" not in name and "Coordinate" not in name and "Tomo" not in name
)


@st.composite
def columns_of(draw: st.DrawFn, rows: int) -> dict[str, list[float | int | str]]:
    """A few columns that no program of today knows."""
    names = draw(st.lists(COLUMN, max_size=4, unique_by=str.lower))
    kinds = st.sampled_from([NUMBERS, st.integers(-(2**40), 2**40), WORDS, LISTS, st.just("007")])
    return {name: draw(st.lists(draw(kinds), min_size=rows, max_size=rows)) for name in names}


@st.composite
def tables(draw: st.DrawFn) -> tuple[dict[str, list], dict[str, list]]:
    """data_optics and data_particles."""
    groups, rows = draw(st.integers(1, 4)), draw(st.integers(2, 6))
    numbers = draw(st.lists(st.integers(1, 9), min_size=groups, max_size=groups, unique=True))
    optics = {
        NUMBER: numbers,
        NAME: [f"group {number}" for number in numbers],
        "rlnVoltage": draw(st.lists(st.sampled_from([200.0, 300.0]), min_size=groups, max_size=groups)),
        "rlnSphericalAberration": [2.7] * groups,
        "rlnAmplitudeContrast": [0.1] * groups,
        "rlnImagePixelSize": [1.25] * groups,
        "rlnBeamTiltX": draw(st.lists(NUMBERS, min_size=groups, max_size=groups)),
        "rlnOddZernike": draw(st.lists(LISTS, min_size=groups, max_size=groups)),
    }
    files = draw(st.lists(st.sampled_from(["a/x.mrcs", "b/x.mrcs", "c.mrcs"]), min_size=rows, max_size=rows))
    small = st.floats(-100, 100).map(lambda x: round(x, 6))
    particles = {
        "rlnImageName": [f"{row + 1:06d}@{file}" for row, file in enumerate(files)],
        NUMBER: draw(st.lists(st.sampled_from(numbers), min_size=rows, max_size=rows)),
        "rlnDefocusU": [10000.0] * rows,
        "rlnDefocusV": [9500.0] * rows,
        "rlnDefocusAngle": draw(st.lists(small, min_size=rows, max_size=rows)),
        "rlnRandomSubset": [row % 2 + 1 for row in range(rows)],
        **{name: draw(st.lists(small, min_size=rows, max_size=rows)) for name in ANGLES},
        "rlnOriginXAngst": draw(st.lists(small, min_size=rows, max_size=rows)),
        "rlnOriginYAngst": draw(st.lists(small, min_size=rows, max_size=rows)),
    }
    return optics | draw(columns_of(groups)), particles | draw(columns_of(rows))


@settings(max_examples=40, deadline=None)
@given(tables())
def test_every_column_and_every_optics_group_comes_back(blocks: tuple[dict[str, list], dict[str, list]]) -> None:
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        star = folder / "in.star"
        exact = [
            {name: [repr(v) if isinstance(v, float) else v for v in vs] for name, vs in b.items()} for b in blocks
        ]
        write_star(star, dict(zip(("optics", "particles"), map(pd.DataFrame, exact), strict=True)))
        write_stacks(folder, read_stack_table(star), 8)
        require_same(star, through_a_population(folder / "once", star, folder))


REAL = {
    "particles/relion31.star": 256,
    "particles/relion31.6opticsgroups.star": 196,
    "particles/empiar_10076_7.star": 320,
    "particles/sta_testing_bin8.star": 64,
}
"""Tables of other programs in the test data, and the size of their images."""


@pytest.mark.parametrize("name", REAL)
def test_real_tables_come_back(name: str, test_data: Path, tmp_path: Path) -> None:
    star = with_poses(test_data / name, tmp_path / "in.star")
    table = read_stack_table(star)
    write_stacks(tmp_path, table, REAL[name])
    assert table.pixel_sizes_A is not None
    groups = tuple(str(row[NUMBER]) for row in table.groups) if np.ptp(table.pixel_sizes_A) else ()
    first = through_a_population(tmp_path / "once", star, tmp_path, groups)
    require_same(star, first)
    require_same(first, through_a_population(tmp_path / "again", first, tmp_path, groups))


def with_poses(star: Path, edited: Path) -> Path:
    """A table as it is, but for poses, where it has none, and both half-sets."""
    blocks = read_star(star)
    (name,) = [key for key, block in blocks.items() if "rlnImageName" in block.columns]
    blocks[name] = blocks[name].assign(rlnRandomSubset=np.arange(len(blocks[name])) % 2 + 1)
    for column in ANGLES:
        if column not in blocks[name].columns:
            blocks[name][column] = 1.0
    write_star(edited, blocks)
    return edited


def test_two_groups_with_one_number_and_name_stay_two(tmp_path: Path) -> None:
    """Two sources, each with a group 1 of its own: RELION would take one of them for all."""
    population = Population.init(tmp_path / "population")
    stars = []
    for name, voltage in (("a", 300.0), ("b", 200.0)):
        optics = {NUMBER: [1], NAME: ["opticsGroup1"], "rlnVoltage": [voltage], "rlnSphericalAberration": [2.7]}
        optics |= {"rlnAmplitudeContrast": [0.1], "rlnImagePixelSize": [1.25], "rlnBeamTiltX": [0.1]}
        particles = {"rlnImageName": [f"{row}@{name}.mrcs" for row in (1, 2)], NUMBER: [1, 1]}
        particles |= {column: [9000.0, 9000.0] for column in ("rlnDefocusU", "rlnDefocusV")}
        particles |= {"rlnRandomSubset": [1, 2]} | {column: [1.0, 1.0] for column in ANGLES}
        stars.append(tmp_path / f"{name}.star")
        write_star(stars[-1], {"optics": pd.DataFrame(optics), "particles": pd.DataFrame(particles)})
        write_stacks(tmp_path, read_stack_table(stars[-1]), 8)
        with mrcfile.open(tmp_path / f"{name}.mrcs", "r+") as mrc:
            mrc.data[0, 1, 1] = voltage / 10
        add_source(population, name, stars[-1], ignore_aberrations=True)
    joined = pd.concat([read_star(star)["particles"] for star in stars], ignore_index=True)
    write_star(tmp_path / "both.star", {"": joined.drop(columns=NUMBER)})
    add_species(population, "x", *write_maps(tmp_path), tmp_path / "both.star", diameter_A=DIAMETER_A)
    population.commit("Import")
    (written,) = export_relion(population, tmp_path / "out")
    table = read_stack_table(written)
    assert table.optics[:, 0].tolist() == [300.0, 300.0, 200.0, 200.0]
    assert [(group[NUMBER], group[NAME]) for group in table.groups] == [(1, "opticsGroup1"), (2, "opticsGroup1_2")]


def test_populations_of_before_have_no_columns_of_groups_and_are_exported_still(tmp_path: Path) -> None:
    arrays, attributes = stack_to_arrays(
        StackModel(
            file="a.mrcs",
            image=np.arange(2),
            particle_id=np.arange(2, dtype=np.uint64),
            **{name: np.zeros(2) for name in ("defocus_um", "defocus_delta_um", "defocus_angle_deg")},
            **{name: np.zeros(2) for name in ("phase_shift_pi", "bfactor_A2", "scale")},
            optics_group=np.zeros(2, np.int64),
            optics=(CTFModel(),),
            image_dims_A=(10.0, 10.0),
        )
    )
    assert "optics_columns" not in attributes
    assert stack_from_arrays(arrays, attributes).optics_columns == ()
