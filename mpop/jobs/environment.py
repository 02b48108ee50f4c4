"""What a job record says about the run: software, device, memory."""

from __future__ import annotations

import platform
import resource
import sys
from importlib.metadata import version

import psutil

from mpop.errors import InputError

RECORDED = ("mpop", "numpy", "scipy", "numba", "torch", "zarr", "pygit2")


def software_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide results."""
    return {"python": platform.python_version(), **{name: version(name) for name in RECORDED}}


def peak_GiB() -> float:
    """Largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 2**30


def use_threads(threads: int | None) -> int:
    """Set the number of threads of all kernels (None: all cores that this process may use)."""
    import numba
    import torch

    available = len(psutil.Process().cpu_affinity() or []) if hasattr(psutil.Process, "cpu_affinity") else 0
    available = available or psutil.cpu_count() or 1
    wanted = available if threads is None else threads
    if wanted < 1:
        raise InputError(f"--threads {wanted}: at least one thread is needed")
    numba.set_num_threads(min(wanted, available))
    torch.set_num_threads(wanted)
    return wanted


def choose_device(wanted: str) -> str:
    """The torch device for `auto`, `cpu`, `cuda` or `cuda:N`."""
    import torch

    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if wanted == "auto":
        return "cuda:0"
    name, _, number = wanted.partition(":")
    if name != "cuda" or (number and not number.isdigit()):
        raise InputError(f"--device {wanted}: use auto, cpu, cuda or cuda:N")
    index = int(number or 0)
    if index >= torch.cuda.device_count():
        raise InputError(f"--device {wanted}: torch sees {torch.cuda.device_count()} CUDA devices here")
    return f"cuda:{index}"
