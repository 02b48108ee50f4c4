"""Train spIsoNet's own network with spIsoNet's own loop, for `benchmarks.peers.training`, on a processor.

    python spisonet_training.py CHECKOUT CUBES WIDTH EPOCHS HALVES

Run by a Python with what spIsoNet needs. CUBES holds filter.npy and, for each half-map, a folder half1, half2 of
cubes as MRC files. spIsoNet runs on NVIDIA devices only; here, in this process and for its time, what it asks of
CUDA answers for one device that is the processor, and processes are not spawned. Its files are left alone.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.distributed
import torch.nn as nn
from torch.nn.parallel import DistributedDataParallel

BATCH = 2


def main(checkout: str, cubes: str, width: int, epochs: int, halves: int) -> None:
    """One call of the peer's Net.train."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sys.path.insert(0, checkout)
    pretend_to_have_cuda()
    module = importlib.import_module("spIsoNet.models.network_n2n" if halves == 2 else "spIsoNet.models.network")
    network = importlib.import_module("spIsoNet.models.unet").Unet
    names = vars(module)
    names["DDP"] = lambda model, device_ids: DistributedDataParallel(model)
    names["Unet"] = lambda filter_base, unet_depth, add_last: network(width, unet_depth, add_last)
    names["mp"] = SimpleNamespace(spawn=lambda function, args, nprocs: function(0, *args))
    folders = [str(Path(cubes) / f"half{number}") for number in (1, 2)]
    options: dict[str, Any] = {"beta": 0.5} if halves == 2 else {}
    net = module.Net(filter_base=64, unet_depth=3, add_last=True)
    net.train(
        folders if halves == 2 else folders[0],
        cubes,
        alpha=1,
        batch_size=BATCH,
        acc_batches=1,
        epochs=epochs,
        steps_per_epoch=1000,
        learning_rate=3e-4,
        fsc3d=np.load(Path(cubes) / "filter.npy"),
        **options,
    )


def pretend_to_have_cuda() -> None:
    """One device, called 0, that is the processor; too old for torch.compile."""
    change: Any = setattr
    change(torch.cuda, "device_count", lambda: 1)
    change(torch.cuda, "set_device", lambda device: None)
    change(torch.cuda, "get_device_capability", lambda: (0, 0))
    for kind in (torch.Tensor, nn.Module):
        change(kind, "cuda", lambda self: self)
        change(kind, "to", _unless_numbered(kind.to))
    change(nn.SyncBatchNorm, "convert_sync_batchnorm", lambda model: model)
    begin = torch.distributed.init_process_group
    change(
        torch.distributed,
        "init_process_group",
        lambda backend, rank, world_size: begin("gloo", rank=0, world_size=1),
    )


def _unless_numbered(move: Any) -> Any:
    return lambda self, *where, **options: self if where == (0,) else move(self, *where, **options)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *(int(number) for number in sys.argv[3:6]))
