"""`mpop source`, `mpop species` and `mpop export` as a user meets them, mistakes included."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mrcfile
import numpy as np
import pytest

from mpop.cli.main import main
from mpop.formats.images import write_map
from mpop.jobs.importing import raw_images
from mpop.population import Population

if TYPE_CHECKING:
    from tests.conftest import TinyWorld

SPECIES = "ferritin-like"


@dataclass(frozen=True)
class Answer:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture
def mpop(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Runs the command line in this process."""

    def run(*arguments: str | Path) -> Answer:
        monkeypatch.setattr(sys, "argv", ["mpop", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        return Answer(int(left.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
def data(tiny_world: TinyWorld) -> Path:
    """A simulated Warp project, to change at will."""
    return tiny_world.data


@pytest.fixture
def empty(tiny_world: TinyWorld) -> Population:
    """A population beside the project with nothing in it."""
    return Population.init(tiny_world.folder / "new", "new")


def species_options(data: Path, **changes: Any) -> list[str]:
    """Options of `species add` for the first species."""
    files = {kind: data / "species" / f"{SPECIES}_{kind}.mrc" for kind in ("half1", "half2", "mask")}
    values = {**files, "particles": data / "species" / f"{SPECIES}_particles.star", "diameter": 128} | changes
    return [part for option, value in values.items() for part in (f"--{option}", str(value))]


def assert_refused(answer: Answer, code: int, message: str) -> None:
    """One line on stderr that says what is wrong, nothing on stdout, and the right exit code."""
    assert answer.code == code
    assert answer.out == ""
    assert re.fullmatch(rf"mpop: error: .*{message}.*\n", answer.err), answer.err


def test_from_a_warp_project_to_files_that_other_programs_read(
    mpop: Callable[..., Answer], data: Path, tmp_path: Path
) -> None:
    here = ("-C", tmp_path / "population")
    assert mpop("init", tmp_path / "population").code == 0
    added = mpop(*here, "source", "add", "grids", "--warp", data / "warp_tiltseries.settings")
    assert (added.code, added.out) == (0, "Added source grids: 2 tilt series at 5 A/px\n")
    added = mpop(*here, "species", "add", "apo", *species_options(data), "--symmetry", "O")
    assert added.code == 0
    assert re.fullmatch(
        r"Added species apo: 24 particles in 2 tilt series, O, half-maps agree to 1\d\.\d\d A\n"
        r"Positions are rlnCoordinateX/Y/Z in units of 5 A \(\w+\)\n",
        added.out,
    )
    assert added.err == ""
    assert re.match(r"grids +2 tilt series  5 A/px  [0-9a-f]{10}\n", mpop(*here, "source", "list").out)
    assert re.match(r"apo +24 particles  O +1\d\.\d\d A  [0-9a-f]{10}\n", mpop(*here, "species", "list").out)
    assert mpop(*here, "commit", "-m", "Import").code == 0
    exported = mpop(*here, "export", "warp", tmp_path / "out")
    assert exported.out == f"Wrote 3 files to {tmp_path / 'out'}\n"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "TS_01.xml",
        "TS_02.xml",
        "apo_particles.star",
    ]
    assert_refused(mpop(*here, "export", "warp", tmp_path / "out"), 2, "TS_01.xml is there already; use --force")
    assert mpop(*here, "export", "warp", tmp_path / "out", "--force", "--at", "HEAD").code == 0
    assert mpop(*here, "export", "maps", tmp_path / "maps").out == f"Wrote 5 files to {tmp_path / 'maps'}\n"
    assert_refused(mpop(*here, "export", "maps", tmp_path / "no", "--at", "nowhere"), 3, "nowhere")


def test_every_command_speaks_json(mpop: Callable[..., Answer], tiny_world: TinyWorld, tmp_path: Path) -> None:
    here = ("-C", tiny_world.folder / "population")
    for command, schema, key, count in (
        (("source", "list"), "mpop.sources/v1", "sources", 1),
        (("species", "list"), "mpop.species-list/v1", "species", 2),
        (("export", "warp", tmp_path / "out"), "mpop.export/v1", "files", 4),
        (("export", "maps", tmp_path / "maps"), "mpop.export/v1", "files", 10),
    ):
        answer = json.loads(mpop(*here, *command, "--json").out)
        assert answer["schema"] == schema
        assert len(answer[key]) == count
    answer = json.loads(mpop(*here, "--json", "species", "remove", "asymmetric").out)
    assert answer == {"schema": "mpop.removed/v1", "species": "asymmetric"}
    refused = mpop(*here, "source", "remove", "simulated", "--json")
    assert refused.code == 4
    assert json.loads(refused.out)["exit_code"] == 4


def test_paths_count_from_the_folder_given_with_c(
    mpop: Callable[..., Answer], data: Path, empty: Population
) -> None:
    answer = mpop("-C", empty.root, "source", "add", "grids", "--warp", "../data/warp_tiltseries.settings")
    assert answer.code == 0, answer.err
    assert mpop("-C", empty.root, "species", "add", "apo", *species_options(Path("../data"))).code == 0


def test_removed_and_unknown_names(mpop: Callable[..., Answer], tiny_world: TinyWorld) -> None:
    here = ("-C", tiny_world.folder / "population")
    assert_refused(mpop(*here, "source", "remove", "simulated"), 4, "remove the species first")
    assert_refused(mpop(*here, "species", "remove", "x"), 3, r"no species 'x' .*\(there are: asymmetric, ferritin")
    for name in (SPECIES, "asymmetric"):
        assert mpop(*here, "species", "remove", name).out == f"Removed species {name}; commit to keep this\n"
    assert mpop(*here, "source", "remove", "simulated").out == "Removed source simulated; commit to keep this\n"
    assert mpop(*here, "species", "list").out == "no species yet\n"
    assert mpop(*here, "source", "list").out == "no sources yet\n"


def _truncated_image(data: Path) -> None:
    path = data / "warp_frameseries/average/TS_01_03_-24.0.mrc"
    path.write_bytes(path.read_bytes()[:5000])


def _nan_in_an_image(data: Path) -> None:
    with mrcfile.open(data / "warp_frameseries/average/TS_01_03_-24.0.mrc", mode="r+") as mrc:
        mrc.data[20, 10] = np.nan


def _fewer_tilts(data: Path) -> None:
    path = data / "tomostar/TS_01.tomostar"
    path.write_text(path.read_text() + "../warp_frameseries/TS_01_11.mrc\t63.0\t-85.0\t33.0\t1.0\t0.0\n")
    (data / "warp_frameseries/average/TS_01_11.mrc").write_bytes(
        (data / "warp_frameseries/average/TS_01_10_60.0.mrc").read_bytes()
    )


def _missing_image(data: Path) -> None:
    (data / "warp_frameseries/average/TS_02_05_0.0.mrc").unlink()


def _wrong_pixel_size(data: Path) -> None:
    path = data / "warp_tiltseries.settings"
    path.write_text(path.read_text().replace('"5.0"', '"2.5"'))


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (_truncated_image, r"TS_01_03_-24\.0\.mrc: not a readable MRC file"),
        (_nan_in_an_image, r"TS_01_03_-24\.0\.mrc: 1 value is NaN or infinite, the first at x, y = 10, 20"),
        (_fewer_tilts, r"TS_01\.xml: 11 tilts, but TS_01\.tomostar lists 12"),
        (_missing_image, r"TS_02\.tomostar: 1 of 11 tilt images are missing"),
        (_wrong_pixel_size, r"its header says 5 A/px, but the project 2\.5 A/px; .*give the right --angpix"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_bad_project_is_one_line_and_changes_nothing(
    mpop: Callable[..., Answer], data: Path, empty: Population, mistake: Callable[[Path], None], message: str
) -> None:
    mistake(data)
    before = empty.repository.status()
    answer = mpop("-C", empty.root, "source", "add", "grids", "--warp", data / "warp_tiltseries.settings")
    assert_refused(answer, 2, message)
    assert empty.repository.status() == before
    assert mpop("-C", empty.root, "verify").code == 0


def _mask_of_the_wrong_size(data: Path) -> None:
    write_map(data / f"species/{SPECIES}_mask.mrc", np.ones((20, 20, 20), dtype=np.float32), 5.0)


def _missing_column(data: Path) -> None:
    path = data / f"species/{SPECIES}_particles.star"
    path.write_text(path.read_text().replace("_rlnAngleTilt", "_rlnAngleTilted"))


def _no_particle_in_any_series(data: Path) -> None:
    path = data / f"species/{SPECIES}_particles.star"
    path.write_text(path.read_text().replace("TS_", "Position_"))


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (
            _mask_of_the_wrong_size,
            rf"{SPECIES}_mask\.mrc: box 20, but .*half1\.mrc has 52; all maps must be alike",
        ),
        (_missing_column, r"particles\.star: block data_particles has no column _rlnAngleTilt"),
        (
            _no_particle_in_any_series,
            r"none of the 24 particles is in a series .*Position_01, Position_02; the population has TS_01, TS_02",
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_bad_species_is_one_line_and_changes_nothing(
    mpop: Callable[..., Answer], tiny_world: TinyWorld, mistake: Callable[[Path], None], message: str
) -> None:
    mistake(tiny_world.data)
    answer = mpop(
        "-C", tiny_world.folder / "population", "species", "add", "apo", *species_options(tiny_world.data)
    )
    assert_refused(answer, 2, message)
    assert tiny_world.population.repository.is_clean


def test_warnings_are_lines_of_their_own(mpop: Callable[..., Answer], tiny_world: TinyWorld) -> None:
    path = tiny_world.data / f"species/{SPECIES}_particles.star"
    path.write_text(path.read_text().replace("_rlnRandomSubset", "_rlnSomething").replace("TS_02", "TS_77"))
    here = ("-C", tiny_world.folder / "population")
    assert_refused(mpop(*here, "species", "add", "x", *species_options(tiny_world.data)), 2, "TS_77 .12 rows.")
    answer = mpop(
        *here, "species", "add", "x", *species_options(tiny_world.data), "--ignore-unmatched", "--symmetry", "O"
    )
    assert answer.code == 0
    assert [line[:15] for line in answer.err.splitlines()] == ["mpop: warning: "] * 3
    assert "12 of 24 rows are in series that this population lacks" in answer.err
    assert "particles were assigned alternately" in answer.err
    assert f"12 of 12 particles are where the population has particles of {SPECIES}" in answer.err


def test_ctrl_c_in_an_import_changes_nothing_and_the_next_one_works(
    mpop: Callable[..., Answer], data: Path, empty: Population, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("-C", empty.root, "source", "add", "grids", "--warp", data / "warp_tiltseries.settings")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = empty.repository.status()
    with monkeypatch.context() as patch:
        patch.setattr(raw_images, "_read_raw", interrupt)
        answer = mpop(*arguments)
    assert answer.code == 130
    assert answer.err.count("\n") == 1
    assert empty.repository.status() == before
    assert mpop(*arguments).code == 0


def test_outside_of_a_population_it_is_said_how_to_make_one(mpop: Callable[..., Answer], tmp_path: Path) -> None:
    for command in (("source", "list"), ("species", "list"), ("export", "warp", "out")):
        assert_refused(mpop("-C", tmp_path, *command), 3, "mpop init")


def _swap_rows(data: Path) -> None:
    """Two images of TS_01 change places in its tomostar, with angles and exposures; the XML names no movies."""
    path = data / "tomostar/TS_01.tomostar"
    lines = path.read_text().splitlines(keepends=True)
    rows = [number for number, line in enumerate(lines) if ".tif" in line or ".mrc" in line]
    lines[rows[1]], lines[rows[7]] = lines[rows[7]], lines[rows[1]]
    path.write_text("".join(lines))
    xml = data / "warp_tiltseries/TS_01.xml"
    xml.write_text(re.sub(r"<MoviePath>.*?</MoviePath>", "", xml.read_text(), flags=re.DOTALL))


def test_a_grave_doubt_stops_a_command_and_force_goes_on(
    mpop: Callable[..., Answer], data: Path, empty: Population
) -> None:
    _swap_rows(data)
    command = ("-C", empty.root, "source", "add", "mine", "--warp", data / "warp_tiltseries.settings")
    assert_refused(mpop(*command), 2, r"TS_01\.xml: tilt 2 is at .*; insist with --force")
    stopped = mpop(*command, "--json")
    answer = json.loads(stopped.out)
    assert (stopped.code, answer["schema"]) == (2, "mpop.error/v1")
    assert {doubt["kind"] for doubt in answer["doubts"]} == {"angles-differ", "exposures-differ"}
    assert empty.sources() == {}
    forced = mpop(*command, "--json", "--force")
    answer = json.loads(forced.out)
    assert forced.code == 0
    assert {doubt["kind"] for doubt in answer["doubts"]} == {"angles-differ", "exposures-differ"}
    assert len(answer["warnings"]) == 2
    assert all(f"mpop: warning: {warning}\n" in forced.err for warning in answer["warnings"])
