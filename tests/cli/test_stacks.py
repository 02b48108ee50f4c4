"""A RELION user's way through the command line: import, look, refine, export; and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mpop.networks import denoiser
from mpop.simulation.stacks import StackParameters, simulate_stack
from tests.support.commands import as_json, mpop, run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("relion") / "data"
    simulate_stack(
        folder,
        StackParameters(particles=40, box=40, pixel_size_A=5.0, signal_to_noise=1.0, initial_resolution_A=16.0),
    )
    return folder


def test_from_relion_and_back(data: Path, tmp_path: Path) -> None:
    here = str(tmp_path / "population")
    star = str(data / "particles.star")
    mpop("init", here)
    said = mpop("-C", here, "source", "add", "grid1", "--stack", star)
    assert said == "Added source grid1: 40 particle images in 1 stack at 5 A/px\n"
    maps = [word for name in ("half1", "half2", "mask") for word in (f"--{name}", str(data / f"{name}.mrc"))]
    said = mpop("-C", here, "species", "add", "molecule", *maps, "--particles", star, "--diameter", "120")
    assert said.startswith("Added species molecule: 40 particles in 1 stack, C1, half-maps agree to ")
    mpop("-C", here, "commit", "-m", "Import")
    assert "1 stack" in mpop("-C", here, "source", "list")
    told = json.loads(
        mpop("-C", here, "--threads", "1", "refine", "--iterations", "1", "--prior", "none", "--json")
    )
    assert told["jobs"][0]["parameters"]["prior"] == "none"
    words = mpop("-C", here, "diff", "HEAD~1", "HEAD")
    assert "species molecule: " in words
    assert "\nstack particles\n" in words and "tilt series" not in words
    assert "(from 1 stack)" in mpop("-C", here, "log", "--graph")
    assert mpop("-C", here, "collisions").startswith("nothing to search: no tilt series here holds particles")
    mpop("-C", here, "export", "relion", str(tmp_path / "out"))
    assert (tmp_path / "out/molecule_particles.star").is_file()
    mpop("-C", here, "verify")  # or it ends with another code
    assert "no stack 'x' in this population (there are: particles)" in mpop(
        "-C", here, "log", "--item", "x", code=3
    )


@pytest.mark.parametrize("prior", ["isotropic", "denoise"])
def test_priors_that_learn_refine_a_stack(
    data: Path, tmp_path: Path, prior: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = denoiser.fitting
    short = {"steps": 5, "width": 4}
    monkeypatch.setattr(denoiser, "fitting", lambda *given: whole(*given).model_copy(update=short))
    here, star = str(tmp_path / "population"), str(data / "particles.star")
    mpop("init", here)
    mpop("-C", here, "source", "add", "grid1", "--stack", star)
    maps = [word for name in ("half1", "half2", "mask") for word in (f"--{name}", str(data / f"{name}.mrc"))]
    mpop("-C", here, "species", "add", "molecule", *maps, "--particles", star, "--diameter", "120")
    mpop("-C", here, "commit", "-m", "Import")
    told = as_json("-C", here, "--threads", "1", "refine", "--iterations", "1", "--prior", prior)
    (job,) = told["jobs"]
    assert job["parameters"]["prior"] == prior
    assert job["score_after"] > job["score_before"]
    assert "identical" in mpop("-C", here, "--threads", "1", "reproduce", "HEAD")
    mpop("-C", here, "verify")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give --warp for tilt series, or --stack for extracted particles"),
        (["--stack", "x.star", "--volume", "1", "1", "1"], "--volume does not go with --stack"),
        (["--warp", "x.settings", "--images", "y"], "--images does not go with --warp"),
        (["--stack", "x.star"], "x.star: no such file"),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, words: list[str], message: str) -> None:
    here = str(tmp_path / "population")
    mpop("init", here)
    done = run("-C", here, "source", "add", "grid1", *words)
    assert done.code != 0
    assert message in done.err
    assert done.err.count("\n") == 1


def test_an_unknown_prior_is_named(tmp_path: Path) -> None:
    mpop("init", str(tmp_path / "population"))
    done = run("-C", str(tmp_path / "population"), "refine", "--prior", "magic")
    assert (done.code, done.err) == (
        2,
        "mpop: error: --prior magic: there are fsc, none, isotropic, denoise\n",
    )
