"""Out of memory is one line with what was needed, whichever library ran into it."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mpop.cli.memory import out_of_memory
from mpop.errors import InputError
from mpop.formats.images import write_map

TOO_MUCH = 2**50  # bytes; no machine can address them
CODE = "import sys; from mpop.cli.main import main; sys.argv[0] = 'mpop'; main()"


def _raised(call: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as caught:  # of any library
        call()
    return caught.value


def _read_as_bad_input() -> None:
    try:
        np.empty(TOO_MUCH // 8)
    except Exception as error:
        raise InputError("one.tif: not a readable TIFF file") from error


@pytest.mark.parametrize(
    "call",
    [
        lambda: np.empty(TOO_MUCH // 8),
        lambda: torch.empty(TOO_MUCH // 4),
        _read_as_bad_input,
    ],
    ids=["numpy", "torch", "taken for bad input"],
)
def test_what_was_needed_is_said(call: Callable[[], object]) -> None:
    line = out_of_memory(_raised(call))
    assert line is not None
    assert line.startswith("out of memory: 1.05e+06 GiB more were needed at once; this process had ")
    assert line.endswith("give it more, or use fewer --threads")


def test_a_full_gpu_leads_to_the_cpu() -> None:
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has 11.9 GiB free.")
    assert out_of_memory(error) == (
        "out of memory on the GPU: 20 GiB more were needed at once; run it with --device cpu, or on a GPU with "
        "more memory"
    )


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("can't start new thread"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    ],
)
def test_a_want_of_memory_without_a_number(error: Exception) -> None:
    assert str(out_of_memory(error)).startswith("out of memory; this process had ")


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "no such file"), ValueError("Unable"), InputError("a")])
def test_other_errors_are_not_taken_for_it(error: Exception) -> None:
    assert out_of_memory(error) is None


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS does not heed RLIMIT_AS")
def test_a_command_under_a_limit_ends_with_one_line(tmp_path: Path) -> None:
    """Whose maps fit, and the work on them does not."""
    noise = np.random.default_rng(0).standard_normal((160, 160, 160), dtype=np.float32)
    for name in ("half1.mrc", "half2.mrc"):
        write_map(tmp_path / name, noise, 2.0)
        noise = noise[::-1]
    code = (
        "import sys, resource, psutil, mpop.jobs.maps.fsc; now = psutil.Process().memory_info().vms; "
        f"resource.setrlimit(resource.RLIMIT_AS, (now + {60 * 2**20}, resource.RLIM_INFINITY)); {CODE}"
    )
    command = [sys.executable, "-c", code, "fsc", "half1.mrc", "half2.mrc"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("mpop: error: out of memory")
    assert "(ulimit -v)" in done.stderr and done.stderr.count("\n") == 1
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
