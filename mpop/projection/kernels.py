"""Numba kernels: central slices, and scores of particle images with all their gradients.

One particle image is a packed half disc (`HalfDisc`) of premultiplied data P = CTF W X / sigma^2 and of its
power Q = (CTF W)^2 / sigma^2. With the slice R(k) = V(k_x r_0 + k_y r_1) of a reference V, r the two slice
rows in voxels of V, and s the particle's shift in pixels from the image origin,

    AB = sum_k Re( conj(R(k)) P(k) exp(2 pi i k.s / size) ),      A2 = sum_k Q(k) |R(k)|^2.

The score needs AB and A2; a gradient step also needs their derivatives by s and r:

    dAB/ds = -2 pi / size  sum_k k Im( conj(R) P exp(...) )
    dAB/dr_j = sum_k k_j Re( conj(dV/dq) P exp(...) ),  dA2/dr_j = sum_k 2 k_j Q Re( conj(V) dV/dq ).

All come from the eight voxels that the value needs anyway, which is why a gradient costs about two
projections and not one per parameter. Kernels are generic in precision: float32 for work, float64 for checks.
Images run in parallel and independently, so results do not depend on the number of threads.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.int32]

FAST = {"contract", "reassoc", "nsz", "arcp"}
"""LLVM may fuse and reorder sums; NaN and infinity keep their meaning (a NaN image must be seen)."""

N_OUT = 16
"""Per image: AB, A2, dAB/ds (2), dAB/dr (2 x 3), dA2/dr (2 x 3)."""


@njit(parallel=True, fastmath=FAST, cache=True, error_model="numpy")
def project_slices(volume: Floats, rows: Floats, row_y: Ints, row_x: Ints, row_start: Ints, out: Floats) -> None:
    """Slices of a reference. rows: (n, 2, 3) in voxels; out: (n, pixels, 2), overwritten."""
    real = volume.dtype.type
    offset = real((volume.shape[0] - 1) // 2)
    for i in prange(rows.shape[0]):
        r0x, r0y, r0z = real(rows[i, 0, 0]), real(rows[i, 0, 1]), real(rows[i, 0, 2])
        r1x, r1y, r1z = real(rows[i, 1, 0]), real(rows[i, 1, 1]), real(rows[i, 1, 2])
        for j in range(row_y.shape[0]):
            ky = real(row_y[j])
            first = row_start[j]
            for pixel in range(first, row_start[j + 1]):
                kx = real(row_x[j] + pixel - first)
                qx = kx * r0x + ky * r1x
                qy = kx * r0y + ky * r1y
                qz = kx * r0z + ky * r1z
                sign = real(1.0)
                if qx < 0:
                    sign = real(-1.0)
                    qx, qy, qz = -qx, -qy, -qz
                qy += offset
                qz += offset
                x, y, z = int(qx), int(qy), int(qz)
                fx, fy, fz = qx - real(x), qy - real(y), qz - real(z)
                for part in range(2):
                    a = volume[z, y, x, part]
                    b = volume[z, y + 1, x, part]
                    c = volume[z + 1, y, x, part]
                    d = volume[z + 1, y + 1, x, part]
                    a += fx * (volume[z, y, x + 1, part] - a)
                    b += fx * (volume[z, y + 1, x + 1, part] - b)
                    c += fx * (volume[z + 1, y, x + 1, part] - c)
                    d += fx * (volume[z + 1, y + 1, x + 1, part] - d)
                    a += fy * (b - a)
                    c += fy * (d - c)
                    value = a + fz * (c - a)
                    out[i, pixel, part] = value if part == 0 else sign * value


@njit(parallel=True, fastmath=FAST, cache=True, error_model="numpy")
def score_with_gradients(
    volume: Floats,
    data: NDArray[np.complexfloating],
    power: Floats,
    rows: Floats,
    shifts: Floats,
    size: int,
    row_y: Ints,
    row_x: Ints,
    row_start: Ints,
    out: Floats,
) -> None:
    """AB, A2 and their derivatives of n particle images.

    volume: `Reference.values`. data: (n, pixels) complex P. power: (n, pixels) Q. rows: (n, 2, 3) in voxels.
    shifts: (n, 2) in pixels. out: (n, N_OUT) float64, overwritten.
    """
    real = volume.dtype.type
    offset = real((volume.shape[0] - 1) // 2)
    turn = 2.0 * math.pi / size
    for i in prange(rows.shape[0]):
        r0x, r0y, r0z = real(rows[i, 0, 0]), real(rows[i, 0, 1]), real(rows[i, 0, 2])
        r1x, r1y, r1z = real(rows[i, 1, 0]), real(rows[i, 1, 1]), real(rows[i, 1, 2])
        sx, sy = shifts[i, 0] * turn, shifts[i, 1] * turn
        step_re, step_im = real(math.cos(sx)), real(math.sin(sx))
        total = np.zeros(N_OUT)
        for j in range(row_y.shape[0]):
            ky = real(row_y[j])
            first = row_start[j]
            start = sx * row_x[j] + sy * row_y[j]
            w_re, w_im = real(math.cos(start)), real(math.sin(start))
            ab = a2 = sum_im = sum_kim = real(0.0)
            gx = gy = gz = hx = hy = hz = real(0.0)
            kgx = kgy = kgz = khx = khy = khz = real(0.0)
            for pixel in range(first, row_start[j + 1]):
                kx = real(row_x[j] + pixel - first)
                qx = kx * r0x + ky * r1x
                qy = kx * r0y + ky * r1y
                qz = kx * r0z + ky * r1z
                p_re, p_im = data[i, pixel].real, data[i, pixel].imag
                d_re = p_re * w_re - p_im * w_im
                d_im = p_re * w_im + p_im * w_re
                w_re, w_im = w_re * step_re - w_im * step_im, w_re * step_im + w_im * step_re
                # Friedel: V(q) = conj V(-q). With the data conjugated too the same sums hold but for sign.
                sign = real(1.0)
                if qx < 0:
                    sign = real(-1.0)
                    qx, qy, qz, d_im = -qx, -qy, -qz, -d_im
                qy += offset
                qz += offset
                x, y, z = int(qx), int(qy), int(qz)
                fx, fy, fz = qx - real(x), qy - real(y), qz - real(z)

                a, b = volume[z, y, x, 0], volume[z, y + 1, x, 0]
                c, d = volume[z + 1, y, x, 0], volume[z + 1, y + 1, x, 0]
                ax, bx = volume[z, y, x + 1, 0] - a, volume[z, y + 1, x + 1, 0] - b
                cx, dx = volume[z + 1, y, x + 1, 0] - c, volume[z + 1, y + 1, x + 1, 0] - d
                a, b, c, d = a + fx * ax, b + fx * bx, c + fx * cx, d + fx * dx
                ay, cy = b - a, d - c
                ax, cx = ax + fy * (bx - ax), cx + fy * (dx - cx)
                a, c = a + fy * ay, c + fy * cy
                vz_re = c - a
                v_re = a + fz * vz_re
                vy_re = ay + fz * (cy - ay)
                vx_re = ax + fz * (cx - ax)

                a, b = volume[z, y, x, 1], volume[z, y + 1, x, 1]
                c, d = volume[z + 1, y, x, 1], volume[z + 1, y + 1, x, 1]
                ax, bx = volume[z, y, x + 1, 1] - a, volume[z, y + 1, x + 1, 1] - b
                cx, dx = volume[z + 1, y, x + 1, 1] - c, volume[z + 1, y + 1, x + 1, 1] - d
                a, b, c, d = a + fx * ax, b + fx * bx, c + fx * cx, d + fx * dx
                ay, cy = b - a, d - c
                ax, cx = ax + fy * (bx - ax), cx + fy * (dx - cx)
                a, c = a + fy * ay, c + fy * cy
                vz_im = c - a
                v_im = a + fz * vz_im
                vy_im = ay + fz * (cy - ay)
                vx_im = ax + fz * (cx - ax)

                q = power[i, pixel]
                ab += v_re * d_re + v_im * d_im
                im = sign * (v_re * d_im - v_im * d_re)
                sum_im += im
                sum_kim += kx * im
                s_re, s_im = sign * d_re, sign * d_im
                g = vx_re * s_re + vx_im * s_im
                gx += g
                kgx += kx * g
                g = vy_re * s_re + vy_im * s_im
                gy += g
                kgy += kx * g
                g = vz_re * s_re + vz_im * s_im
                gz += g
                kgz += kx * g
                a2 += q * (v_re * v_re + v_im * v_im)
                s_re, s_im = sign * q * v_re, sign * q * v_im
                g = vx_re * s_re + vx_im * s_im
                hx += g
                khx += kx * g
                g = vy_re * s_re + vy_im * s_im
                hy += g
                khy += kx * g
                g = vz_re * s_re + vz_im * s_im
                hz += g
                khz += kx * g
            y_ = float(row_y[j])
            total[0] += ab
            total[1] += a2
            total[2] -= turn * sum_kim
            total[3] -= turn * y_ * sum_im
            total[4] += kgx
            total[5] += kgy
            total[6] += kgz
            total[7] += y_ * gx
            total[8] += y_ * gy
            total[9] += y_ * gz
            total[10] += 2 * khx
            total[11] += 2 * khy
            total[12] += 2 * khz
            total[13] += 2 * y_ * hx
            total[14] += 2 * y_ * hy
            total[15] += 2 * y_ * hz
        out[i] = total
