"""The benchmark of the store runs: what mpop does in it, on a small species."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers.steps import store_mpop, store_tools, store_workload
from benchmarks.peers.store import size
from mpop_store.arrays.groups import read_array


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where two versions of a species lie, and a repository that is empty."""
    monkeypatch.setattr(store_workload, "PARTICLES", 2000)
    store_workload.generate(tmp_path, box=40)
    store_mpop.init(tmp_path / "wc", tmp_path / "remote")
    yield tmp_path


def test_every_step_does_its_work(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wc, remote, clone = (folder / name for name in ("wc", "remote", "clone"))
    store_mpop.commit(wc, folder / "v1")
    first = size([wc / ".git"])
    store_mpop.commit(wc, folder / "v2")
    second = size([wc / ".git"])
    assert first < second < 2 * first  # what has not changed is not stored again
    head = store_mpop.open_repository(wc).head
    store_mpop.commit(wc, folder / "v2")
    store_mpop.save_again(wc, folder / "v2")
    assert store_mpop.open_repository(wc).head == head
    store_mpop.push(wc)
    store_mpop.clone(remote, clone)
    store_mpop.read(clone)
    store_mpop.lazy(remote, folder / "lazy")
    expected = float(np.load(folder / "v2" / "half1.npy").sum())
    assert [float(line) for line in capsys.readouterr().out.split()] == [expected] * 2
    assert size([folder / "lazy"]) < size([clone])
    store_mpop.verify(wc)
    table = np.load(folder / "v2" / "particles.npy")
    repository = store_mpop.open_repository(clone)
    group = repository.read("items/007.json")["arrays"]
    rows = read_array(repository.objects, group, "particles")
    np.testing.assert_array_equal(rows, table[table[:, store_workload.SERIES_COLUMN] == 7])


def test_every_program_has_commands_for_the_steps_that_it_can_do(tmp_path: Path) -> None:
    tools = [
        store_tools.mpop(),
        store_tools.icechunk(tmp_path / "python"),
        store_tools.dvc(tmp_path / "python"),
        store_tools.git_lfs(),
        store_tools.git_annex(),
        store_tools.restic(),
    ]
    for tool in tools:
        assert set(tool.steps) <= set(store_tools.STEPS)
    assert set(tools[0].steps) == set(store_tools.STEPS)
