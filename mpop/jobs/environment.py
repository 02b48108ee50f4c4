"""What a job record says about the run: software, device, memory."""

from __future__ import annotations

import platform
import resource
import sys
from importlib.metadata import version

from mpop.errors import InputError

RECORDED = ("mpop", "numpy", "scipy", "numba", "torch", "zarr", "pygit2")


def software_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide results."""
    return {"python": platform.python_version(), **{name: version(name) for name in RECORDED}}


def peak_GiB() -> float:
    """Largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 2**30


def choose_device(wanted: str) -> str:
    """The device of a `Run` for `auto`, `cpu`, `cuda` or `cuda:N`. Raises InputError for one that is not here."""
    import torch

    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if wanted == "auto":
        return "cuda"
    name, _, number = wanted.partition(":")
    if name != "cuda" or (number and not number.isdigit()):
        raise InputError(f"--device {wanted}: use auto, cpu, cuda or cuda:N")
    index = int(number or 0)
    if index >= torch.cuda.device_count():
        raise InputError(f"--device {wanted}: torch sees {torch.cuda.device_count()} CUDA devices here")
    return f"cuda:{index}" if number else "cuda"
