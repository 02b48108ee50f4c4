"""The demo from end to end, at a size that takes seconds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mpop.errors import StateError
from mpop.jobs.demo import DemoRun, import_simulation, run_demo
from mpop.jobs.refine_parameters import RefineParameters
from mpop.reports.refinement import RunFacts, report_data, write_report
from mpop.run import Run
from mpop.simulation.parameters import SimulationParameters
from mpop_store import MpopError

SMALL = SimulationParameters(series=2, tilts=9, particles=10, image_size=224, pixel_size_A=5.0, seed=5)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """One small demo."""
    return run_demo(
        tmp_path_factory.mktemp("small") / "demo", SMALL, RefineParameters(iterations=1), run=Run(threads=2)
    )


def test_particles_are_found_again(run: DemoRun) -> None:
    """Few particles and tilts leave little to align to, yet the large O-symmetric species must come closer."""
    ferritin = next(one for one in run.evaluation.species if one.symmetry == "O")
    assert ferritin.position_rms_A.before > 4.0
    assert ferritin.position_rms_A.after < 0.5 * ferritin.position_rms_A.before
    assert ferritin.position_rms_A.ceiling == 0.0
    assert ferritin.fsc_area.before < ferritin.fsc_area.after
    assert ferritin.gap_closed is not None and ferritin.gap_closed > 0.5


def test_particles_planted_are_particles_imported(run: DemoRun) -> None:
    """Before refinement, errors are those that the simulator planted: nothing was permuted on the way."""
    planted = run.simulated.planted_position_rms_A
    for one in run.evaluation.species:
        assert one.position_rms_A.before == pytest.approx(planted, rel=0.25)
        assert one.rotation_rms_deg.before == pytest.approx(SMALL.pose_angle_rms_deg, rel=0.25)


def test_the_warp_is_found_in_its_own_direction(run: DemoRun) -> None:
    for warp in run.evaluation.warps:
        correlation = np.corrcoef(warp.planted_A.ravel(), warp.recovered_A.ravel())[0, 1]
        assert correlation > 0.6


def test_everything_is_verified_and_reported(run: DemoRun, tmp_path: Path) -> None:
    assert run.verified.ok
    assert run.population.repository.is_clean
    facts = RunFacts(run.refined.commits[-1], True, run.wall_s, run.peak_GiB, "cpu", 2, "", run.resolutions_A)
    write_report(tmp_path, run.evaluation, facts, "small demo", "")
    data = json.loads((tmp_path / "report.json").read_text())
    assert data == json.loads(json.dumps(report_data(run.evaluation, facts)))
    assert data["commit"] == run.population.repository.head
    assert 0 < data["peak_GiB"] < 8
    assert [len(steps) for steps in run.resolutions_A.values()] == [2, 2]


def test_the_import_commit_is_the_same_every_time(run: DemoRun, tmp_path: Path) -> None:
    shutil.copytree(run.simulated.directory, tmp_path / "data")
    moved = type(run.simulated)(**{**vars(run.simulated), "directory": tmp_path / "data"})
    _, commit = import_simulation(tmp_path / "population", moved)
    assert commit == run.imported


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(StateError, match="is not empty; remove it or name another folder"):
        run_demo(tmp_path, SMALL, RefineParameters(iterations=1))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_model_that_is_not_there_costs_nothing(tmp_path: Path) -> None:
    parameters = SimulationParameters(model=tmp_path / "missing.cif")
    with pytest.raises(MpopError, match=r"missing\.cif"):
        run_demo(tmp_path / "demo", parameters, RefineParameters(iterations=1))
    assert not (tmp_path / "demo" / "data").exists()
