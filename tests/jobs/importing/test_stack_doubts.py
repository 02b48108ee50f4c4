"""Tables of stacks that can be read and are doubtful, the ways on, and their neighbours that pass in silence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from blank_stacks import DIAMETER_A, write_maps, write_stacks

from mpop.doubts import DoubtfulInputError
from mpop.errors import InputError
from mpop.formats.stack_tables import read_stack_table
from mpop.formats.star import write_star
from mpop.jobs.importing.source import AddedSource, add_source
from mpop.jobs.importing.species import AddedSpecies, add_species
from mpop.population import Population
from mpop.records.stack import StackModel
from tests.support.commands import as_json, run

ROWS = 8
OPTICS = {
    "rlnOpticsGroup": [1],
    "rlnOpticsGroupName": ["opticsGroup1"],
    "rlnVoltage": [300.0],
    "rlnSphericalAberration": [2.7],
    "rlnAmplitudeContrast": [0.1],
    "rlnImagePixelSize": [2.5],
    "rlnMicrographOriginalPixelSize": [1.25],
    "rlnImageSize": [8],
}
PARTICLES = {
    "rlnImageName": [f"{row + 1:06d}@a.mrcs" for row in range(ROWS)],
    "rlnMicrographName": ["m1.mrc"] * 4 + ["m2.mrc"] * 4,
    "rlnCoordinateX": [100.0 * row for row in range(ROWS)],
    "rlnCoordinateY": [50.0] * ROWS,
    "rlnOpticsGroup": [1] * ROWS,
    "rlnDefocusU": [10000.0] * ROWS,
    "rlnDefocusV": [10000.0] * ROWS,
    "rlnRandomSubset": [1, 2] * (ROWS // 2),
    "rlnAngleRot": [10.0 * row for row in range(ROWS)],
    "rlnAngleTilt": [20.0] * ROWS,
    "rlnAnglePsi": [30.0] * ROWS,
}


class World:
    """A folder with tables, their images, maps, and a population."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.population = Population.init(folder / "population")
        self.maps = write_maps(folder)

    def table(self, optics: Mapping[str, object] | None = None, name: str = "t.star", **columns: object) -> Path:
        """A table with other columns in places; None takes one out."""
        blocks = {}
        for key, block in (("optics", {**OPTICS, **(optics or {})}), ("particles", {**PARTICLES, **columns})):
            blocks[key] = pd.DataFrame({column: values for column, values in block.items() if values is not None})
        write_star(self.folder / name, blocks)
        write_stacks(self.folder, read_stack_table(self.folder / name), 8)
        return self.folder / name

    def source(self, star: Path, **options: object) -> AddedSource:
        return add_source(self.population, "s", star, **options)  # pyright: ignore[reportArgumentType]

    def species(self, star: Path, **options: object) -> AddedSpecies:
        return add_species(self.population, "x", *self.maps, star, diameter_A=DIAMETER_A, **options)  # pyright: ignore[reportArgumentType]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def kinds(added: AddedSource | AddedSpecies) -> list[str]:
    assert [str(doubt) for doubt in added.doubts] == [w for w in added.warnings if ":" in w]
    return [doubt.kind for doubt in added.doubts]


def test_a_plain_table_passes_in_silence(world: World) -> None:
    star = world.table()
    assert kinds(world.source(star)) == []
    assert kinds(world.species(star)) == []


