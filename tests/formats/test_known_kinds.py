"""A file that is not what was asked for is named for what it is, with the way on, wherever it is read."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest

from mpop.errors import InputError
from mpop.formats.atomic_models import read_model
from mpop.formats.images import open_stack, read_map
from mpop.formats.known_kinds import known_kind
from mpop.formats.particle_tables import read_particles
from mpop.formats.stack_tables import read_stack_table
from mpop.formats.star import read_star, write_star
from mpop.formats.tomostar import read_tomostar
from mpop.formats.warp_xml import read_tilt_series
from mpop.importing.warp import locate_project

FOREIGN = {
    "x.cs": (b"\x93NUMPY\x01\x00v\x00{'descr': [('uid', '<u8')]", "a table of cryoSPARC", "csparc2star.py"),
    "x.hdf": (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file", "e2proc3d.py"),
    "x.mod": (b"IMODV1.2IMOD-NewModel" + bytes(100), "a model of IMOD", "model2point"),
    "x.em": (b"\x06\x00\x00\x05\x14\x00\x00\x00" + bytes(1000), "an EM file of TOM, AV3 or Dynamo", "cryoCAT"),
    "x.tbl": (b"1 1 1 0.21 -0.26 -0.5\n", "a table of Dynamo", "dynamo2warp"),
    "x.eer": (b"II+\x00" + bytes(100), "an EER movie", "fs_motion"),
    "x.json": (b'{"a": 1}', "JSON", ""),
    "x.aln": (b"# AreTomo Alignment\n", "a file of an alignment by IMOD or AreTomo", "import it in Warp"),
    "x.mdoc": (b"PixelSpacing = 1.9\n", "an mdoc of SerialEM", "import it in Warp"),
    "x.dat": (b"\x89PNG" + bytes(2000), "a PNG picture", ""),
}


def read_series(path: Path) -> object:
    return read_tilt_series(path.read_bytes(), str(path), (1.0, 1.0), (1.0, 1.0, 1.0))


READERS = {
    "table": (read_star, "a STAR file"),
    "particles": (read_particles, "a STAR file"),
    "stack table": (read_stack_table, "a STAR file"),
    "map": (read_map, "an MRC image or map"),
    "stack": (open_stack, "an MRC image or map"),
    "atomic model": (read_model, "an atomic model"),
    "series": (read_series, "XML"),
    "project": (lambda path: locate_project(path, None, None), "the settings of a Warp project"),
}


def message(reader: str, path: Path) -> str:
    with pytest.raises(InputError) as refused:
        READERS[reader][0](path)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", FOREIGN)
def test_files_of_other_programs(tmp_path: Path, name: str, reader: str) -> None:
    content, what, way_on = FOREIGN[name]
    (tmp_path / name).write_bytes(content)
    said = message(reader, tmp_path / name)
    assert said.startswith(f"{tmp_path / name}: is {what}, not {READERS[reader][1]}")
    assert way_on in said


def test_maps_given_as_tables_and_tables_given_as_maps(tmp_path: Path) -> None:
    with mrcfile.new(tmp_path / "x.rec") as mrc:
        mrc.set_data(np.zeros((4, 4, 4), np.float32))
    assert "is an MRC image or map, not a STAR file" in message("particles", tmp_path / "x.rec")
    write_star(tmp_path / "x.star", {"a": {"rlnVoltage": 300.0}})
    assert "is a STAR file, not an MRC image or map" in message("map", tmp_path / "x.star")


@pytest.mark.parametrize(
    ("columns", "what", "way_on"),
    [
        (
            {"rlnTomoParticlesFile": "matching.star", "rlnTomoTomogramsFile": "t.star"},
            "an optimisation set",
            "names",
        ),
        (
            {"rlnTomoName": "a", "rlnTomoTiltSeriesStarFile": "a.star"},
            "a table of tilt series of RELION 5",
            "give",
        ),
        ({"wrpMovieName": "a.tif", "wrpAngleTilt": "1"}, "a tilt series of Warp", "--warp"),
    ],
)
@pytest.mark.parametrize("reader", ["particles", "stack table"])
def test_tables_of_another_kind(
    tmp_path: Path, columns: dict[str, str], what: str, way_on: str, reader: str
) -> None:
    write_star(tmp_path / "x.star", {"": columns})
    said = message(reader, tmp_path / "x.star")
    assert f"x.star: is {what}" in said
    assert ", not a table of particles; " in said
    assert way_on in said


REAL = {
    "found/cryocat/au_1.em": "an EM file",
    "found/cryocat/correct111.mod": "a model of IMOD",
    "found/cryocat/crop.tbl": "a table of Dynamo",
    "found/cryocat/class6_er_mr1_1_sg.star": "a table of STOPGAP",
    "found/cryocat/wedge_list.star": "a table of STOPGAP",
    "found/cryocat/warp2_matching_optimisation_set.star": "an optimisation set of RELION",
    "found/cryocat/warp2_matching_tomograms.star": "a table of tomograms",
    "found/cryocat/relion5_TS_01_tilt.star": "a tilt series of RELION 5",
    "found/cryocat/tilt.com": "a file of an alignment by IMOD or AreTomo",
    "found/cryocat/017.mdoc": "an mdoc of SerialEM",
    "found/cylindra/Tomograms_job_tomo_tomograms.star": "a table of tilt series of RELION 5",
    "found/czportal/stopgap_star.star": "a table of STOPGAP",
    "found/externprior/run_it001_half1_class001_external_reconstruct.star": "an external reconstruction of RELION",
    "found/sfftk/test_data3.star": "an atomic model",
    "found/cets/expected_dataset.json": "JSON",
    "particles/empiar_10076_7.cs": "a table of cryoSPARC",
    "particles/relion31.mrcs": "an MRC image or map",
    "relion5_tomo/default_pipeline.star": "a pipeline of RELION",
    "relion5_tomo/PostProcess/job029/postprocess.star": "a postprocess.star of RELION",
    "relion5_tomo/PostProcess/job029/job.star": "a job of RELION",
    "relion5_tomo/Refine3D/job023/run_optimiser.star": "an optimiser of RELION",
    "relion5_tomo/Refine3D/job023/run_model.star": "a model of RELION",
    "relion5_tomo/Refine3D/job023/run_optimisation_set.star": "an optimisation set of RELION",
    "warp/TS_1.tomostar": "a tilt series of Warp",
    "mtf/mtf_k2_300kV.star": "an MTF of a detector",
}


@pytest.mark.parametrize("name", REAL)
def test_real_files(test_data: Path, name: str) -> None:
    assert f"is {REAL[name]}" in message("particles", test_data / name)


def test_a_damaged_file_of_the_right_kind_is_still_called_damaged(tmp_path: Path) -> None:
    with mrcfile.new(tmp_path / "x.mrc") as mrc:
        mrc.set_data(np.zeros((4, 4, 4), np.float32))
    whole = (tmp_path / "x.mrc").read_bytes()
    (tmp_path / "x.mrc").write_bytes(whole[:-8])
    assert " is an MRC" not in message("map", tmp_path / "x.mrc")
    (tmp_path / "x.star").write_text("data_particles\nloop_\n_a\n_b\n1\n")
    assert " is a STAR" not in message("table", tmp_path / "x.star")


def test_what_can_be_read_is_never_refused_for_its_name(tmp_path: Path) -> None:
    write_star(tmp_path / "x.em", {"a": {"rlnVoltage": 300.0}})
    assert list(read_star(tmp_path / "x.em")) == ["a"]
    assert known_kind(tmp_path / "nowhere.cs") is None
    (tmp_path / "x.unknown").write_bytes(b"whatever")
    assert message("table", tmp_path / "x.unknown").endswith("is it a STAR file?")
    with pytest.raises(InputError, match="no such file"):
        read_tomostar(tmp_path / "no.tomostar")
