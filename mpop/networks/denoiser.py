"""Two half-maps -> two denoised half-maps and their denoised mean, by noise2noise.

As M does, a network learns to predict one half-map from the other (Tegunov et al. 2021, after Lehtinen et al.
2018): their noise has nothing in common, so the best prediction is the signal. Spectra are flat beyond 10 A while
it learns and are given their amplitudes back at the end. Each half-map is then denoised alone.

Unlike M's, the network does not paint the result. It says how much of every band of frequency to keep at every
voxel (`mpop.networks.gains`), which is a Wiener filter by place: the gain is the local FSC. The mean of two
half-maps has half the noise, and keeps 2 g / (1 + g).

`shared` is M's way: one network that learned from both half-maps is used on both. Nothing of one half-map is shown
when the other is denoised, but which noise the two have in common by chance is something that the network could
have learned. `independent` networks exclude that: each learns from its own half-map, split into two of independent
noise by adding noise z of its spectrum and taking it away again, x + a z and x - z / a (Pang et al. 2021). Of the
other half-map then only sums over shells enter, as in RELION's weighting by the FSC.

In neither mode does the FSC between denoised half-maps measure resolution: both were cut to the same shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mpop.errors import InputError, StateError
from mpop.maps.fsc import FSCReport
from mpop.networks.cubes import Split, places
from mpop.networks.denoiser_input import BANDS, Subject
from mpop.networks.devices import Arithmetic, arithmetic, devices
from mpop.networks.gains import GainNetwork
from mpop.networks.replicas import Batch
from mpop.networks.rotations import CUBE_ROTATIONS, turn
from mpop.networks.training import Course, Plan, train
from mpop.records.parameters import Parameters
from mpop.run import Progress, Run

Map = NDArray[np.float32]
Weights = Mapping[str, NDArray[np.float32]]
Networks = Literal["shared", "independent"]

STEPS, STEPS_TO_GO_ON = 300, 100
WIDTH = 16
CUBE, LEAST_CUBE = 32, 16
"""Voxels along an edge."""
NAMES: Mapping[Networks, tuple[str, ...]] = {"shared": ("both",), "independent": ("half1", "half2")}


class DenoiseParameters(Parameters):
    """What decides the result, with the seed: the same on every machine. None: what `fitting` fills in.

    steps: of training each network. width: its channels. cube: edge in voxels of the cubes that it learns from,
    batch: how many per step. exact: float32 throughout.
    """

    networks: Networks = "shared"
    steps: int | None = None
    width: int | None = None
    cube: int | None = None
    batch: int = 4
    exact: bool = False


class DenoiseOptions(DenoiseParameters):
    """What can be chosen."""

    seed: int = 0

    @property
    def parameters(self) -> DenoiseParameters:
        """Without the seed, which a job records beside them."""
        return DenoiseParameters(**self.model_dump(include=set(DenoiseParameters.model_fields)))


@dataclass(frozen=True)
class Denoiser:
    """What was learned: the numbers of one network that both half-maps share, or of one for each."""

    networks: tuple[Weights, ...]

    def to_arrays(self) -> dict[str, NDArray[np.float32]]:
        """As a group holds it: `both.stem.weight`, or `half1.stem.weight`, ..."""
        pairs = zip(NAMES[self.kind], self.networks, strict=True)
        return {f"{name}.{key}": values for name, weights in pairs for key, values in weights.items()}

    @classmethod
    def from_arrays(cls, arrays: Weights) -> Denoiser:
        """Inverse of `to_arrays`. Raises StateError for what is no denoiser that this mpop knows."""
        found: dict[str, dict[str, NDArray[np.float32]]] = {}
        for key, values in arrays.items():
            name, _, rest = key.partition(".")
            found.setdefault(name, {})[rest] = np.array(values, dtype=np.float32)
        for names in NAMES.values():
            if set(found) == set(names):
                return cls(tuple(found[name] for name in names))
        raise StateError("the stored denoiser is not one that this mpop reads; update mpop, or train a new one")

    def suits(self, options: DenoiseOptions) -> bool:
        """Whether a training with these options can go on from it."""
        return self.kind == options.networks and options.width in (None, self.width)

    @property
    def kind(self) -> Networks:
        """Whether both half-maps share a network."""
        return "shared" if len(self.networks) == 1 else "independent"

    @property
    def width(self) -> int:
        """Channels of its networks."""
        return len(self.networks[0].get("stem.weight", ()))

    def network(self, number: int, start: Tensor, scale: Tensor) -> GainNetwork:
        """One of the networks. Raises StateError when its numbers do not fit together."""
        weights = {key: torch.from_numpy(np.array(values)) for key, values in self.networks[number].items()}
        try:
            width, bands = weights["stem.weight"].shape[:2]
            if bands != len(start):
                raise StateError(f"the stored denoiser has {bands} bands, this mpop's have {len(start)}")
            network = GainNetwork(bands, width, start, scale)
            network.load_state_dict(weights)
        except (KeyError, ValueError, RuntimeError) as error:
            raise StateError(f"the stored denoiser is not whole ({str(error).splitlines()[0]})") from error
        return network


@dataclass(frozen=True)
class Denoised:
    """Denoised half-maps and their mean (z, y, x) in the units of the input: its solvent level outside the mask.

    denoiser: to go on from next time. continued: whether it went on from an earlier one. courses: of training,
    one per network. report: FSC of the half-maps as they were. limit_A: finest detail that was looked at.
    """

    half1: Map
    half2: Map
    mean: Map
    denoiser: Denoiser
    continued: bool
    courses: tuple[Course, ...]
    report: FSCReport
    limit_A: float


def denoise(
    half1: Map,
    half2: Map,
    mask: Map,
    pixel_size_A: float,
    options: DenoiseOptions | None = None,
    denoiser: Denoiser | None = None,
    run: Run = Run(),
    copies: int | None = None,
) -> Denoised:
    """Denoise two half-maps, cubes (z, y, x) of one box; mask from 0 to 1 around the particle.

    denoiser: from an earlier call, to go on from; one of another kind (`options.networks`), or of another width
    where one is asked for, is not used. copies: of the asymmetric unit, where known. Raises InputError for options
    that do not fit the maps.
    """
    options = options or DenoiseOptions()
    if denoiser is not None and not denoiser.suits(options):
        denoiser = None
    options = fitting(options, len(half1), denoiser is not None)
    subject = Subject.of(half1, half2, mask, pixel_size_A, copies)
    arithmetics = tuple(arithmetic(device, options.exact) for device in devices(run.device))
    trained = [
        _learn(subject, number, options, denoiser, arithmetics, run.progress)
        for number in range(len(NAMES[options.networks]))
    ]
    networks = [network for network, _ in trained]
    first, second, mean = subject.denoised(networks[0], networks[-1], arithmetics[0])
    learned = Denoiser(tuple(_weights(network) for network in networks))
    courses = tuple(course for _, course in trained)
    limit_A = len(half1) * pixel_size_A / float(subject.nodes[-1])
    return Denoised(first, second, mean, learned, denoiser is not None, courses, subject.report, limit_A)


def fitting(options: DenoiseOptions, box: int, continued: bool = False) -> DenoiseOptions:
    """The options with every None filled in. Raises InputError for a number that cannot be."""
    for name in ("steps", "width", "batch"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise InputError(f"{name} {value}: it must be at least 1")
    largest = box // GainNetwork.multiple * GainNetwork.multiple
    if largest < LEAST_CUBE:
        raise InputError(f"a box of {box} voxels is too small to denoise; {LEAST_CUBE} are needed")
    cube = options.cube if options.cube is not None else min(CUBE, largest)
    if cube % GainNetwork.multiple or not LEAST_CUBE <= cube <= largest:
        raise InputError(f"cubes of {cube} voxels: a multiple of 4 from {LEAST_CUBE} to {largest} is needed")
    filled = {
        "steps": options.steps or (STEPS_TO_GO_ON if continued else STEPS),
        "width": options.width or WIDTH,
        "cube": cube,
    }
    return options.model_copy(update=filled)


class _Loss(nn.Module):
    """Mean square of what the network keeps of one map minus another, within the mask.

    Cubes hold, for each pair, the bands of one map and the other, and last the mask. They are turned at random.
    """

    def __init__(self, pairs: int) -> None:
        super().__init__()
        self.pairs = pairs

    def forward(self, apply: Callable[[Tensor], Tensor], batch: Batch) -> Tensor:
        cubes = turn(batch.cubes, CUBE_ROTATIONS[batch.draw.integers(len(CUBE_ROTATIONS))])
        first = int(batch.draw.integers(self.pairs)) * (BANDS + 1)
        bands, target, mask = cubes[:, first : first + BANDS], cubes[:, first + BANDS], cubes[:, -1]
        kept = (apply(bands) * bands).sum(dim=1)
        return (mask * (kept - target).square()).sum() / mask.sum()


def _learn(
    subject: Subject,
    number: int,
    options: DenoiseOptions,
    denoiser: Denoiser | None,
    arithmetics: Sequence[Arithmetic],
    progress: Progress,
) -> tuple[GainNetwork, Course]:
    """A network, trained."""
    assert options.steps and options.width and options.cube
    torch.manual_seed(options.seed + number)
    if denoiser is None:
        network = GainNetwork(BANDS, options.width, subject.start, subject.scale)
    else:
        network = denoiser.network(number, subject.start, subject.scale)
    pairs = subject.pairs() if options.networks == "shared" else subject.splits(number, options.seed)
    mask = subject.mask[subject.part]
    plan = Plan(
        steps=options.steps,
        batch=options.batch,
        micro_batch=options.batch,
        learning_rate=3e-4 if denoiser else 1e-3,
        check_every=max(options.steps // 10, 1),
        seed=options.seed + number,
    )
    cubes = Split(places(mask, options.cube), None)
    parts = [values for bands, target in pairs for values in (bands, target[None])]
    maps = torch.from_numpy(np.concatenate([*parts, mask[None]]))
    name = "train denoiser" if options.networks == "shared" else f"train half-map {number + 1}"
    said = partial(_said, progress, name)
    course = train(network, _Loss(len(pairs)), maps, cubes, plan, arithmetics, progress=said)
    return network, course


def _said(progress: Progress, name: str, _: str, done: int, total: int) -> None:
    progress(name, done, total)


def _weights(network: GainNetwork) -> Weights:
    return {key: values.detach().cpu().numpy().copy() for key, values in network.state_dict().items()}
