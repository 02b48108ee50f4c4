"""The denoiser: closer to the truth than a low-pass in rigid and floppy parts, and nothing out of noise."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.quality.denoiser import FloppyPhantom, floppy_phantom, low_passed
from mpop.errors import InputError, StateError
from mpop.maps.filters import inverse, low_pass, transform
from mpop.maps.fsc import fsc
from mpop.maps.masks import soft_sphere
from mpop.networks.denoiser import Denoised, DenoiseOptions, Denoiser, denoise, fitting

STEPS = 80
PIXEL_A = 3.0


@pytest.fixture(scope="module")
def phantom() -> FloppyPhantom:
    return floppy_phantom(64, PIXEL_A, 8.0)


@pytest.fixture(scope="module")
def denoised(phantom: FloppyPhantom) -> Denoised:
    options = DenoiseOptions(steps=STEPS)
    return denoise(phantom.half1, phantom.half2, phantom.mask, PIXEL_A, options)


def test_less_error_than_the_low_pass_overall_and_in_either_part(
    phantom: FloppyPhantom, denoised: Denoised
) -> None:
    half, mean = low_passed(phantom)
    for before, after in ((half, denoised.half1), (mean, denoised.mean)):
        ratios = np.divide(phantom.errors(after), phantom.errors(before))
        assert np.all(ratios < 0.95), f"all, rigid, floppy: {ratios}"


def test_neither_shift_nor_scale(phantom: FloppyPhantom, denoised: Denoised) -> None:
    truth, inside = phantom.truth * phantom.mask, phantom.mask > 0.5
    cross = inverse(transform(denoised.mean) * transform(truth).conj(), len(truth))
    assert np.argmax(cross) == 0
    scale = np.vdot(denoised.mean[inside], truth[inside]) / np.vdot(truth[inside], truth[inside])
    assert 0.93 < scale < 1.03


def test_training_goes_on_from_the_stored_numbers(phantom: FloppyPhantom, denoised: Denoised) -> None:
    stored = Denoiser.from_arrays(denoised.denoiser.to_arrays())
    options = DenoiseOptions(steps=1)
    maps = phantom.half1, phantom.half2, phantom.mask, PIXEL_A
    again, fresh = denoise(*maps, options, stored), denoise(*maps, options)
    assert again.continued
    assert not fresh.continued
    assert phantom.errors(again.half1)[0] < 1.1 * phantom.errors(denoised.half1)[0]
    assert phantom.errors(again.half1)[0] < phantom.errors(fresh.half1)[0]
    assert not denoise(*maps, DenoiseOptions(steps=1, width=8), stored).continued


def test_same_seed_same_bits(phantom: FloppyPhantom) -> None:
    options = DenoiseOptions(networks="independent", steps=2)
    one, two = (denoise(phantom.half1, phantom.half2, phantom.mask, PIXEL_A, options) for _ in range(2))
    assert np.array_equal(one.half1, two.half1)
    assert len(one.denoiser.networks) == 2


@pytest.mark.parametrize("networks", ["shared", "independent"])
def test_next_to_nothing_is_left_of_noise(networks: str) -> None:
    rng = np.random.default_rng(1)
    half1, half2 = rng.standard_normal((2, 48, 48, 48), dtype=np.float32)
    mask = soft_sphere(48, 2.0, 30.0, 10.0)
    done = denoise(half1, half2, mask, 2.0, DenoiseOptions(networks=networks, steps=40))
    inside = mask > 0.5
    for half, result in ((half1, done.half1), (half2, done.half2), ((half1 + half2) / 2, done.mean)):
        assert result[inside].var() < 1e-3 * half[inside].var()
    levels = [result[mask == 0].mean() for result in (done.half1, done.half2)]
    before = fsc(half1 * mask, half2 * mask, 2.0).correlation
    after = fsc(done.half1 - levels[0], done.half2 - levels[1], 2.0).correlation
    assert after[2:].mean() < before[2:].mean() + 0.05


def test_maps_without_noise_stay_as_they_are(phantom: FloppyPhantom) -> None:
    rng = np.random.default_rng(0)
    # nothing in the corners of the transform, beyond Nyquist; and a level of the solvent
    clean = low_pass(phantom.truth, PIXEL_A, 8.0) + np.float32(0.2)
    faint = np.float32(1e-5 * clean.std()) * rng.standard_normal(clean.shape, dtype=np.float32)
    done = denoise(clean, clean + faint, phantom.mask, PIXEL_A, DenoiseOptions(steps=20))
    inside = phantom.mask == 1
    error = np.square(done.half1 - clean)[inside].mean() / clean[inside].var()
    assert error < 1e-3
    assert done.half1[phantom.mask == 0] == pytest.approx(clean[phantom.mask == 0].mean(), rel=1e-4)


def test_defaults_are_the_same_with_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = [fitting(DenoiseOptions(), 96, continued).parameters for continued in (False, True)]
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert [fitting(DenoiseOptions(), 96, continued).parameters for continued in (False, True)] == alone


def test_refuses_what_cannot_be(phantom: FloppyPhantom) -> None:
    maps = phantom.half1, phantom.half2, phantom.mask, PIXEL_A
    with pytest.raises(InputError, match="steps 0"):
        denoise(*maps, DenoiseOptions(steps=0))
    with pytest.raises(InputError, match="cubes of 30"):
        denoise(*maps, DenoiseOptions(cube=30))
    small = np.ones((12, 12, 12), dtype=np.float32)
    with pytest.raises(InputError, match="a box of 12 voxels is too small to denoise; 16 are needed"):
        denoise(small, small, small, PIXEL_A)
    with pytest.raises(InputError, match="mask is empty"):
        denoise(phantom.half1, phantom.half2, np.zeros_like(phantom.mask), PIXEL_A)


def test_refuses_stored_numbers_of_something_else(phantom: FloppyPhantom, denoised: Denoised) -> None:
    arrays = denoised.denoiser.to_arrays()
    with pytest.raises(StateError, match="not one that this mpop reads"):
        Denoiser.from_arrays({"other.weight": np.ones(3, dtype=np.float32)})
    spoilt = Denoiser.from_arrays({key: values[:1] for key, values in arrays.items()})
    with pytest.raises(StateError, match="not whole"):
        denoise(phantom.half1, phantom.half2, phantom.mask, PIXEL_A, denoiser=spoilt)
