"""Two users of one machine and a bare population that both push to: it works, or one line says what to do."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_world import World, git
from faults import Faults, Outcome, is_refusal
from users import COMMON, User

from mpop.exchange.cloning import clone
from mpop.jobs.verify import verify
from mpop.population import Population

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run programs as other users")


class Machine:
    """Two users, each with a clone of what they share."""

    def __init__(self, example: World, faults: Faults, folder: Path, umask: int) -> None:
        self._faults = faults
        self._folder = folder
        self.shared = folder / "shared"
        clone(str(example.root), self.shared, bare=True)
        self.users = [User(64001 + n, str(folder / f"home{n}"), umask) for n in range(2)]
        for user in self.users:
            user.make_home(self.shared)

    def give_to_group(self, mode: int = 0o2770) -> None:
        """As docs/how-to/plain-git.md advises. mode: of folders."""
        for path in (self.shared, *self.shared.rglob("*")):
            os.chown(path, self.users[0].number, COMMON)
            if path.is_dir():
                path.chmod(mode)
            elif "objects" not in path.parts:
                path.chmod(path.stat().st_mode | 0o060)

    def run(self, number: int, *action: str) -> Outcome:
        """What a user does. {own} stands for their clone."""
        user = self.users[number]
        words = [word.format(own=f"{user.home}/own", shared=self.shared) for word in action]
        return self._faults.run(words, self._folder, user=user)

    def must(self, number: int, *action: str) -> None:
        ended = self.run(number, *action)
        assert ended.code == 0, (number, action, ended.stderr)

    def check(self) -> None:
        """What is shared is whole."""
        for path in (self.shared, *self.shared.rglob("*")):
            os.chown(path, 0, 0)  # so that this process trusts it
        assert verify(Population.open(self.shared)).problems == []
        git(self.shared, "fsck", "--strict", "--no-dangling")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody can look into, which is not so of those that pytest makes."""
    folder = Path(tempfile.mkdtemp(prefix="mpop-users-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def work_together(machine: Machine) -> None:
    """Both push and pull in turns, and look after what they share, with objects of each other in it."""
    for number in range(2):
        machine.must(number, "clone", "{shared}", "{own}")
    for turn in range(2):
        for number in range(2):
            machine.must(number, "fault_actions:refine_series", "{own}", f"{number + 1}" * 16, f"{turn}")
            machine.must(number, "-C", "{own}", "pull")
            machine.must(number, "-C", "{own}", "push")
            machine.must(number, "fault_actions:litter_shared", "{shared}")
        for number in range(2):
            machine.must(number, "-C", "{shared}", "pack")
            machine.must(number, "fault_actions:collect", "{shared}")
    machine.must(0, "-C", "{own}", "pull")
    machine.must(0, "-C", "{own}", "verify")
    machine.check()


def test_a_group_and_a_umask_for_it(example: World, faults: Faults, place: Path) -> None:
    machine = Machine(example, faults, place, 0o002)
    machine.give_to_group()
    work_together(machine)


@pytest.mark.parametrize("umask", [0o022, 0o077], ids="{:03o}".format)
def test_git_shares_for_the_group(umask: int, example: World, faults: Faults, place: Path) -> None:
    machine = Machine(example, faults, place, umask)
    git(machine.shared, "config", "core.sharedRepository", "group")
    machine.give_to_group()
    work_together(machine)


@pytest.mark.parametrize("umask", [0o022, 0o077], ids="{:03o}".format)
def test_files_that_a_group_may_not_write(umask: int, example: World, faults: Faults, place: Path) -> None:
    """The second to push is refused, or finds what there is to write to; nothing is half done."""
    machine = Machine(example, faults, place, umask)
    machine.give_to_group()
    for number in range(2):
        machine.must(number, "clone", "{shared}", "{own}")
    machine.must(0, "fault_actions:refine_series", "{own}", "1" * 16, "1")
    machine.must(0, "-C", "{own}", "push")
    machine.run(1, "fault_actions:refine_series", "{own}", "2" * 16, "2")
    for where, command in (("own", "pull"), ("own", "push"), ("shared", "pack"), ("shared", "gc")):
        action = ["-C", f"{{{where}}}", command]
        ended = machine.run(1, *action)
        assert ended.code == 0 or (is_refusal(ended) and "ermission denied" in ended.stderr), (action, ended)
    machine.must(0, "-C", "{own}", "pull")
    machine.must(0, "-C", "{own}", "verify")
    machine.check()


def test_a_sticky_folder(example: World, faults: Faults, place: Path) -> None:
    """Nobody can replace there what another has made, so no branch of another can move."""
    machine = Machine(example, faults, place, 0o002)
    machine.give_to_group(0o3770)
    machine.must(1, "clone", "{shared}", "{own}")
    machine.must(1, "fault_actions:refine_series", "{own}", "2" * 16, "2")
    ended = machine.run(1, "-C", "{own}", "push")
    assert is_refusal(ended) and "Operation not permitted" in ended.stderr, ended
    machine.give_to_group()
    machine.must(1, "-C", "{own}", "push")
    machine.check()


def test_what_belongs_to_another_is_refused_until_it_is_trusted(
    example: World, faults: Faults, place: Path
) -> None:
    machine = Machine(example, faults, place, 0o002)
    machine.give_to_group()
    (Path(machine.users[1].home) / ".gitconfig").unlink()
    ended = machine.run(1, "clone", "{shared}", "{own}")
    assert is_refusal(ended) and f"git config --global --add safe.directory {machine.shared}" in ended.stderr, (
        ended
    )
