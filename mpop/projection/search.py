"""The best of many orientations and shifts of particle images: the score of `kernels`, without gradients.

For each image and each turn of it one slice is taken. Shifts cost little more: with Z = conj(R) P,

    AB(s_x, s_y) = Re sum over k_y  exp(2 pi i k_y s_y / size)  sum over k_x  exp(2 pi i k_x s_x / size) Z,

a table of a few s_x per row of the disc, and a few s_y for each of them. Images run in parallel and independently.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from mpop.projection.disc import HalfDisc
from mpop.projection.kernels import FAST
from mpop.projection.reference import Reference
from mpop.projection.score import check_reach


def best_poses(
    reference: Reference,
    disc: HalfDisc,
    data: NDArray[np.complexfloating],
    power: NDArray[np.floating],
    orientations: NDArray[np.float64],
    shifts: NDArray[np.float64],
    turns: NDArray[np.float64],
    offsets: NDArray[np.float64],
    amplitude: float,
    expected: NDArray[np.float64],
    expected_shifts: NDArray[np.float64],
    sigmas: tuple[float, float],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The pose of each image with the largest a AB - a^2 A2 / 2 - prior.

    data, power: (n, pixels) P and Q. orientations: (n, 3, 3) rotations times voxels of the reference per Fourier
    pixel; turns: (t, 3, 3) small turns of the image, each tried on every one as turn @ orientation. shifts: (n, 2)
    in pixels; offsets: (s,) in pixels, tried on x and on y. The prior is a Gaussian around expected (n, 3, 3)
    rotations and expected_shifts (n, 2), sigmas in rad and pixels per axis. Returns the scores (n,), and of the
    best the numbers of turn, x offset and y offset (n, 3). Raises ValueError when a slice leaves the reference.
    """
    check_reach(reference, disc, orientations[:, :2])
    scores, chosen = np.empty(len(data)), np.zeros((len(data), 3), np.int64)
    voxels = np.linalg.norm(orientations[:, 0], axis=1)[:, None, None]
    away = orientations / voxels @ expected.swapaxes(1, 2)
    _best_poses(
        reference.values,
        data,
        power,
        orientations,
        shifts,
        turns,
        offsets,
        amplitude,
        away,
        shifts - expected_shifts,
        *sigmas,
        disc.size,
        disc.row_y,
        disc.row_x,
        disc.row_start,
        scores,
        chosen,
    )
    return scores, chosen


@njit(cache=True, error_model="numpy")
def _phases(out, turn, shift, offsets):
    """out: (s, k, 2) exp(i turn k (shift + offset)) for k from 0."""
    for s in range(out.shape[0]):
        angle = turn * (shift + offsets[s])
        for k in range(out.shape[1]):
            out[s, k, 0] = math.cos(angle * k)
            out[s, k, 1] = math.sin(angle * k)


