"""What half-maps pass through before particles are compared with them."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, get_args

import numpy as np
import pytest

from mpop.errors import InputError
from mpop.maps.filters import inverse, multiply_radially, transform
from mpop.maps.fsc import fsc_report
from mpop.maps.masks import soft_sphere
from mpop.maps.shells import shell_radius
from mpop.networks import denoiser, denoiser_input
from mpop.refinement import priors
from mpop.refinement.priors import Prior, parse_prior, through_prior

BOX, PIXEL_A = 32, 4.0


def blobs() -> np.ndarray:
    """Density in a sphere."""
    rng = np.random.default_rng(3)
    axis = np.arange(BOX) - BOX // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    signal = np.zeros((BOX,) * 3)
    for centre in rng.uniform(-5, 5, (15, 3)):
        signal += np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2) / 3)
    return signal.astype(np.float32)


def half_maps(seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The blobs with independent noise, and the mask around them."""
    rng = np.random.default_rng(seed)
    halves = [blobs() + rng.normal(0, 0.15, (BOX,) * 3).astype(np.float32) for _ in range(2)]
    return halves[0], halves[1], soft_sphere(BOX, PIXEL_A, 36.0, 12.0)


def gapped() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The blobs, half-maps that were measured a hundredth as well within 35 degrees of z, and the weights of
    their coefficients."""
    weight = np.where(in_gap(), np.float32(0.01), np.float32(1))
    rng = np.random.default_rng(5)
    halves = []
    for _ in range(2):
        noise = transform(rng.normal(0, 0.1, (BOX,) * 3).astype(np.float32)) / np.sqrt(weight)
        halves.append(blobs() + inverse(noise.astype(np.complex64), BOX))
    return blobs(), halves[0], halves[1], weight


def in_gap() -> np.ndarray:
    """Coefficients near the z axis."""
    along = np.abs(np.fft.fftfreq(BOX) * BOX)[:, None, None]
    return along > shell_radius(BOX) * np.cos(np.deg2rad(35))


def agreement(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    """Mean FSC over shells 3 to 8, in the gap and elsewhere."""
    a, b, shell = transform(first), transform(second), np.rint(shell_radius(BOX)).astype(int)
    found = {}
    for name, part in (("gap", in_gap()), ("elsewhere", ~in_gap())):
        cross, power1, power2 = (
            np.bincount(shell[part], np.real(u * v.conj())[part]) for u, v in ((a, b), (a, a), (b, b))
        )
        found[name] = float((cross[3:9] / np.sqrt(power1 * power2)[3:9]).mean())
    return found


class Answers:
    """A function that remembers what it answered, and can be told to answer the same once more."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.given, self.again = function, [], None

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if self.again is not None:
            return self.again.pop(0)
        self.given.append(self.function(*arguments, **named))
        return self.given[-1]

    def replay(self) -> None:
        """From now on the old answers, in their order."""
        self.again = list(self.given)


def _keep(monkeypatch: pytest.MonkeyPatch, module: ModuleType, *names: str) -> list[Answers]:
    kept = [Answers(getattr(module, name)) for name in names]
    for name, answers in zip(names, kept, strict=True):
        monkeypatch.setattr(module, name, answers)
    return kept


def _shorten_training(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = denoiser.fitting
    short = {"steps": 3, "width": 4}
    monkeypatch.setattr(denoiser, "fitting", lambda *given: whole(*given).model_copy(update=short))


def test_fsc_is_the_half_map_times_its_fsc() -> None:
    first, second, mask = half_maps()
    report = fsc_report(first, second, mask, PIXEL_A)
    assert report.resolution_A is not None
    curve = report.corrected
    weights = np.where(curve.frequency <= 1 / report.resolution_A, np.clip(curve.correlation, 0, 1), 0)
    passed = through_prior("fsc", first, second, mask, report, PIXEL_A)
    assert np.array_equal(passed.half1, multiply_radially(first, weights))
    assert np.array_equal(passed.half2, multiply_radially(second, weights))


def test_none_changes_nothing() -> None:
    first, second, mask = half_maps()
    passed = through_prior("none", first, second, mask, fsc_report(first, second, mask, PIXEL_A), PIXEL_A)
    assert passed.half1 is first
    assert passed.half2 is second


def test_isotropic_infers_what_was_hardly_measured_and_keeps_the_rest() -> None:
    signal, first, second, weight = gapped()
    mask = half_maps()[2]
    report = fsc_report(first, second, mask, PIXEL_A)
    found = through_prior("isotropic", first, second, mask, report, PIXEL_A, weights=(weight, weight))
    weighted = through_prior("fsc", first, second, mask, report, PIXEL_A)
    before, after = (agreement(one.half1 * mask, signal * mask) for one in (weighted, found))
    assert before["gap"] < 0.7
    assert after["gap"] > 0.9
    assert after["elsewhere"] > before["elsewhere"] > 0.9


def test_isotropic_claims_no_more_than_there_is() -> None:
    """What images are compared with is an estimate: the best factor for it must not be far from 1."""
    signal, first, second, weight = gapped()
    mask = half_maps()[2]
    report = fsc_report(first, second, mask, PIXEL_A)
    found = through_prior("isotropic", first, second, mask, report, PIXEL_A, weights=(weight, weight))
    estimate, truth = transform(found.half1 * mask), transform(signal * mask)
    factor = np.real(truth * estimate.conj()).sum() / np.square(np.abs(estimate)).sum()
    assert 0.8 < factor < 1.25


@pytest.mark.parametrize("prior", get_args(Prior))
def test_only_means_over_shells_cross_from_one_half_to_the_other(
    prior: Prior, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With those as they were, another half 2 leaves the reference of half 1 as it is, bit for bit."""
    first, second, mask = half_maps()
    _, other, _ = half_maps(seed=4)
    weight = gapped()[3]
    report = fsc_report(first, second, mask, PIXEL_A)
    _shorten_training(monkeypatch)

    def reference(half2: np.ndarray) -> np.ndarray:
        return through_prior(
            prior, first, half2, mask, report, PIXEL_A, weights=(weight, weight + np.abs(transform(half2)))
        ).half1

    kept = _keep(monkeypatch, priors, "_signal_to_noise")
    kept += _keep(monkeypatch, denoiser_input, "fsc_report", "amplitudes", "noise_amplitudes", "_deviation")
    before = reference(second)
    for answers in kept:
        answers.replay()
    again = reference(other)
    assert np.array_equal(again, before)
    if prior != "none":
        assert not np.array_equal(before, first)


def test_a_prior_that_is_none_of_them_is_refused() -> None:
    with pytest.raises(InputError, match="--prior spisonet: there are fsc, none, isotropic, denoise"):
        parse_prior("spisonet")
