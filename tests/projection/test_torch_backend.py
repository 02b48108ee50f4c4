"""The torch twin and the numba kernels, written independently, agree; the dispatcher chooses and guards."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scores import columns

from mpop.projection import score, torch_backend
from mpop.projection.disc import HalfDisc
from mpop.projection.reference import Reference, prepare_reference

BOX = 48
COUNT = 30


class Arguments(NamedTuple):
    reference: Reference
    disc: HalfDisc
    data: NDArray[np.complexfloating]
    power: NDArray[np.floating]
    rows: NDArray[np.float64]
    shifts: NDArray[np.float64]


@pytest.fixture
def arguments(blobs: Callable, random_rows: Callable) -> Callable[[type], Arguments]:
    """Makes images, magnified by 1.05, in a precision."""

    def make(dtype: type) -> Arguments:
        rng = np.random.default_rng(8)
        reference = prepare_reference(blobs(BOX, BOX / 4).density(), 2.0, 2.0 * BOX / 14, dtype)
        disc = HalfDisc.make(36, 14 / 1.05, 1.5)
        data = rng.normal(size=(COUNT, len(disc), 2)).astype(dtype)
        return Arguments(
            reference,
            disc,
            data.view(np.result_type(dtype, np.complex64))[..., 0],
            rng.uniform(0.5, 1.5, (COUNT, len(disc))).astype(dtype),
            1.05 * random_rows(COUNT),
            rng.normal(0, 3, (COUNT, 2)),
        )

    return make


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-4)])
def test_twins_agree(arguments: Callable[[type], Arguments], dtype: type, tolerance: float) -> None:
    args = arguments(dtype)
    kernel, twin = (columns(one.score_with_gradients(*args)) for one in (score, torch_backend))
    assert twin.dtype == np.float64
    assert twin.shape == (COUNT, 16)
    assert (np.abs(kernel - twin).max(axis=0) < tolerance * np.abs(twin).max(axis=0)).all()
    at = args.reference, args.disc, args.rows
    slices, twins = score.project_slices(*at), torch_backend.project_slices(*at)
    assert slices.dtype == twins.dtype == args.data.dtype
    assert np.abs(slices - twins).max() < tolerance * np.abs(twins).max()


def test_batches_change_nothing(arguments: Callable[[type], Arguments], monkeypatch: pytest.MonkeyPatch) -> None:
    args = arguments(np.float64)
    whole = columns(torch_backend.score_with_gradients(*args))
    slices = torch_backend.project_slices(args.reference, args.disc, args.rows)
    monkeypatch.setattr(torch_backend, "BATCH_COMPONENTS", 7 * len(args.disc))
    np.testing.assert_allclose(columns(torch_backend.score_with_gradients(*args)), whole, rtol=1e-12)
    in_batches = torch_backend.project_slices(args.reference, args.disc, args.rows)
    np.testing.assert_allclose(in_batches, slices, rtol=1e-12)


def test_tensors_do_as_well_as_arrays_and_no_grad_does_not_matter(
    arguments: Callable[[type], Arguments],
) -> None:
    args = arguments(np.float32)
    tensors = [torch.as_tensor(array) for array in args[2:]]
    with torch.no_grad():
        found = columns(torch_backend.score_with_gradients(args.reference, args.disc, *tensors))
    np.testing.assert_array_equal(found, columns(torch_backend.score_with_gradients(*args)))


def test_no_images_give_no_scores(arguments: Callable[[type], Arguments]) -> None:
    args = arguments(np.float32)
    none = Arguments(args.reference, args.disc, *(array[:0] for array in args[2:]))
    for one in (score, torch_backend):
        found = one.score_with_gradients(*none)
        assert found.ab.shape == (0,)
        assert found.ab_by["rows"].shape == (0, 2, 3)
    assert score.project_slices(args.reference, args.disc, none.rows).shape == (0, len(args.disc))


def test_nan_shows_in_its_own_image_and_no_other(arguments: Callable[[type], Arguments]) -> None:
    args = arguments(np.float32)
    expected = torch_backend.score_with_gradients(*args)
    args.data[3, 17] = np.nan
    found = torch_backend.score_with_gradients(*args)
    assert np.isnan([found.ab[3], *found.ab_by["shift"][3]]).all()
    others = np.delete(np.arange(COUNT), 3)
    np.testing.assert_allclose(columns(found)[others], columns(expected)[others], rtol=1e-6)


def test_any_device_but_the_cpu_is_torchs(arguments: Callable[[type], Arguments]) -> None:
    args = arguments(np.float64)
    np.testing.assert_array_equal(
        columns(score.score_with_gradients(*args, device="cpu:0")),
        columns(torch_backend.score_with_gradients(*args)),
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_kernels(arguments: Callable[[type], Arguments]) -> None:
    args = arguments(np.float32)
    kernel, cuda = (columns(score.score_with_gradients(*args, device=device)) for device in ("cpu", "cuda"))
    assert (np.abs(kernel - cuda).max(axis=0) < 1e-4 * np.abs(kernel).max(axis=0)).all()


@pytest.mark.parametrize("stretch", [1.08, np.nan])
def test_slices_that_leave_the_reference_are_refused(
    arguments: Callable[[type], Arguments], stretch: float
) -> None:
    args = arguments(np.float32)
    rows = args.rows.copy()
    rows[4] *= stretch
    with pytest.raises(ValueError, match="the reference reaches to 14"):
        score.score_with_gradients(args.reference, args.disc, args.data, args.power, rows, args.shifts)
    with pytest.raises(ValueError, match="the reference reaches to 14"):
        score.project_slices(args.reference, args.disc, rows)


def test_rows_that_are_not_orthogonal_are_guarded_too(arguments: Callable[[type], Arguments]) -> None:
    """(1, 0.9, 0) and (0.9, 1, 0): neither is longer than 1.35, but k along their sum is stretched 1.9 times."""
    args = arguments(np.float32)
    disc = HalfDisc.make(36, 9.0)
    sheared = np.array([[[1.0, 0.9, 0.0], [0.9, 1.0, 0.0]]])
    with pytest.raises(ValueError, match=r"17\.10 voxels"):
        score.project_slices(args.reference, disc, sheared)