@njit(fastmath=FAST, cache=True, error_model="numpy")
def _product_row(volume, data, power, row, q0, step, z_re, z_im):
    """Z of one row of the disc into z_re, z_im; returns its part of A2. q0: place of k_x = 0, step: of one k_x."""
    real = volume.dtype.type
    offset = real((volume.shape[0] - 1) // 2)
    first_x, start, stop = row
    a2 = real(0.0)
    for pixel in range(start, stop):
        kx = real(first_x + pixel - start)
        qx = q0[0] + kx * step[0]
        qy = q0[1] + kx * step[1]
        qz = q0[2] + kx * step[2]
        sign = real(1.0)
        if qx < 0:
            sign = real(-1.0)
            qx, qy, qz = -qx, -qy, -qz
        qy += offset
        qz += offset
        x, y, z = int(qx), int(qy), int(qz)
        fx, fy, fz = qx - real(x), qy - real(y), qz - real(z)
        a = volume[z, y, x, 0] + fx * (volume[z, y, x + 1, 0] - volume[z, y, x, 0])
        b = volume[z, y + 1, x, 0] + fx * (volume[z, y + 1, x + 1, 0] - volume[z, y + 1, x, 0])
        c = volume[z + 1, y, x, 0] + fx * (volume[z + 1, y, x + 1, 0] - volume[z + 1, y, x, 0])
        d = volume[z + 1, y + 1, x, 0] + fx * (volume[z + 1, y + 1, x + 1, 0] - volume[z + 1, y + 1, x, 0])
        a += fy * (b - a)
        c += fy * (d - c)
        v_re = a + fz * (c - a)
        a = volume[z, y, x, 1] + fx * (volume[z, y, x + 1, 1] - volume[z, y, x, 1])
        b = volume[z, y + 1, x, 1] + fx * (volume[z, y + 1, x + 1, 1] - volume[z, y + 1, x, 1])
        c = volume[z + 1, y, x, 1] + fx * (volume[z + 1, y, x + 1, 1] - volume[z + 1, y, x, 1])
        d = volume[z + 1, y + 1, x, 1] + fx * (volume[z + 1, y + 1, x + 1, 1] - volume[z + 1, y + 1, x, 1])
        a += fy * (b - a)
        c += fy * (d - c)
        v_im = sign * (a + fz * (c - a))
        p_re, p_im = data[pixel].real, data[pixel].imag
        k = pixel - start
        z_re[k] = v_re * p_re + v_im * p_im
        z_im[k] = v_re * p_im - v_im * p_re
        a2 += power[pixel] * (v_re * v_re + v_im * v_im)
    return a2


@njit(parallel=True, fastmath=FAST, cache=True, error_model="numpy")
def _best_poses(
    volume,
    data,
    power,
    orientations,
    shifts,
    turns,
    offsets,
    amplitude,
    away,
    shifted,
    sigma_rad,
    sigma_px,
    size,
    row_y,
    row_x,
    row_start,
    scores,
    chosen,
):
    """The loop of `best_poses`; fills scores and chosen. away: (n, 3, 3) how far each orientation is turned from
    where it is expected; shifted: (n, 2) likewise."""
    real = volume.dtype.type
    longest = 0
    for j in range(row_y.shape[0]):
        longest = max(longest, row_x[j] + row_start[j + 1] - row_start[j])
    count = offsets.shape[0]
    unit = 2.0 * math.pi / size
    for i in prange(orientations.shape[0]):
        along_x = np.empty((count, longest, 2), volume.dtype)
        along_y = np.empty((count, longest + 1, 2), volume.dtype)
        _phases(along_x, unit, shifts[i, 0], offsets)
        _phases(along_y, unit, shifts[i, 1], offsets)
        z_re, z_im = np.empty(longest, volume.dtype), np.empty(longest, volume.dtype)
        scores[i] = -np.inf
        for t in range(turns.shape[0]):
            rows = np.empty((2, 3), volume.dtype)
            for j in range(2):
                for k in range(3):
                    rows[j, k] = real(
                        turns[t, j, 0] * orientations[i, 0, k]
                        + turns[t, j, 1] * orientations[i, 1, k]
                        + turns[t, j, 2] * orientations[i, 2, k]
                    )
            trace = 0.0
            for j in range(3):
                for k in range(3):
                    trace += turns[t, j, k] * away[i, k, j]
            angle = math.acos(min(max((trace - 1) / 2, -1.0), 1.0)) / sigma_rad
            ab = np.zeros((count, count))
            a2 = 0.0
            for j in range(row_y.shape[0]):
                ky, first = row_y[j], row_x[j]
                length = row_start[j + 1] - row_start[j]
                y = real(ky)
                a2 += _product_row(
                    volume,
                    data[i],
                    power[i],
                    (first, row_start[j], row_start[j + 1]),
                    (y * rows[1, 0], y * rows[1, 1], y * rows[1, 2]),
                    (rows[0, 0], rows[0, 1], rows[0, 2]),
                    z_re,
                    z_im,
                )
                for sx in range(count):
                    c_re, c_im = real(0.0), real(0.0)
                    for k in range(length):
                        e_re, e_im = along_x[sx, first + k, 0], along_x[sx, first + k, 1]
                        c_re += z_re[k] * e_re - z_im[k] * e_im
                        c_im += z_re[k] * e_im + z_im[k] * e_re
                    for sy in range(count):
                        e_re, e_im = along_y[sy, abs(ky), 0], along_y[sy, abs(ky), 1]
                        if ky < 0:
                            e_im = -e_im
                        ab[sx, sy] += c_re * e_re - c_im * e_im
            for sx in range(count):
                for sy in range(count):
                    x, y_ = (shifted[i, 0] + offsets[sx]) / sigma_px, (shifted[i, 1] + offsets[sy]) / sigma_px
                    score = amplitude * ab[sx, sy] - amplitude**2 * a2 / 2
                    score -= (angle * angle + x * x + y_ * y_) / 2
                    if score > scores[i]:
                        scores[i] = score
                        chosen[i, 0], chosen[i, 1], chosen[i, 2] = t, sx, sy
