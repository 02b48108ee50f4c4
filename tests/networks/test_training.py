"""Training: the same result from the same seed, on however many devices, in one go or in two."""

from __future__ import annotations

import errno
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mpop.errors import InputError, RefinementError, StateError
from mpop.networks import training
from mpop.networks.cubes import Split, places, split
from mpop.networks.devices import Arithmetic, arithmetic, devices
from mpop.networks.replicas import Batch, Portion, Replicas
from mpop.networks.training import Course, Plan, train
from mpop.networks.unet import UNet

CPU = Arithmetic(torch.device("cpu"), torch.float32)
PLAN = Plan(steps=6, batch=3, micro_batch=2, check_every=2, seed=5)
MASK = np.ones((40, 24, 24), dtype=np.float32)


class Denoise(nn.Module):
    """One map from the other, with noise of its own so that all chance is seen."""

    def forward(self, apply, batch: Batch) -> Tensor:
        noise = torch.from_numpy(batch.draw.standard_normal(batch.cubes[:, :1].shape, dtype=np.float32))
        return (apply(batch.cubes[:, :1] + 0.1 * noise) - batch.cubes[:, 1:]).abs().mean()


def maps() -> Tensor:
    return torch.from_numpy(np.random.default_rng(3).standard_normal((2, *MASK.shape), dtype=np.float32))


def small_network() -> UNet:
    torch.manual_seed(1)
    return UNet(width=2, depth=1)


def trained(plan: Plan = PLAN, cubes: Split | None = None, **options) -> tuple[dict[str, Tensor], Course]:
    network = small_network()
    cubes = cubes or Split(places(MASK, 16), None)
    course = train(network, Denoise(), maps(), cubes, plan, [CPU], **options)
    return network.state_dict(), course


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    for key, value in one.items():
        assert torch.equal(value, other[key]), key


class StopError(Exception):
    """Stands for Ctrl-C."""


def stop_after(steps: int):
    def listen(task: str, done: int, total: int) -> None:
        if done > steps:
            raise StopError

    return listen


def test_same_seed_same_bits() -> None:
    one, other = trained(), trained()
    assert_same(one[0], other[0])
    assert one[1] == other[1]
    different, _ = trained(Plan(**{**PLAN.__dict__, "seed": 6}))
    assert not torch.equal(one[0]["head.weight"], different["head.weight"])


@pytest.mark.parametrize("stop", [2, 3, 4])
def test_resumed_training_ends_in_the_same_bits(tmp_path: Path, stop: int) -> None:
    cubes = split(MASK, 16, multiple=2)
    whole, course = trained(cubes=cubes)
    file = tmp_path / "new/checkpoint.pt"
    with pytest.raises(StopError):
        trained(cubes=cubes, checkpoint=file, progress=stop_after(stop))
    assert [path.name for path in file.parent.iterdir()] == ["checkpoint.pt"]
    resumed, other_course = trained(cubes=cubes, checkpoint=file, resume=True)
    assert_same(whole, resumed)
    assert course == other_course


def test_a_full_disk_names_the_checkpoint_and_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "new/checkpoint.pt"

    def full(path: Path, content: bytes) -> None:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left") as caught:
        trained(checkpoint=file)
    assert caught.value.filename == str(file)
    assert not any(file.parent.iterdir())


def test_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.pt"
    trained(checkpoint=file)
    with pytest.raises(StateError, match="another training"):
        trained(Plan(**{**PLAN.__dict__, "learning_rate": 1e-4}), checkpoint=file, resume=True)
    file.write_bytes(b"PK not one")
    with pytest.raises(InputError, match="not a checkpoint"):
        trained(checkpoint=file, resume=True)


