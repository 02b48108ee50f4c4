"""Importers keep to the protocol, and a new one takes one module and a line of the registry."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import mrcfile
import numpy as np
import pytest
from commands import run

from mpop.doubts import DoubtfulInputError
from mpop.errors import InputError
from mpop.exchange.cloning import clone
from mpop.importing import registry
from mpop.importing.importer import ImportedItem, ImportedSource, ImporterOptions
from mpop.importing.registry import importer_named, importer_of, options_of
from mpop.jobs.importing.source import add_source
from mpop.jobs.verify import verify
from mpop.population import Population
from mpop.records.stack import StackModel
from mpop.records.tilt_series import CTFModel

if TYPE_CHECKING:
    from tests.jobs.conftest import WarpFiles

HOW_TO = Path(__file__).parents[3] / "docs" / "how-to" / "add-an-importer.md"
ANGLES = [-20.0, 0.0, 20.0]
PIXEL_A = 5.0


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> None:
    """The importer that the documents show, in the table."""
    code = re.findall(r"```python\n(.*?)```", HOW_TO.read_text(), re.DOTALL)[0]
    module = ModuleType("example_importer")
    exec(compile(code, str(HOW_TO), "exec", dont_inherit=True), module.__dict__)
    monkeypatch.setitem(sys.modules, "example_importer", module)
    monkeypatch.setitem(registry.REGISTRY, "lab", "example_importer:LabImporter")


def write_images(folder: Path, seed: int = 0) -> list[str]:
    """One for each tilt; returns their names."""
    folder.mkdir(exist_ok=True)
    names = [f"{number}.mrc" for number in range(len(ANGLES))]
    for number, name in enumerate(names):
        with mrcfile.new(folder / name) as mrc:
            mrc.set_data(np.random.default_rng([seed, number]).normal(size=(24, 32)).astype(np.float32))
            mrc.voxel_size = PIXEL_A
    return names


def write_series(folder: Path, **changes: Any) -> Path:
    """A series of the lab of the documents, with its images beside it."""
    tilts = [
        {"image": name, "angle_deg": angle, "exposure": 3.0 * number, "defocus_um": 2.0 + number}
        for number, (name, angle) in enumerate(zip(write_images(folder), ANGLES, strict=True))
    ]
    content = {"pixel_size_A": PIXEL_A, "tomogram_A": [160, 120, 100], "axis_deg": 85.0, "voltage_kV": 300}
    path = folder / "TS_07.tilts.json"
    path.write_text(json.dumps(content | {"tilts": tilts, "unknown to mpop": "\u00fc"} | changes))
    return path


@pytest.mark.usefixtures("lab")
def test_a_new_importer_is_one_module_and_one_line(tmp_path: Path) -> None:
    """The example of the documents is found, imports, and its file travels and stays, byte for byte."""
    path = write_series(tmp_path / "data")
    population = Population.init(tmp_path / "population")
    here = ("-C", str(population.root))
    done = run(*here, "source", "add", "june", "../data/TS_07.tilts.json", "--option", "inverted=true")
    assert (done.code, done.out) == (0, "Added source june: 1 tilt series at 5 A/px\n"), done.err
    item = population.item("TS_07")
    model = population.tilt_series(item)
    assert (model.angles_deg.tolist(), model.are_angles_inverted) == (ANGLES, True)
    assert (model.image_dims_A, model.grid_ctf.values.ravel().tolist()) == ((160.0, 120.0), [2.0, 3.0, 4.0])
    assert [raw.path for raw in item.raw] == [f"../data/{number}.mrc" for number in range(3)]
    population.commit("Import")
    with mrcfile.open(tmp_path / "data/1.mrc") as mrc:
        np.testing.assert_array_equal(population.tilt_image(item, 1), mrc.data)

    clone(str(population.root), tmp_path / "clone")
    there = Population.open(tmp_path / "clone")
    moved = replace(model, axis_offset_x_A=np.full(3, 4.0))
    change = {"model_object": there.write_tilt_series(moved), "parent": item.version}
    there.stage([item.model_copy(update=change)])
    there.commit("Move")
    assert run("-C", str(there.root), "gc").code == 0
    assert there.attachment(there.item("TS_07"), "lab.tilts") == path.read_bytes()
    assert verify(there).problems == []


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--option", "inverted=perhaps"], "option inverted of importer lab: Input should be a valid boolean"),
        (["--option", "tilt=3"], "importer lab has no option tilt; there are: images, inverted"),
        (["--option", "inverted"], "--option inverted: write it as NAME=VALUE"),
        (["--angpix", "3"], "--angpix does not go with --from lab"),
        (["--from", "imod"], "no importer is called imod; there are warp, relion, lab"),
        (["--warp", "x.settings"], "give --warp for tilt series, or --stack .*, or one path"),
    ],
)
def test_what_an_importer_does_not_know_is_one_line(tmp_path: Path, words: list[str], message: str) -> None:
    path = write_series(tmp_path / "data")
    population = Population.init(tmp_path / "population")
    done = run("-C", str(population.root), "source", "add", "june", str(path), *words)
    assert done.code == 2 and re.fullmatch(f"mpop: error: {message}.*\n", done.err), done.err
    assert population.sources() == {}


@pytest.mark.usefixtures("lab")
def test_paths_in_options_count_from_the_folder_of_c(tmp_path: Path) -> None:
    path = write_series(tmp_path / "data")
    (tmp_path / "tables").mkdir()
    moved = path.rename(tmp_path / "tables" / path.name)
    population = Population.init(tmp_path / "population")
    done = run("-C", str(population.root), "source", "add", "june", str(moved), "--option", "images=../data")
    assert done.code == 0, done.err


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"voltage_kV": 300000}, {}, "TS_07.tilts.json: voltage is 300000 kV.*is it in V?"),
        ({"pixel_size_A": 2.0}, {}, r"0\.mrc: its header says 5 A/px, but the project 2 A/px"),
        ({"tilts": []}, {}, "TS_07.tilts.json: is not a tilt series of our lab"),
        ({}, {"images": "elsewhere"}, r"TS_07\.tilts\.json: 3 of 3 raw files missing, first elsewhere/0\.mrc"),
    ],
)
def test_what_no_microscope_has_is_asked_of_every_program(
    tmp_path: Path, changes: dict[str, Any], options: dict[str, str], message: str
) -> None:
    population = Population.init(tmp_path / "population")
    with pytest.raises(InputError, match=message):
        add_source(population, "june", write_series(tmp_path / "data", **changes), **options)
    assert population.sources() == {}


def test_all_importers_keep_to_the_protocol() -> None:
    for name in registry.REGISTRY:
        importer = importer_named(name)
        assert importer.name == name
        assert issubclass(importer.Options, ImporterOptions)
        assert importer.what[0].islower() and not importer.what.endswith(".")
        assert all(field.description for field in importer.Options.model_fields.values())
        assert not any(field.is_required() for field in importer.Options.model_fields.values())
        assert options_of(importer, {}) == importer.Options()


def test_an_importer_is_found_by_the_path(tmp_path: Path, warp_files: WarpFiles) -> None:
    assert importer_of(warp_files.settings).name == importer_of(warp_files.folder).name == "warp"
    assert importer_of(warp_files.particles).name == "relion"
    (tmp_path / "x.mdoc").write_text("[T = SerialEM]")
    with pytest.raises(InputError, match=r"x\.mdoc: is an mdoc of SerialEM, which no importer reads; "):
        importer_of(tmp_path / "x.mdoc")
    with pytest.raises(InputError, match=r"nothing: no importer reads this; there are warp, relion"):
        importer_of(tmp_path / "nothing")


def test_two_that_read_a_path_are_named(monkeypatch: pytest.MonkeyPatch, warp_files: WarpFiles) -> None:
    monkeypatch.setitem(registry.REGISTRY, "again", registry.REGISTRY["warp"])
    with pytest.raises(InputError, match=r"could be a Warp .* or a Warp .*; say which with --from"):
        importer_of(warp_files.settings)


def test_importers_are_loaded_when_they_are_used() -> None:
    code = (
        "import sys; from mpop.cli.main import app; from mpop.importing import registry;"
        "print([name for name in sys.modules if name.startswith('mpop.importing.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['mpop.importing.importer', 'mpop.importing.registry']\n"
    code = "import sys; from mpop.cli.main import app; print('mpop.importing' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def stack_model(count: int) -> StackModel:
    ones, rows = np.ones(count), np.arange(count)
    optics = (CTFModel(),), (0.0, 0.0)
    return StackModel("a.mrcs", rows, rows.astype(np.uint64) * 0, *[ones] * 6, rows * 0, *optics)


def write_stack(path: Path, count: int, size: int = 8) -> Path:
    with mrcfile.new(path) as mrc:
        mrc.set_data(np.random.default_rng(1).normal(size=(count, size, size)).astype(np.float32))
        mrc.set_image_stack()
    return path


def _two_stacks(folder: Path, count: int, *sizes: int) -> ImportedSource:
    files = [write_stack(folder / f"{name}.mrcs", 3, size) for name, size in zip("ab", sizes, strict=True)]
    items = [ImportedItem(file.stem, [file], stack_model(count), "table") for file in files]
    return ImportedSource(PIXEL_A, items)


def _too_few_images(folder: Path) -> ImportedSource:
    (item,) = (
        importer_named("lab").read(write_series(folder / "data"), options_of(importer_named("lab"), {})).items
    )
    return ImportedSource(PIXEL_A, [replace(item, files=item.files[:2])])


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize(
    ("imported", "message"),
    [
        (_too_few_images, "TS_07.tilts.json: 3 tilts, but 2 images"),
        (lambda folder: _two_stacks(folder, 3, 8, 8), "stack a: the same images as another stack of this"),
        (
            lambda folder: _two_stacks(folder, 3, 8, 10),
            "b.mrcs: images of 10 x 10 px; all must be .* one size",
        ),
        (lambda folder: _two_stacks(folder, 3, 7, 7), "a.mrcs: images of 7 x 7 px; all must be square, even"),
        (
            lambda folder: _two_stacks(folder, 4, 8, 8),
            "table: image 4 of .*a.mrcs is listed, but that holds 3",
        ),
    ],
)
def test_whatever_an_importer_hands_over_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, imported: Callable[[Path], ImportedSource], message: str
) -> None:
    """A fault of an importer is one line and stages nothing."""
    handed_over = imported(tmp_path)
    monkeypatch.setattr(sys.modules["example_importer"].LabImporter, "read", lambda *_: handed_over)
    population = Population.init(tmp_path / "population")
    with pytest.raises(InputError, match=message):
        add_source(population, "june", tmp_path / "x.tilts.json")
    assert population.sources() == {}


def test_grave_doubts_of_an_importer_stop_before_images_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warp_files: WarpFiles
) -> None:
    warp_files.edit_xml("TS_01", 'Value="3.25"', 'Value="32500"')
    warp_files.image("TS_01", 0).write_bytes(b"no image")
    with pytest.raises(DoubtfulInputError, match=r"defocus goes to"):
        add_source(Population.init(tmp_path / "population"), "june", warp_files.settings)
