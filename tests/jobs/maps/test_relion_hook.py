"""`mpop relion-external-reconstruct` in a refinement by RELION 3.1, and against RELION's own reconstruction."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from relion import MPOP, RelionRun, make_stack, needs_relion, refine

from mpop.formats.external_reconstruct import read_request
from mpop.formats.images import read_map
from mpop.formats.star import read_star
from mpop.jobs.maps.relion_hook import HookOptions, reconstruct_for_relion
from mpop.maps.gridding import SliceSums, reconstruct

pytestmark = needs_relion

OUTPUT = "Refine3D/job 01/run_it007 v1.2"
"""All that programs in this place have stumbled over: folders, spaces, underscores, dots, another iteration."""


@pytest.fixture(scope="module")
def refined(tmp_path_factory: pytest.TempPathFactory) -> RelionRun:
    """A whole refinement to convergence, half a minute of CPU time."""
    folder = make_stack(tmp_path_factory.mktemp("relion") / "stack")
    return refine(folder, OUTPUT, f"{MPOP} --start-resolution 40 --start-healpix 3")


def requests(run: RelionRun) -> list[Path]:
    return sorted((run.folder / OUTPUT).parent.glob("*_external_reconstruct.star"))


def test_the_refinement_ends_and_every_reconstruction_says_what_was_done(refined: RelionRun) -> None:
    assert refined.returncode == 0, refined.err
    assert (refined.folder / f"{OUTPUT}_class001.mrc").is_file()
    # it may stand behind a progress bar, and what two processes say at once on one line
    said = re.findall(r"mpop: (run_it007 v1\.2_it\d+_.*?)(?=mpop: run_|$)", refined.out, re.MULTILINE)
    asked = requests(refined)
    assert len(said) == len(asked) > 4
    assert sum("corrected at" in line for line in said) >= len(asked) - 3
    assert "all particles together" in next(line for line in said if "_half" not in line)


def test_half_sets_refine_what_the_hook_wrote(refined: RelionRun) -> None:
    """RELION flattens the solvent of the map that it reads; within the mask it goes on with what it was given."""
    request = read_request(requests(refined)[0])
    mask, _ = read_map(refined.folder / "mask.mrc")
    handed, _ = read_map(request.result)
    taken, _ = read_map(request.name.of_iteration(1, "half1_class001.mrc"))
    np.testing.assert_allclose(taken[mask == 1], handed[mask == 1], rtol=1e-4, atol=1e-5 * handed.max())
    plain, _ = read_map(request.result.with_name(f"{request.result.stem}_plain.mrc"))
    assert np.linalg.norm(plain - handed) > 0.1 * np.linalg.norm(plain)


def test_the_plain_map_is_that_of_relion(refined: RelionRun, tmp_path: Path) -> None:
    """To single precision, in an early iteration, a late one, and the last one of all particles."""
    asked = requests(refined)
    for path in (asked[0], asked[-2], next(p for p in asked if "_half" not in p.name)):
        request = read_request(path)
        # RELION's program takes no spaces: it gets the same files under other names
        (tmp_path / "a").mkdir(exist_ok=True)
        stock = tmp_path / "a" / "stock_class001_external_reconstruct.star"
        text = path.read_text()
        for line in text.splitlines():
            if line.startswith(("_rlnExtReconsData", "_rlnExtReconsWeight")):
                label, name = line.split(maxsplit=1)
                kept = stock.with_name(f"stock_{name.strip().strip(chr(34)).rsplit('_external_')[-1]}")
                kept.unlink(missing_ok=True)
                kept.symlink_to(path.with_name(f"{path.stem}{kept.name.removeprefix('stock_reconstruct')}"))
                text = text.replace(line, f"{label} {kept}")
        stock.write_text(text)
        out = tmp_path / "stock.mrc"
        subprocess.run(["relion_external_reconstruct", str(stock), "--o", str(out)], check=True)
        expected, _ = read_map(out)
        sums = SliceSums(request.data(), request.weight(), request.box, request.padding, request.reach)
        found = reconstruct(sums, request.fudge * request.tau2)
        assert np.linalg.norm(found - expected) < 1e-6 * np.linalg.norm(expected)
        # RELION's own divisions of the same numbers do matter: without the prior it is another map
        assert np.linalg.norm(reconstruct(sums) - expected) > 1e-2 * np.linalg.norm(expected)


def test_a_continued_run_finds_the_iteration_before(refined: RelionRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `--continue run_it002_optimiser.star --o run_ct2`, which writes no earlier iteration of its own."""
    asked = next(path for path in requests(refined) if "_it003_half1" in path.name)
    for run in ("run_it007 v1.2_ct2", "another name"):
        for file in asked.parent.glob(f"{asked.stem}*"):
            if not file.name.endswith("_plain.mrc"):
                (file.parent / file.name.replace("run_it007 v1.2", run, 1)).symlink_to(file.name)
        star = asked.with_name(asked.name.replace("run_it007 v1.2", run, 1))
        (star.parent / star.name.replace(".star", ".mrc")).unlink()
        monkeypatch.chdir(refined.folder)
        result = reconstruct_for_relion(star, HookOptions(start_resolution_A=60.0))
        assert result.corrected and result.healpix_order == 3, result.reason


def test_a_failure_stops_relion_with_the_reason(tmp_path: Path) -> None:
    folder = make_stack(tmp_path / "stack")
    run = refine(folder, "bad/run", f"{MPOP} --mask nowhere.mrc")
    assert run.returncode != 0
    assert "mpop: error: nowhere.mrc: no such file" in run.err
    assert not (folder / "bad" / "run_it001_half1_class001.mrc").exists()
    assert read_star(folder / "bad" / "run_it000_optimiser.star")  # it did begin
