"""One thread means one, and as many as were asked for mean no more, in all that computes."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numba
import numpy as np
import pytest
import scipy.fft
import threadpoolctl
import torch

from mpop.maps.filters import inverse, transform
from mpop.run import Run
from mpop_store.threads import allowed, available
from tests.conftest import ROOT, TinyWorld
from tests.support.commands import mpop

SOURCES = sorted(path for folder in ("mpop", "store", "hooks") for path in (ROOT / folder).rglob("*.py"))
ELSEWHERE = 0.05
"""Of the processor's time, at most so much may pass in other threads: some look after others and wait."""


@contextmanager
def in_one_thread() -> Iterator[None]:
    """Fails when what runs within computes in other threads, those that have ended among them."""
    whole, here = time.process_time(), time.thread_time()
    yield
    whole, here = time.process_time() - whole, time.thread_time() - here
    assert whole - here <= 0.02 + ELSEWHERE * whole, f"{whole - here:.2f} s of {whole:.2f} s in other threads"


def counts() -> dict[str, int]:
    """How many threads each library would use now."""
    own = {
        "mpop": allowed(),
        "scipy.fft": scipy.fft.get_workers(),
        "numba": numba.get_num_threads(),
        "torch": torch.get_num_threads(),
    }
    return own | {pool["filepath"]: pool["num_threads"] for pool in threadpoolctl.threadpool_info()}


@pytest.mark.parametrize("threads", [1, 2])
def test_limits_hold_for_every_library_and_end(threads: int) -> None:
    if available() < threads:
        pytest.skip("one core")
    before = counts()
    with Run(threads=threads).limits():
        assert set(counts().values()) == {threads}
        with Run(threads=1).limits():
            assert set(counts().values()) == {1}
        assert set(counts().values()) == {threads}
    assert counts() == before


def test_limits_hold_when_work_fails() -> None:
    before = counts()
    with pytest.raises(ZeroDivisionError), Run(threads=1).limits():
        raise ZeroDivisionError
    assert counts() == before


def test_pools_of_other_threads_are_limited_too() -> None:
    with Run(threads=1).limits(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(allowed).result() == 1


def test_threads_change_no_transform() -> None:
    volume = np.random.default_rng(0).standard_normal((96, 96, 96), np.float32)
    with Run(threads=1).limits():
        alone = transform(volume)
        back = inverse(alone, 96)
    with Run(threads=2).limits():
        np.testing.assert_array_equal(transform(volume), alone)
        np.testing.assert_array_equal(inverse(alone, 96), back)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_takes_all_cores_of_its_own_accord(path: Path) -> None:
    assert not re.search(r"workers=-1|cpu_count\(|set_num_threads\(", path.read_text()) or path.name in (
        "threads.py",
        "run.py",
    )


def test_the_measure_sees_other_threads() -> None:
    def work() -> None:
        end = time.thread_time() + 0.2
        while time.thread_time() < end:
            pass

    other = threading.Thread(target=work)
    with pytest.raises(AssertionError, match="in other threads"), in_one_thread():
        other.start()
        other.join()


def test_one_thread_on_maps(shared_tiny_world: TinyWorld, tmp_path: Path) -> None:
    species = shared_tiny_world.data / "species"
    half1, half2, mask = (str(species / f"ferritin-like_{kind}.mrc") for kind in ("half1", "half2", "mask"))
    for command in (
        ["fsc"],
        ["fsc3d", "--no-report"],
        ["local-resolution"],
        ["denoise", "--steps", "3"],
        ["correct", "--steps", "4", "--no-hold-out"],
    ):
        name, *options = command
        with in_one_thread():
            mpop("--threads", "1", name, half1, half2, "--mask", mask, *options, "--out", str(tmp_path / name))


def test_one_thread_on_a_population(tiny_world: TinyWorld, tmp_path: Path) -> None:
    where = ("-C", str(tiny_world.folder / "population"), "--threads", "1")
    for command in (
        ["refine", "--iterations", "1"],
        ["reconstruct"],
        ["orientations", "ferritin-like"],
        ["collisions"],
        ["verify"],
        ["reproduce"],
    ):
        with in_one_thread():
            mpop(*where, *command)


def test_one_thread_in_simulation(tmp_path: Path) -> None:
    for kind, *options in (
        (
            "tilt-series",
            "--series",
            "1",
            "--tilts",
            "3",
            "--particles",
            "4",
            "--image-size",
            "256",
            "--angpix",
            "5",
        ),
        ("stack", "--particles", "40", "--box", "32", "--angpix", "6"),
    ):
        with in_one_thread():
            mpop("--threads", "1", "simulate", kind, str(tmp_path / kind), *options)