DEVICES = [*devices("cpu"), *(devices("cuda") if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("device", DEVICES, ids=str)
def test_loss_falls_and_progress_is_told(device: torch.device) -> None:
    told: list[tuple[str, int, int]] = []
    plan = Plan(steps=60, batch=2, micro_batch=2, check_every=10, learning_rate=1e-2)
    network, cubes = small_network(), Split(places(MASK, 16), None)
    course = train(
        network, Denoise(), maps(), cubes, plan, [arithmetic(device)], progress=lambda *step: told.append(step)
    )
    assert course.losses[-1] < 0.95 * course.losses[0]
    assert course.steps == [10, 20, 30, 40, 50, 60]
    assert told[0] == ("train", 0, 60)
    assert told[-1] == ("train", 60, 60)


def test_stops_when_held_out_cubes_get_no_better() -> None:
    """Noise cannot be predicted: what is learnt of it is wrong elsewhere.

    Judgements go up and down with the arithmetic of the machine; at one rise training stops on any of them.
    """
    plan = Plan(steps=400, batch=2, check_every=20, patience=1, learning_rate=3e-2)
    state, course = trained(plan, split(MASK, 16, multiple=2, held_out=0.4))
    assert course.stopped_early
    assert course.steps[-1] < 400
    judged = slice(course.steps.index(120), None)  # from the highest learning rate on
    best = course.steps[judged][int(np.argmin(course.held_out[judged]))]
    assert course.best_step == best == course.steps[-1] - 20
    short, _ = trained(plan, split(MASK, 16, multiple=2, held_out=0.4), progress=lambda *_: None)
    assert_same(state, short)


@pytest.mark.parametrize(
    ("held_out", "best", "last"),
    [
        ([0.53, 0.62, 0.54, 0.55, 0.53, 0.52, 0.53, 0.52, 0.51, 0.50], 20, 20),  # of a phantom's second round
        ([0.40, 0.62, 0.54, 0.55, 0.60, 0.61, 0.62, 0.63, 0.62, 0.61], 6, 16),
    ],
)
def test_judgements_while_the_learning_rate_rises_do_not_count(
    monkeypatch: pytest.MonkeyPatch, held_out: list[float], best: int, last: int
) -> None:
    """A network that was good already gets worse then; to stop by that would keep it as it was."""
    judgements = iter(held_out)
    monkeypatch.setattr(training._Training, "_judge", lambda *_: next(judgements))
    plan = Plan(steps=20, batch=1, micro_batch=1, check_every=2, patience=5)
    _, course = trained(plan, split(MASK, 16, multiple=2, held_out=0.4))
    assert course.best_step == best
    assert course.steps[-1] == last
    assert course.stopped_early == (last < 20)


def test_two_devices_make_the_gradient_of_one() -> None:
    network = small_network().double()
    mask = places(MASK, 16)
    portions = [Portion(mask.centres[[number, -number - 1]], 16, (0, number), 1 / 3) for number in range(3)]
    gradients = []
    for count in (1, 2):
        copy = deepcopy(network)
        replicas = Replicas(copy, Denoise(), maps().double(), [CPU] * count)
        loss = replicas.gradients(portions)
        gradients.append([loss, *(p.grad for p in copy.parameters())])
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(torch.as_tensor(one), torch.as_tensor(two), rtol=1e-12, atol=1e-14)


def test_training_on_two_devices_agrees_with_one() -> None:
    states = []
    for count in (1, 2):
        network = small_network()
        cubes = Split(places(MASK, 16), None)
        plan = Plan(steps=3, batch=4, micro_batch=2)
        train(network, Denoise(), maps(), cubes, plan, [CPU] * count)
        states.append(dict(network.named_parameters()))
    for key, value in states[0].items():
        torch.testing.assert_close(value, states[1][key], rtol=1e-3, atol=1e-5)


def test_infinite_loss_ends_the_training() -> None:
    network = small_network()
    broken = maps()
    broken[:] = np.inf
    with pytest.raises(RefinementError, match="at step 0"):
        train(network, Denoise(), broken, Split(places(MASK, 16), None), PLAN, [CPU])


@pytest.mark.parametrize(
    "numbers", [{"steps": 0}, {"batch": 0}, {"micro_batch": -1}, {"learning_rate": 0.0}, {"seed": -1}]
)
def test_impossible_plans_are_refused(numbers: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(numbers)).replace("_", "-")):
        Plan(**numbers)


def test_micro_batches_hold_every_cube_of_a_batch() -> None:
    """Whatever the numbers: none is empty, and their weights sum to one."""
    seen: list[int] = []

    class Count(Denoise):
        def forward(self, apply, batch: Batch) -> Tensor:
            seen.append(len(batch.cubes))
            return super().forward(apply, batch)

    plan = Plan(steps=1, batch=5, micro_batch=3)
    train(small_network(), Count(), maps(), Split(places(MASK, 16), None), plan, [CPU])
    assert seen == [3, 2]
