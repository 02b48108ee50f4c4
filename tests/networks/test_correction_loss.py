"""The loss of corrections: each of its terms, by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from mpop.networks.correction_loss import CorrectionLoss
from mpop.networks.replicas import Batch
from mpop.networks.rotations import CUBE_ROTATIONS, turn

EDGE = 16
FILTER = np.full((EDGE, EDGE, EDGE // 2 + 1), 0.5, dtype=np.float32)
X, RX, Y, FIRST = 0, 1, 2, 3


def cubes(number: int, maps: int) -> torch.Tensor:
    return torch.from_numpy(
        np.random.default_rng(2).standard_normal((number, maps, EDGE, EDGE, EDGE), dtype=np.float32)
    )


def batch(values: torch.Tensor, seed: int = 0) -> Batch:
    return Batch(values, np.random.default_rng(seed))


def test_consistency_is_against_the_half_map_through_the_filter() -> None:
    values = cubes(4, FIRST + 1)
    loss = CorrectionLoss({EDGE: FILTER}, CUBE_ROTATIONS[:1], alpha=0.0)
    found = loss(lambda given: 3 * given, batch(values))
    assert found.item() == pytest.approx((1.5 * values[:, RX] - values[:, X]).abs().mean().item(), rel=1e-5)


@pytest.mark.parametrize("rotation", [0, 7, 23])
def test_equivariance_turns_example_and_density_alike(rotation: int) -> None:
    """A network that knows which way is up sees the turned example, and is judged by the turned density."""
    values = cubes(3, FIRST + 1)
    ramp = torch.arange(EDGE, dtype=torch.float32)[:, None, None]
    loss = CorrectionLoss({EDGE: FILTER}, [CUBE_ROTATIONS[rotation]], alpha=1e9)
    found = loss(lambda given: given + ramp, batch(values))
    expected = (
        turn(values[:, FIRST], CUBE_ROTATIONS[rotation]) + ramp - turn(values[:, Y], CUBE_ROTATIONS[rotation])
    )
    assert found.item() == pytest.approx(expected.abs().mean().item(), rel=1e-5)


def test_a_perfect_network_has_no_equivariance_loss_at_any_angle() -> None:
    values = cubes(2, FIRST + 2)
    values[:, FIRST:] = values[:, Y : Y + 1] - 1
    matrices = list(Rotation.random(2, rng=np.random.default_rng(1)).as_matrix())
    loss = CorrectionLoss({EDGE: FILTER}, matrices, alpha=1e9)
    assert loss(lambda given: given + 1, batch(values)).item() < 1e-5
    assert loss(lambda given: given, batch(values)).item() == pytest.approx(1, rel=1e-4)


def test_joint_training_adds_the_other_half_map() -> None:
    """Half 2 is half 1 moved by 4 in every map: each term against the other half is off by 4."""
    one = cubes(4, FIRST + 1)
    one[:, FIRST] = one[:, Y]
    joint = torch.cat([one, one + 4], dim=1)
    loss = CorrectionLoss({EDGE: FILTER}, CUBE_ROTATIONS[:1], halves=2, alpha=1e9, beta=0.5)
    assert loss(lambda given: given, batch(joint)).item() == pytest.approx(0.5 * 4, rel=1e-5)


def test_the_part_of_cubes_for_each_term() -> None:
    """Consistency costs 1 here, equivariance nothing."""
    values = torch.zeros(400, FIRST + 1, EDGE, EDGE, EDGE)[:, :, :16]
    values[:, X] = 1
    loss = CorrectionLoss({EDGE: FILTER}, CUBE_ROTATIONS[:1], alpha=3.0)
    found = loss(lambda given: torch.zeros_like(given), batch(values)).item()
    assert found == pytest.approx(1 / 4, abs=0.07)


def test_trainings_are_told_apart() -> None:
    shown = {
        repr(CorrectionLoss({EDGE: FILTER}, CUBE_ROTATIONS[:number], alpha=alpha))
        for number in (1, 2)
        for alpha in (1.0, 3.0)
    }
    assert len(shown) == 4
