"""Jobs as data: their ids, for ever; what records of before say; and that every verb can be run from a record."""

from __future__ import annotations

import subprocess
import sys
from pkgutil import resolve_name
from typing import Annotated, Any

import pytest

from mpop.errors import StateError
from mpop.jobs.maps.correct import CorrectParameters
from mpop.jobs.maps.parameters import (
    ComparisonParameters,
    DirectionalParameters,
    FSCParameters,
    LocalResolutionParameters,
    OrientationsParameters,
)
from mpop.jobs.reconstruct import ReconstructParameters
from mpop.jobs.refine_parameters import IterationParameters, RefineParameters
from mpop.jobs.spec import JobSpec
from mpop.jobs.verbs import VERBS, spec_of
from mpop.networks.correction import CorrectionOptions
from mpop.networks.denoiser import DenoiseOptions
from mpop.records.models import JobRecord
from mpop.records.parameters import Absent, Parameters
from mpop.refinement.groups import registry
from mpop.refinement.groups.registry import Choice
from mpop.run import Run
from mpop_store import version_of

INPUTS = {f"species/{'a' * 16}.json": "0" * 64}
OLD_REFINEMENT = {"iterations": 3, "species": [], "sources": [], "image_warp": [4, 4], "stage_angles": True}
OLD_REFINEMENT |= {"poses": True, "iteration": 1, "seed": 0}

SPECS: dict[str, tuple[str, Parameters, int]] = {
    "e17b34a0bb224e8a6b85418546cbfcb295a3383e5576a42441e2844fe8c8777b": (
        "reconstruct",
        ReconstructParameters(species=("a" * 16,), sources=("5" * 16,)),
        0,
    ),
    "fa50e8c75aeac8acdfa2bfcd20463c1812b7370f6957e1b9e2ffb211b8070943": ("fsc", FSCParameters(), 0),
    "66337a5d742bac7abab7871a19a7b454aa17c2e89e939cc584af3e5cbf11882e": (
        "fsc",
        FSCParameters(b_factor_A2=-40, low_pass_A=8.0, mtf="f" * 64, mtf_pixel_size_A=1.2),
        3,
    ),
    "c1d6cc0c3f771ae1df47f4e4ed83f4170fab3f5951cc3c427d208edfe3bd2c4f": (
        "fsc",
        ComparisonParameters(against="model", other="e" * 64),
        0,
    ),
    "84edce2e5723cc3d0a4fb46a1c5f43219af4a4f3979e875c0aed24fb02335a68": ("fsc3d", DirectionalParameters(), 0),
    "85c361e9a6c329e24f8879275eb84e31335e924e56734f8821e3eeea264ace9d": (
        "local-resolution",
        LocalResolutionParameters(),
        0,
    ),
    "873d165e96bab4eee571582c8a34a1f17e821828ac99565b3f889c1b4b883bae": (
        "orientations",
        OrientationsParameters(),
        0,
    ),
    "5ecb6952eb72cdd3c7014b0262b89dc9d13630e381e931d0738c803f2a4ed61b": (
        "correct",
        CorrectParameters(
            **dict(CorrectionOptions(steps=0, width=16, cube=16, batch=2, seed=3).parameters),
            hold_out=False,
        ),
        3,
    ),
    "e64e968ba844d9cf41843e9e40070844d618ba0bb8cacbfbe2e5b5c70b43063d": (
        "denoise",
        DenoiseOptions(steps=300, width=16, cube=20, seed=5).parameters,
        5,
    ),
    "41ad12730c03c37f6892d28cc0f412c298f5ee6443d3b35f0297d67cd70f9da4": (
        "refine",
        RefineParameters(seed=0).of_iteration(1),
        0,
    ),
    "b61bf8d949630efdea45016003ed662fc0bc22efd7bd6241be30fcd145b78f26": (
        "refine",
        RefineParameters(
            iterations=2,
            groups={"image_warp": (2, 2), "stage_angles": False},
            species=("ribosome",),
            prior="denoise",
            search_deg=4.0,
            search_A=6.0,
            seed=0,
        ).of_iteration(2),
        0,
    ),
}
"""Ids that the first mpop gave to these jobs, when every refinement had a seed. They are not to be changed."""


