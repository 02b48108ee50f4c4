"""The loss of the paper that trainings are compared by: its terms by hand, its gradients by finite differences."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch

from benchmarks.peers.steps.paper_loss import FourTermLoss, Rotations, filtered
from mpop.networks.replicas import Batch

EDGE = 6


def cone(edge: int = EDGE) -> np.ndarray:
    kz, ky = np.meshgrid(np.fft.fftfreq(edge), np.fft.fftfreq(edge), indexing="ij")
    return (np.abs(kz)[..., None] <= np.hypot(ky[..., None], np.fft.rfftfreq(edge))).astype(np.float64)


def batch(maps: int, edge: int = EDGE, seed: int = 0) -> Batch:
    cubes = np.random.default_rng(1).standard_normal((2, maps, edge, edge, edge))
    return Batch(torch.from_numpy(cubes), np.random.default_rng(seed))


def twice(cubes: torch.Tensor) -> torch.Tensor:
    return 2 * cubes


def test_filter_acts_as_on_a_whole_spectrum() -> None:
    cubes = batch(1).cubes
    spectrum = np.fft.rfftn(cubes.numpy(), axes=(2, 3, 4)) * cone()
    expected = np.fft.irfftn(spectrum, s=(EDGE,) * 3, axes=(2, 3, 4))
    np.testing.assert_allclose(filtered(cubes, torch.from_numpy(cone())).numpy(), expected, atol=1e-12)


def test_terms_by_hand() -> None:
    """Of a filter that does nothing and f(x) = 2 x: |x0| and |2 x0|; against x1 |2 x0 - x1| and |4 x0 - 2 x1|."""
    ones = {EDGE: np.ones((EDGE, EDGE, EDGE // 2 + 1))}
    given = batch(2)
    values = []
    for x0, x1 in (given.cubes.split(1, dim=1), given.cubes.flip(1).split(1, dim=1)):
        own = x0.abs().mean() + 3 * (2 * x0).abs().mean()
        other = (2 * x0 - x1).abs().mean() + 3 * (4 * x0 - 2 * x1).abs().mean()
        values.append(float(own + 0.5 * other))
    loss = FourTermLoss(ones, alpha=3.0)
    found = {round(float(loss(twice, batch(2, seed=seed))), 9) for seed in range(6)}
    assert found == {round(value, 9) for value in values}, "both half-maps take both parts"


def test_one_half_map_has_two_terms() -> None:
    given = batch(1)
    A = torch.from_numpy(cone())
    consistency = (filtered(given.cubes, A) - given.cubes).abs().mean()
    loss = FourTermLoss({EDGE: cone()}, alpha=0.0)
    assert float(loss(lambda cubes: cubes, given)) == pytest.approx(float(consistency))


def test_nothing_is_lost_when_nothing_is_missing() -> None:
    """A perfect network on perfect data."""
    ones = {8: np.ones((8, 8, 5))}
    for rotations in get_args(Rotations):
        assert float(FourTermLoss(ones, rotations=rotations)(lambda cubes: cubes, batch(1, 8))) < 1e-12


@pytest.mark.parametrize("rotations", get_args(Rotations))
def test_gradients_are_those_with_targets_held_fixed(rotations: Rotations) -> None:
    """f(x) = x + a x^2 with an a of its own for f(x0), f(x1) and f(A T f(x0)), against finite differences."""
    edge, step = 8, 1e-6
    start = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)

    def value(a: torch.Tensor, alpha: float) -> torch.Tensor:
        numbers = iter(a)

        def apply(cubes: torch.Tensor) -> torch.Tensor:
            return cubes + next(numbers) * cubes**2

        return FourTermLoss({edge: cone(edge)}, alpha=alpha, rotations=rotations)(apply, batch(2, edge))

    def slope(call: int, alpha: float) -> float:
        change = torch.zeros_like(start)
        change[call] = step
        return float(value(start + change, alpha) - value(start - change, alpha)) / (2 * step)

    a = start.clone().requires_grad_()
    value(a, 2.0).backward()
    assert a.grad is not None
    expected = [slope(0, 0.0), 0.0, slope(2, 2.0)]  # of f(x0) the terms of consistency, of a target nothing
    np.testing.assert_allclose(a.grad.numpy(), expected, rtol=1e-4)
    assert abs(slope(1, 2.0)) > 1e-3


def test_gradients_flow_through_targets_where_the_peer_lets_them() -> None:
    a = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64, requires_grad=True)
    edge = 8

    def value(numbers: torch.Tensor) -> torch.Tensor:
        numbers = iter(numbers)
        loss = FourTermLoss({edge: cone(edge)}, through_targets=True)
        return loss(lambda cubes: cubes + next(numbers) * cubes**2, batch(2, edge))

    assert torch.autograd.gradcheck(value, (a,), eps=1e-7, rtol=1e-3, atol=1e-3)
