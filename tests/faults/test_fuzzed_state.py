"""Small files of mpop's own, with anything in them: every command still ends as it should or in one line."""

from __future__ import annotations

import shutil
from pathlib import Path

import fault_actions
import pytest
from fault_scenarios import SCENARIOS
from fault_world import World
from faults import Faults, is_refusal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpop.cli.merge import UNDECIDED
from mpop.population import Population

FILES = {
    "operations.jsonl": ["op log", "undo", "gc"],
    "merge.json": ["status", "merge --continue", "merge --abort"],
    "leases/0123456789abcdef0123456789abcdef": ["gc", "pack", "status"],
    "stale-work-tree": ["status", "restore --all"],
    "index-0123456789012345678901234567890123456789": ["status"],
    "packs/index": ["verify --quick", "pack"],
}
"""File below .git/mpop -> commands that read it."""


@pytest.fixture(scope="module")
def merging(example: World, tmp_path_factory: pytest.TempPathFactory, faults: Faults) -> World:
    """A population with a merge that waits for decisions, packs, and a few operations. Read only."""
    world = example.copy(tmp_path_factory.mktemp("merging") / "world")
    SCENARIOS["merge"].prepare(world)
    for branch, number in (("side", "3"), ("main", "4")):
        fault_actions.switch(str(world.root), f"refs/heads/{branch}")
        fault_actions.put_species(str(world.root), "a" * 16, number)
    fault_actions.pack_all(str(world.root))
    assert faults.run(["-C", str(world.root), "merge", "side"], world.folder).code == UNDECIDED
    return world


TEXTS = [b"{}", b"[]", b"null", b'"', b"1e999", b"[" * 5000, b"\n"]


@st.composite
def edits(draw: st.DrawFn) -> tuple[bytes, float, float]:
    """Bytes to put into a file in place of a part of it; from where to where, of its length."""
    start, end = sorted((draw(st.floats(0, 1)), draw(st.floats(0, 1))))
    return draw(st.one_of(st.binary(max_size=40), st.sampled_from(TEXTS))), start, end


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edit=edits())
def test_no_content_makes_a_command_stumble(
    name: str, edit: tuple[bytes, float, float], merging: World, faults: Faults, tmp_path: Path
) -> None:
    world = merging.copy(tmp_path / "world")
    try:
        text, start, end = edit
        file = world.root / ".git" / "mpop" / name
        file.parent.mkdir(exist_ok=True)
        old = file.read_bytes() if file.exists() else b'{"format":1,"ours":"a","theirs":"b","version":"c"}'
        file.write_bytes(old[: round(start * len(old))] + text + old[round(end * len(old)) :])
        for command in FILES[name]:
            ended = faults.run(["-C", str(world.root), *command.split()], world.folder)
            assert ended.code in (0, UNDECIDED) or is_refusal(ended), (command, edit, ended)
        population = Population.open(world.root)
        assert population.repository.head is not None
        file.unlink(missing_ok=True)
        world.check()
    finally:
        shutil.rmtree(world.folder)