def recorded(verb: str, parameters: dict[str, Any], seed: int = 0) -> JobRecord:
    """A record as mpop of before wrote it."""
    said = {"kind": "job", "verb": verb, "parameters": parameters, "seed": seed, "inputs": INPUTS}
    about = {"software": {}, "device": "cpu", "threads": 1, "wall_s": 0.0, "peak_GiB": 0.0}
    return JobRecord.model_validate({**said, **about, "id": version_of(said)})


@pytest.mark.parametrize("identity", SPECS)
def test_the_same_job_has_the_same_id_for_ever(identity: str) -> None:
    verb, parameters, seed = SPECS[identity]
    spec = JobSpec(verb, parameters, INPUTS, seed)
    assert spec.id == identity
    again = spec_of(spec.record(Run("cuda:0", 8), wall_s=3.0))
    assert again == spec and again.id == identity


def test_every_verb_is_named_in_records_and_has_parameters_and_what_runs_it() -> None:
    assert set(VERBS) == set(JobRecord.model_fields["verb"].annotation.__args__)
    for verb, one in VERBS.items():
        assert all(issubclass(resolve_name(name), Parameters) for name in one.parameters), verb
        assert (one.runner is None) == (verb == "merge")


def test_a_refinement_of_before_is_the_job_that_it_was() -> None:
    """It had a seed, and neither priors nor a search."""
    job = recorded("refine", OLD_REFINEMENT)
    spec = spec_of(job)
    assert isinstance(spec.parameters, IterationParameters)
    assert (spec.parameters.prior, spec.parameters.search_deg, spec.parameters.seed) == ("fsc", 0.0, 0)
    assert spec.id == job.id == "41ad12730c03c37f6892d28cc0f412c298f5ee6443d3b35f0297d67cd70f9da4"
    assert "seed" not in RefineParameters().recorded()


def test_a_group_that_came_later_makes_no_other_job_of_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    job = recorded("refine", OLD_REFINEMENT)
    monkeypatch.setitem(registry.REGISTRY, "doming", Choice(False, lambda on: ()))
    assert spec_of(job).id == job.id
    asked = RefineParameters(groups={"doming": True}).of_iteration(1).recorded()
    assert asked["doming"] is True
    assert IterationParameters.from_record(asked).groups["doming"] is True


def test_a_field_that_came_later_means_what_its_absence_meant() -> None:
    class Now(Parameters):
        steps: int
        width: Annotated[int, Absent(8)] = 16

    assert Now.from_record({"steps": 1}).width == 8
    assert Now(steps=1).recorded() == {"steps": 1, "width": 16}
    assert Now(steps=1, width=8).recorded() == {"steps": 1}


@pytest.mark.parametrize(
    ("verb", "parameters"),
    [
        ("fsc3d", {"half_angle_deg": 20.0, "shape": "cone"}),
        ("fsc3d", {"half_angle_deg": "wide"}),
        ("refine", {"image_warp": [4, 4]}),
        ("local-resolution", {"threshold": 7.0, "b_factor_A2": 0.0}),
        ("fsc", {"against": "a feeling", "other": "e" * 64}),
    ],
)
def test_parameters_that_this_mpop_does_not_know(verb: str, parameters: dict[str, Any]) -> None:
    with pytest.raises(StateError, match="has parameters that this mpop does not know; update mpop"):
        spec_of(recorded(verb, parameters))


def test_the_table_of_verbs_loads_nothing_that_computes() -> None:
    code = "import sys, mpop.jobs.spec; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numba", "scipy", "pandas"} & set(done.stdout.split())
