"""A tilt image without its noise against the sum of plane waves over the whole image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpop.simulation.micrographs import render_tilt
from mpop.simulation.parameters import SimulationParameters
from mpop.simulation.physics import (
    ATOM_B_A2,
    POTENTIAL_PER_SCATTERING,
    contrast_transfer,
    electrons_per_pixel,
    interaction_constant,
)
from mpop.simulation.scene import make_scene, project_particles
from mpop.simulation.structures import Structure

PARAMETERS = SimulationParameters(
    series=1, tilts=3, image_size=360, pixel_size_A=3.0, particles=2, defocus_um=(2.0, 2.1)
)


class NoNoise:
    """A generator of zeros."""

    def standard_normal(self, shape: Any) -> np.ndarray:
        return np.zeros(shape)


def blob() -> Structure:
    rng = np.random.default_rng(2)
    position = rng.uniform(-25, 25, (80, 3))
    return Structure("blob", position, rng.uniform(100.0, 300.0, 80), "C1", 90.0)


@pytest.mark.parametrize("tilt", [0, 1])
def test_every_particle_has_its_own_ctf_and_fades_with_exposure(tilt: int) -> None:
    """FT(1 - I/N) = 2 sigma_e exp(-(B/4 + e) k^2) sum over particles p of CTF_p sum_j V_j exp(-2 pi i k x_j),

    e the exposure at half time. Up to 0.8 of the Nyquist frequency: the end of the spectrum there gives every
    particle tails that are cut where its window ends.
    """
    structure = blob()
    scene = make_scene("TS_01", [structure], PARAMETERS, np.random.default_rng(0))
    middle = np.array(PARAMETERS.volume_dims_A) / 2
    position = middle + np.array([[-60.0, 31.3, 400.0], [75.7, -20.2, -350.0]])
    places = project_particles(
        scene, position, np.array([[10.0, 50.0, 70.0], [0, 90, 200]]), PARAMETERS, planted=True
    )
    assert np.ptp(places.defocus_um[:, tilt]) > 0.03
    noise: Any = NoNoise()
    image = render_tilt(scene, [structure], [places], tilt, PARAMETERS, noise)

    size, pixel = PARAMETERS.image_size, PARAMETERS.pixel_size_A
    k = np.stack(np.meshgrid(np.fft.rfftfreq(size, pixel), np.fft.fftfreq(size, pixel), indexing="xy"), axis=-1)
    square = np.square(k).sum(axis=-1)
    ctf = contrast_transfer(
        size, pixel, places.defocus_um[:, tilt], scene.astigmatism_um, scene.astigmatism_deg, 2.7, 0.07, 300.0
    )
    exposure = scene.exposure[tilt] + PARAMETERS.exposure / 2
    expected = np.zeros(square.shape, dtype=complex)
    for p in range(2):
        atoms = (structure.position_A @ places.rotation[p, tilt].T)[:, :2] + places.position_A[p, tilt]
        for atom, strength in zip(atoms, structure.scattering_A, strict=True):
            expected += strength * np.exp(-2j * np.pi * (k @ atom)) * ctf[p]
    expected *= np.exp(-(ATOM_B_A2 / 4 + exposure) * square)
    expected *= POTENTIAL_PER_SCATTERING * interaction_constant(300.0) / pixel**2
    expected *= 2 * (square < (0.4 / pixel) ** 2)
    contrast = np.fft.irfft2(expected, s=(size, size))

    electrons = electrons_per_pixel(PARAMETERS.exposure, pixel, PARAMETERS.thickness_A, scene.angles_deg[tilt])
    rendered = np.fft.rfft2(1 - image / electrons) * (square < (0.4 / pixel) ** 2)
    error = np.fft.irfft2(rendered, s=(size, size)) - contrast
    assert contrast.std() > 0.01
    assert np.sqrt(np.square(error).mean()) < 0.02 * contrast.std()
