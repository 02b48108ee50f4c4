"""A device that was asked for is used, or one line says what does not run there."""

from __future__ import annotations

import pytest

from mpop.cli import context


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """`--device cuda:0`, on a machine that has it."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr(context.options, "device", "cuda:0")
    return monkeypatch


def test_what_does_not_run_there_is_said_once(
    asked: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with context.run(on_device="networks run") as run:
        assert run.device == "cuda:0" and run.on_cpu.device == "cpu"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("--device cuda:0: only networks run there; all else runs on the processor")


def test_a_command_without_use_for_it_says_so(
    asked: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with context.run() as run:
        assert run.device == "cpu"
    (line,) = capsys.readouterr().err.splitlines()
    assert "--device cuda:0: nothing of this command can run there" in line


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_nothing_is_said_where_nobody_asked(
    device: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr(context.options, "device", device)
    with context.run(on_device="networks run") as run:
        assert run.device == ("cuda" if device == "auto" else "cpu")
    assert capsys.readouterr().err == ""
