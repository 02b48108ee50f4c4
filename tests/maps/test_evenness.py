"""Evenly measured half-maps are found even at any noise; a gap is found where noise lets it be seen."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from mpop.maps import evenness
from mpop.maps.evenness import is_uneven, poor_by_chance, poorly_measured
from mpop.maps.restoration import restore
from mpop.maps.transfer import TransferModel

BOX, LIMIT = 40, 16


def estimated(gap_deg: float, noise: float, seed: int) -> tuple[TransferModel, np.ndarray]:
    """The model of two half-maps of random blobs with a double cone around z left out, and their mask."""
    rng = np.random.default_rng(seed)
    axis = np.arange(BOX) - BOX // 2
    distance = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    inside = np.argwhere(distance < 11)
    points = np.zeros((BOX,) * 3)
    points[tuple(inside[rng.choice(len(inside), 120)].T)] = 1
    density = gaussian_filter(points, 0.9)
    k = np.fft.fftfreq(BOX) * BOX
    z, y, x = np.meshgrid(k, k, np.arange(BOX // 2 + 1), indexing="ij")
    cosine = np.abs(z) / np.maximum(np.sqrt(z * z + y * y + x * x), 1e-9)
    amplitude = np.where(cosine > np.cos(np.deg2rad(gap_deg)), 0.02, 1.0)
    amplitude[0, 0, 0] = 1
    mask = np.clip((14 - distance) / 2, 0, 1).astype(np.float32)

    def half() -> np.ndarray:
        measured = np.fft.irfftn(amplitude * np.fft.rfftn(density), s=(BOX,) * 3, axes=(0, 1, 2))
        return (measured + noise * density.std() * rng.standard_normal(density.shape)).astype(np.float32)

    return restore(half(), half(), mask, LIMIT)[0].model, mask


@pytest.mark.parametrize("noise", [0.1, 0.5, 1.5])
@pytest.mark.parametrize("seed", [1, 2])
def test_even_measurements_are_even_at_any_noise(noise: float, seed: int) -> None:
    model, mask = estimated(0.0, noise, seed)
    assert not is_uneven(model, mask)


@pytest.mark.parametrize(("gap_deg", "noise"), [(20.0, 0.1), (40.0, 0.3), (40.0, 1.0)])
def test_a_gap_is_found(gap_deg: float, noise: float) -> None:
    model, mask = estimated(gap_deg, noise, 3)
    assert is_uneven(model, mask)


def test_chance_is_as_large_as_it_turns_out_to_be() -> None:
    """What even half-maps show, and what is expected of them, is the same within a third."""
    for noise in (0.7, 1.5):
        model, mask = estimated(0.0, noise, 4)
        assert poor_by_chance(model, mask) == pytest.approx(poorly_measured(model), rel=0.34, abs=0.01)


@pytest.mark.parametrize(
    ("found", "chance", "uneven"),
    [(0.029, 0.0, False), (0.031, 0.0, True), (0.045, 0.009, False), (0.13, 0.04, True), (0.11, 0.04, False)],
)
def test_more_is_asked_where_chance_makes_more_look_poor(
    monkeypatch: pytest.MonkeyPatch, found: float, chance: float, uneven: bool
) -> None:
    """From 0.03 to 0.08 above chance, without a step: chance is an estimate itself."""
    monkeypatch.setattr(evenness, "poorly_measured", lambda *_: found)
    monkeypatch.setattr(evenness, "poor_by_chance", lambda *_: chance)
    model, mask = estimated(0.0, 0.5, 1)
    assert is_uneven(model, mask) == uneven