def expanded(world: World, halves: list[int] | None = None) -> Path:
    """Every image three times, in turned poses, as `relion_particle_symmetry_expand` writes it."""
    columns = {name: np.repeat(values, 3).tolist() for name, values in PARTICLES.items()}
    columns["rlnAngleRot"] = [10.0 * (row // 3) + 120 * (row % 3) for row in range(3 * ROWS)]
    if halves:
        columns["rlnRandomSubset"] = halves
    return world.table(**columns)


def test_a_symmetry_expanded_table_has_a_way_on(world: World) -> None:
    star = expanded(world)
    with pytest.raises(InputError, match=r"as 16 of 24 are; if the table is symmetry-expanded.*--first-per-image"):
        world.source(star)
    added = world.source(star, first_per_image=True)
    assert (added.images, kinds(added)) == (ROWS, [])
    with pytest.raises(InputError, match="--first-per-image"):
        world.species(star)
    species = world.species(star, first_per_image=True)
    assert kinds(species) == []
    ((item, _),) = species.record.particles.items()
    found = world.population.particles(species.record, item)
    assert found.angles_deg[:, 0, 0].tolist() == PARTICLES["rlnAngleRot"]
    assert found.half.tolist() == PARTICLES["rlnRandomSubset"]


def test_an_image_in_both_half_sets_is_refused_unless_forced(world: World) -> None:
    halves = np.repeat(PARTICLES["rlnRandomSubset"], 3).tolist()
    halves[4] = 1  # image 2 is of half 2
    star = expanded(world, halves)
    world.source(star, first_per_image=True)
    with pytest.raises(DoubtfulInputError, match=r"1 of 8 images are in both half-sets, the first is 2@a\.mrcs"):
        world.species(star, first_per_image=True)
    assert world.population.species() == {}
    assert kinds(world.species(star, first_per_image=True, force=True)) == ["half-sets-overlap"]


@pytest.mark.parametrize("shift_A", [0.0, 3.0])
def test_a_particle_picked_twice_into_both_half_sets_is_refused(world: World, shift_A: float) -> None:
    """Rows 1 and 2 have one place once their origins are applied, or nearly so."""
    x = [0.0, 40.0, *PARTICLES["rlnCoordinateX"][2:]]
    origin = [0.0, 40.0 * 1.25 - shift_A, *[0.0] * 6]
    star = world.table(rlnCoordinateX=x, rlnOriginXAngst=origin, rlnOriginYAngst=[0.0] * ROWS)
    world.source(star)
    with pytest.raises(
        DoubtfulInputError, match="2 of 8 particles are nearer than 13 A to one in the other half-set"
    ):
        world.species(star)
    assert kinds(world.species(star, force=True)) == ["half-sets-overlap"]


@pytest.mark.parametrize(
    "columns",
    [
        {"rlnRandomSubset": [1, 1, 2, 2] * 2},  # the same place, one half-set
        {"rlnMicrographName": ["m1.mrc", "m0.mrc", *["m1.mrc"] * 6]},  # the same place of another micrograph
        {"rlnCoordinateX": [0.0, 16.0, *[100.0 * row for row in range(2, ROWS)]]},  # 20 A: a neighbour
        {"rlnCoordinateY": None},
    ],
)
def test_other_neighbours_are_not_doubted(world: World, columns: dict[str, object]) -> None:
    near: dict[str, object] = {"rlnCoordinateX": [0.0, 0.0, *[100.0 * row for row in range(2, ROWS)]]}
    star = world.table(**(near | columns))
    world.source(star)
    assert kinds(world.species(star)) == []


def test_neighbours_are_found_in_micrographs_whose_names_cannot_be_kept(world: World) -> None:
    names = ["m1\u202e.mrc"] * 4 + ["m2.mrc"] * 4
    star = world.folder / "odd.star"
    world.source(world.table(rlnCoordinateX=[0.0, 0.0, *[100.0 * row for row in range(2, ROWS)]]))
    text = (world.folder / "t.star").read_text()
    star.write_text(text.replace(PARTICLES["rlnMicrographName"][0], names[0]))
    assert kinds(world.species(star, force=True)) == ["column-not-kept", "half-sets-overlap"]


def test_few_neighbours_among_many_are_only_noted(world: World) -> None:
    many = 300
    columns = {name: np.resize(values, many).tolist() for name, values in PARTICLES.items()}
    columns["rlnImageName"] = [f"{row + 1:06d}@a.mrcs" for row in range(many)]
    columns["rlnCoordinateX"] = [0.0, 0.0, *[100.0 * row for row in range(2, many)]]
    star = world.table(**columns)
    world.source(star)
    assert kinds(world.species(star)) == ["half-sets-overlap"]


def test_images_of_another_size_than_their_group_says(world: World) -> None:
    star = world.table({"rlnImageSize": [16]})
    with pytest.raises(DoubtfulInputError, match="_rlnImageSize is 16, but images are 8 px wide"):
        world.source(star)
    assert world.population.sources() == {}
    assert kinds(world.source(star, force=True)) == ["image-size"]


@pytest.mark.parametrize(
    ("optics", "columns", "grave", "text"),
    [
        ({"rlnVoltage": [200.0]}, {}, True, "rlnVoltage is 200, but the source of the image says 300"),
        (
            {},
            {"rlnDefocusU": [11000.0] * ROWS},
            False,
            "defocus in um is 1.05, but the source of the image says 1",
        ),
        ({"rlnImagePixelSize": [5.0]}, {}, False, "pixel size in A is 5, but the source of the image says 2.5"),
    ],
)
def test_a_table_of_poses_that_contradicts_the_source(
    world: World, optics: dict[str, object], columns: dict[str, object], grave: bool, text: str
) -> None:
    world.source(world.table())
    star = world.table(optics, name="other.star", **columns)
    if grave:
        with pytest.raises(DoubtfulInputError, match=text):
            world.species(star)
    added = world.species(star, force=grave)
    assert kinds(added) == ["optics-differ-from-source"]
    assert text in added.warnings[0]


def test_amplitude_contrast_can_be_given(world: World) -> None:
    star = world.table({"rlnAmplitudeContrast": None})
    with pytest.raises(InputError, match="column _rlnAmplitudeContrast; give it with --amplitude-contrast"):
        world.source(star)
    assert kinds(world.source(star, amplitude_contrast=0.07)) == []
    (item,) = world.population.items().values()
    model = world.population.model(item)
    assert isinstance(model, StackModel)
    assert model.optics[0].amplitude_contrast == 0.07
    assert kinds(world.species(star)) == []


@pytest.mark.parametrize(
    ("value", "message"),
    [(0.07, "has _rlnAmplitudeContrast; --amplitude-contrast is for tables without"), (7.0, "is not a fraction")],
)
def test_amplitude_contrast_is_not_given_twice_nor_in_percent(world: World, value: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        world.source(world.table(), amplitude_contrast=value)


def test_boxes_of_two_sizes_are_a_source_each(world: World) -> None:
    """As two optics groups of one table, in files of their own."""
    optics: dict[str, object] = {name: values * 2 for name, values in OPTICS.items()}
    optics |= {"rlnOpticsGroup": [1, 2], "rlnOpticsGroupName": ["small", "large"], "rlnImageSize": [8, 12]}
    names = [f"{row + 1:06d}@{'a' if row < 4 else 'b'}.mrcs" for row in range(ROWS)]
    star = world.table(optics, rlnOpticsGroup=[1] * 4 + [2] * 4, rlnImageName=names)
    write_stacks(world.folder, read_stack_table(star).of_groups(["2"]), 12)
    with pytest.raises(InputError, match=r"images of 12 x 12 px; .*--optics-group"):
        world.source(star)
    for name in ("small", "large"):
        assert add_source(world.population, name, star, optics_groups=[name]).images == 4
    assert world.species(star).record.n_particles == ROWS


def test_on_the_command_line(world: World) -> None:
    star = world.table({"rlnImageSize": [16]})
    words = ("-C", str(world.population.root), "source", "add", "s", "--stack", str(star))
    refused = run(*words)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert refused.err.rstrip().endswith("insist with --force")
    told = as_json(*words, "--force", "--optics-group", "opticsGroup1")
    assert [doubt["kind"] for doubt in told["doubts"]] == ["image-size"]
    assert len(told["warnings"]) == 1
