"""One flipped bit, a file cut short, a file gone, of every kind that there is: it is named, and never believed.

Every command ends as it would have with nothing damaged, or in one line that says what is wrong. `mpop verify`
finds the damage, except where nothing is lost by it. And once the file is back everything is as before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import fault_actions
import pytest
from fault_world import World, git
from faults import Faults, Outcome, is_refusal

from mpop_store.upkeep.packing import pack

COMMANDS = [
    ["-C", "{root}", "status"],
    ["-C", "{root}", "log"],
    ["-C", "{root}", "show"],
    ["-C", "{root}", "diff", "HEAD~1"],
    ["fault_actions:read", "{root}"],
]


@dataclass(frozen=True)
class Kind:
    """A kind of file. find: the one to damage; expendable: whether nothing is lost with it."""

    find: Callable[[World], Path]
    expendable: bool = False


def git_object(revision: str) -> Callable[[World], Path]:
    """The loose file of a Git object."""

    def find(world: World) -> Path:
        oid = git(world.root, "rev-parse", revision).strip()
        return world.root / ".git" / "objects" / oid[:2] / oid[2:]

    return find


def one_file(pattern: str) -> Callable[[World], Path]:
    """The first file below .git that a pattern fits, by name."""
    return lambda world: min((world.root / ".git").glob(pattern))


def manifest(world: World) -> Path:
    """The manifest of a species' maps."""
    (species,) = world.population.species().values()
    return world.population.objects.path(species.maps_object)


def chunk(world: World) -> Path:
    """A chunk of them."""
    from mpop_store.arrays.groups import group_objects

    (species,) = world.population.species().values()
    return world.population.objects.path(group_objects(world.population.objects, species.maps_object)[1])


KINDS = {
    "manifest": Kind(manifest),
    "chunk": Kind(chunk),
    "pack": Kind(one_file("mpop/packs/*.mpack")),
    "index of a pack": Kind(one_file("mpop/packs/index"), expendable=True),
    "Git commit": Kind(git_object("HEAD")),
    "Git tree": Kind(git_object("HEAD:items")),
    "Git blob": Kind(git_object("HEAD:species/aaaaaaaaaaaaaaaa.json")),
    "Git pack": Kind(one_file("objects/pack/*.pack")),
    "index of a Git pack": Kind(one_file("objects/pack/*.idx")),
    "branch": Kind(one_file("refs/heads/main")),
    "packed references": Kind(one_file("packed-refs"), expendable=True),
    "HEAD": Kind(one_file("HEAD")),
    "configuration": Kind(one_file("config"), expendable=True),
    "working state": Kind(one_file("index")),
    "operation log": Kind(one_file("mpop/operations.jsonl"), expendable=True),
}


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x04
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE: dict[str, Callable[[Path], None]] = {"flipped": flip, "cut short": truncate, "gone": Path.unlink}


@pytest.fixture(scope="module")
def sound(example: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two commits, the first of them in packs, the second loose; a tag in packed-refs. Read only."""
    world = example.copy(tmp_path_factory.mktemp("damage") / "sound")
    pack(world.population.repository)
    git(world.root, "tag", "start")
    git(world.root, "pack-refs")
    fault_actions.refine(str(world.root))
    return world


def run(faults: Faults, world: World, words: list[str]) -> Outcome:
    """One command."""
    return faults.run([word.format(root=world.root) for word in words], world.folder)


@pytest.fixture(scope="module")
def expected(sound: World, faults: Faults) -> list[str]:
    """What the commands say when nothing is damaged."""
    return [run(faults, sound, words).stdout for words in COMMANDS]


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_named_and_never_believed(
    kind: str, damage: str, sound: World, expected: list[str], faults: Faults, tmp_path: Path
) -> None:
    world = sound.copy(tmp_path / "world")
    path = KINDS[kind].find(world)
    content = path.read_bytes()
    path.chmod(0o644)
    DAMAGE[damage](path)
    for words, said in zip(COMMANDS, expected, strict=True):
        ended = run(faults, world, words)
        assert (ended.code == 0 and _agrees(ended.stdout, said)) or is_refusal(ended), (words, ended)
    verdict = run(faults, world, ["-C", "{root}", "verify"])
    if verdict.code == 0:
        assert KINDS[kind].expendable, verdict
    else:
        assert is_refusal(verdict) or (verdict.code == 5 and not verdict.stderr), verdict
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    world.check()
    assert world.state() == sound.state()


def _agrees(said: str, expected: str) -> bool:
    """Whether a command says what it should, or that it cannot; a name given to a commit may be forgotten."""
    return said == expected or "not compared" in said or said == expected.replace(" (tag: start)", "")
