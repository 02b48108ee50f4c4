"""What the benchmark of training runs here still runs."""

from __future__ import annotations

import pytest

from benchmarks.peers import training


@pytest.mark.parametrize("own_loss", [False, True])
def test_both_losses_train(monkeypatch: pytest.MonkeyPatch, own_loss: bool) -> None:
    for name, value in (("WIDTH", 2), ("EDGE", 16), ("BOX", 24)):
        monkeypatch.setattr(training, name, value)
    training.train_here(steps=1, halves=2, exact=False, own_loss=own_loss)
