"""Images of particles at low resolution, of a few tilts or of some images of a stack, for a look at what they
show.

`mpop.series.extraction` makes P and Q (see there) as exactly as refinement needs them, by kernels that take longer
to start than a small import does. Here numpy is enough: images are binned, values far from all others are clipped,
noise is that of the whole image, and a tilt has one CTF, that of the mean defocus of its particles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from mpop.errors import InputError
from mpop.geometry.frequencies import wrapped_indices
from mpop.optics.sizes import image_size
from mpop.optics.wavelength import electron_wavelength_A
from mpop.optics.weights import exposure_weights
from mpop.projection.disc import HalfDisc
from mpop.records.stack import StackModel
from mpop.records.tilt_series import CTFModel, TiltSeriesModel
from mpop.series.views import ImageOptics, ImageViews

Array = NDArray[np.float64]
Image = NDArray[np.float32]
Load = Callable[[int], Image]

PIXELS_PER_RESOLUTION = 2.4
FAR = 5.0
"""Standard deviations from the mean of a binned image: farther out are beads and bad pixels, not ice and
protein."""


@dataclass(frozen=True)
class CoarseImages:
    """m images: the particle (m,) and the exposure (m,) of each, P and Q (m, k) in the order of a disc, and where
    phases are zero, (m, 2) x, y in A from the corner of the raw image."""

    particle: NDArray[np.int64]
    exposure: NDArray[np.int64]
    data: NDArray[np.complex64]
    power: NDArray[np.float32]
    origin_A: Array
    lens: Lens

    @property
    def frequency(self) -> Array:
        """(k, 2) x, y in 1/A."""
        return self.lens.frequency

    @classmethod
    def together(cls, parts: Sequence[CoarseImages]) -> CoarseImages:
        """Of several exposures."""
        columns = ("particle", "exposure", "data", "power", "origin_A")
        joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in columns}
        return replace(parts[0], **joined)


@dataclass(frozen=True)
class Lens:
    """How coarsely to look: windows of `disc.size` pixels of pixel_size_A, each of binning x binning raw ones."""

    disc: HalfDisc
    binning: int
    pixel_size_A: float

    @classmethod
    def of(cls, diameter_A: float, resolution_A: float, raw_pixel_A: float) -> Lens:
        """For a particle up to a resolution, with room to lie a quarter of its diameter away."""
        binning = max(1, int(resolution_A / PIXELS_PER_RESOLUTION / raw_pixel_A))
        pixel = binning * raw_pixel_A
        size = image_size(diameter_A, pixel)
        return cls(HalfDisc.make(size, size * pixel / resolution_A), binning, pixel)

    @property
    def frequency(self) -> Array:
        """(k, 2) x, y in 1/A."""
        return self.disc.frequencies() / (self.disc.size * self.pixel_size_A)

    def binned(self, image: Image) -> Image:
        """(y, x) sums over squares of raw pixels, clipped, with mean 0."""
        b = self.binning
        rows, columns = image.shape[0] // b, image.shape[1] // b
        small = np.zeros((rows, columns), np.float32)
        for y, x in np.ndindex(b, b):  # quicker than means along axes as short as these
            small += image[y : rows * b : b, x : columns * b : b]
        small -= np.float32(small.mean(dtype=np.float64))
        limit = np.float32(FAR * float(small.std(dtype=np.float64)))
        return np.clip(small, -limit, limit, out=small)

    def pixel_of(self, position_A: Array) -> NDArray[np.int64]:
        """The binned pixel nearest to a position from the corner of the raw image, whose first pixel lies at 0."""
        raw = self.pixel_size_A / self.binning
        return np.rint((position_A / raw - (self.binning - 1) / 2) / self.binning).astype(np.int64)

    def position_of(self, pixel: NDArray[np.int64]) -> Array:
        """The other way round, in A."""
        return (pixel * self.binning + (self.binning - 1) / 2) * np.float64(self.pixel_size_A / self.binning)

    def packed(self, windows: Image) -> NDArray[np.complex64]:
        """P (m, k) of pre-multiplied windows (m, size, size), origin at size // 2, in units that make sums of
        products with slices nats."""
        x, y = self.disc.frequencies().T
        sign = ((1 - 2 * ((x + y) % 2)) / self.disc.size**2).astype(np.float32)
        return self.disc.pack(np.asarray(scipy.fft.rfft2(windows))) * sign

    def power(self, seen: Array, noise: Array) -> NDArray[np.float32]:
        """Q (k,). seen: what is left of the signal; noise: the power of a pixel of it."""
        return (np.square(seen) / (noise * self.disc.size**2)).astype(np.float32)


@dataclass(frozen=True)
class CoarseTilts:
    """Used tilts of a series: by number the pre-multiplied image, padded by half a window, and Q (k,)."""

    lens: Lens
    tilts: dict[int, tuple[Image, NDArray[np.float32]]]

    @classmethod
    def of(cls, load: Load, model: TiltSeriesModel, optics: ImageOptics[Array], lens: Lens) -> CoarseTilts:
        """Read them. optics: of the particles. Tilts without noise say nothing and are left out."""
        tilts: dict[int, tuple[Image, NDArray[np.float32]]] = {}
        for tilt in np.flatnonzero(model.use).tolist():
            image = -lens.binned(load(tilt))
            plane, spectrum = _plane(image.shape, lens.pixel_size_A), np.asarray(scipy.fft.rfft2(image))
            noise = plane.noise(np.square(np.abs(spectrum)))
            if noise is None:
                continue
            mean = [float(column[:, tilt].mean()) for column in _columns(optics)]
            weight = exposure_weights(model, plane.rings)[tilt]
            left = (weight / noise)[plane.ring] * _ctf(model.ctf, mean, plane.x, plane.y)
            matched = np.asarray(scipy.fft.irfft2(spectrum * left.astype(np.float32), s=image.shape))
            at, (x, y) = np.hypot(*lens.frequency.T), lens.frequency.T
            seen = _ctf(model.ctf, mean, x, y) * np.interp(at, plane.rings, weight)
            tilts[tilt] = (
                np.pad(matched, lens.disc.size // 2),
                lens.power(seen, np.interp(at, plane.rings, noise)),
            )
        return cls(lens, tilts)

    def cut(self, views: ImageViews[Array]) -> CoarseImages | None:
        """The images of particles, where their centres lie in a tilt; None where none does."""
        size, parts = self.lens.disc.size, []
        for tilt, (padded, power) in self.tilts.items():
            pixel = self.lens.pixel_of(views.position_A[:, tilt])
            shape = np.array(padded.shape[::-1]) - size
            inside = ((pixel >= 0) & (pixel < shape)).all(axis=1)
            if views.visible is not None:
                inside &= views.visible[:, tilt]
            particle = np.flatnonzero(inside)
            if not len(particle):
                continue
            windows = np.stack([padded[y : y + size, x : x + size] for x, y in pixel[particle].tolist()])
            parts.append(
                CoarseImages(
                    particle,
                    np.full(len(particle), tilt),
                    self.lens.packed(windows),
                    np.broadcast_to(power, (len(particle), len(power))),
                    self.lens.position_of(pixel[particle]),
                    self.lens,
                )
            )
        return CoarseImages.together(parts) if parts else None


def coarse_stack(load: Load, model: StackModel, views: ImageViews[Array], lens: Lens) -> CoarseImages:
    """The images of particles in a stack, each about its middle. Raises InputError for images without noise."""
    assert views.image is not None
    images = np.stack([lens.binned(load(int(number))) for number in model.image[views.image]])
    images /= np.maximum(images.std(axis=(1, 2), dtype=np.float64), 1e-30).astype(np.float32)[:, None, None]
    count, shape, size = len(images), images.shape[1:], lens.disc.size
    plane, spectra = _plane(shape, lens.pixel_size_A), np.asarray(scipy.fft.rfft2(images))
    noise = plane.noise(np.square(np.abs(spectra)).mean(axis=0, dtype=np.float64))
    if noise is None:
        raise InputError(f"{model.file}: its images have no noise in some frequency band")
    (x, y), power = lens.frequency.T, []
    at = np.interp(np.hypot(x, y), plane.rings, noise)
    for row, spectrum in enumerate(spectra):
        mean = [float(column[row, 0]) for column in _columns(views.optics)]
        optics = model.optics[model.optics_group[views.image[row]]]
        spectrum *= (_ctf(optics, mean, plane.x, plane.y) / noise[plane.ring]).astype(np.float32)
        power.append(lens.power(_ctf(optics, mean, x, y), at))
    border = max(0, size - min(shape)) // 2 + 1
    matched = np.asarray(scipy.fft.irfft2(spectra, s=shape))
    padded = np.pad(matched, ((0, 0), (border, border), (border, border)))
    middle = np.array(shape[::-1]) // 2
    left, top = (middle + border - size // 2).tolist()
    windows = padded[:, top : top + size, left : left + size]
    origin = np.broadcast_to(lens.position_of(middle), (count, 2))
    nothing = np.zeros(count, np.int64)
    return CoarseImages(np.arange(count), nothing, lens.packed(windows), np.stack(power), origin, lens)


@dataclass(frozen=True)
class _Plane:
    """Frequencies of images in rfft2 layout: x, y in 1/A, the ring of each, and the frequency of the rings in
    1/A."""

    x: Array
    y: Array
    ring: NDArray[np.int64]
    rings: Array

    def noise(self, power: NDArray[np.floating]) -> Array | None:
        """(rings,) mean power of a pixel, by |F|^2 of an image; the one at 0 is taken from the next. None where a
        ring has none."""
        pixels = len(power) * 2 * (power.shape[1] - 1)
        count = np.bincount(self.ring.ravel())
        means = np.bincount(self.ring.ravel(), power.ravel()) / (count * pixels)
        means[0] = means[1]
        return means if np.all(means > 0) else None


@lru_cache(maxsize=2)
def _plane(shape: tuple[int, int], pixel_size_A: float) -> _Plane:
    y, x = wrapped_indices(shape[0])[:, None] / shape[0], np.arange(shape[1] // 2 + 1) / shape[1]
    shortest = min(shape)
    ring = np.rint(np.hypot(x, y) * shortest).astype(np.int64)
    return _Plane(x / pixel_size_A, y / pixel_size_A, ring, np.arange(ring.max() + 1) / (shortest * pixel_size_A))


def _columns(optics: ImageOptics[Array]) -> tuple[Array, ...]:
    return optics.defocus_um, optics.defocus_delta_um, optics.defocus_angle_deg, optics.phase_shift_pi


def _ctf(model: CTFModel, optics: Sequence[float], x: Array, y: Array) -> Array:
    """CTF at frequencies x, y in 1/A, as `mpop.optics.ctf` has it, without aberrations. optics: defocus and
    difference of main defoci in um, angle in degrees, phase shift in pi."""
    defocus_A, delta_A, angle, phase = optics[0] * 1e4, optics[1] * 1e4, np.deg2rad(optics[2]), np.pi * optics[3]
    wavelength = electron_wavelength_A(model.voltage_kV)
    k2 = np.square(x) + np.square(y)
    astigmatic = (np.square(x) - np.square(y)) * np.cos(2 * angle) + 2 * x * y * np.sin(2 * angle)
    defocus_k2 = defocus_A * k2 + delta_A / 2 * astigmatic
    cs = np.pi / 2 * model.cs_mm * 1e7 * wavelength**3 * np.square(k2)
    return np.sin(np.pi * wavelength * defocus_k2 - cs + phase + np.arcsin(model.amplitude_contrast))
