"""The session in docs/two-labs.md, run as it is written: over a folder, and once more over ssh."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import string
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import run

from mpop.jobs.verify import verify
from mpop.population import Population
from mpop.requests.chains import Requests

if TYPE_CHECKING:
    from tests.conftest import TinyWorld

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/two-labs.md"
FAR_MPOP = str(Path(sys.executable).with_name("mpop"))
VARIES = (
    (r"^[*|/\\ ]+", ""),
    (r"\b[0-9a-f]{8,64}\b", "HASH"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d", "TIME"),
    (r"\d+(\.\d+)? [KM]iB", "SIZE"),
    (r"\d+ Git objects", "GIT OBJECTS"),
    (r"\d+% of the smaller", "PART of the smaller"),
)
"""What the page shows as it was in one run; the first is how the graph of commits is drawn."""


@dataclass
class Session:
    """A reader who pastes what the page says. replaced: text of a command -> what is run instead."""

    folder: Path
    replaced: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    failed: list[tuple[str, int]] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)

    def play(self, page: str) -> None:
        """Run every command, and look for what the page says is printed."""
        for language, block in re.findall(r"^```(\w+)\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
            if language == "sh":
                for line in block.replace("\\\n", " ").splitlines():
                    self._line(line)
            elif language == "text":
                self._expect(block)

    def _line(self, line: str) -> None:
        for written, instead in self.replaced.items():
            line = line.replace(written, instead)
        line = string.Template(line).safe_substitute(self.variables)
        assigned = re.fullmatch(r"(\w+)=\$\((.*)\)", line)
        if assigned:
            self.variables[assigned[1]] = self._output(assigned[2]).strip()
        else:
            self.printed += self._output(line).splitlines()

    def _output(self, line: str) -> str:
        """What a line prints; `mpop` runs in this process, all else in a shell."""
        first, _, rest = line.partition(" | ")
        words = shlex.split(first)
        if words[:1] != ["mpop"]:
            return subprocess.run(["bash", "-ec", line], check=True, capture_output=True, text=True).stdout
        done = run(*words[1:])
        if done.code:
            self.failed.append((line, done.code))
            assert done.out, f"{line}: {done.err}"
        if not rest:
            return done.out
        return subprocess.run(
            ["bash", "-ec", rest], check=True, capture_output=True, text=True, input=done.out
        ).stdout

    def _expect(self, block: str) -> None:
        printed = [_constant(line) for line in self.printed]
        for line in block.splitlines():
            if _constant(line) not in ("", "..."):
                assert _constant(line) in printed, f"the page says {line!r}, but mpop does not"
        self.printed.clear()


def _constant(line: str) -> str:
    """The part of a line that is the same in every run."""
    for pattern, word in VARIES:
        line = re.sub(pattern, word, line)
    return line.rstrip()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in; authors are those of the page."""
    for name in os.environ:
        if name.startswith("GIT_") and name != "GIT_SSH_COMMAND":
            monkeypatch.delenv(name)
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def look_at_the_end(folder: Path, session: Session) -> None:
    """What the page promises, not as it is printed but as it is."""
    assert [code for _, code in session.failed] == [4], "only the first check says that something is to be decided"
    assert "request check" in session.failed[0][0]
    assert "Can be merged after deciding on 3 collisions" in (folder / "check.html").read_text()
    labs = [Population.open(folder / name) for name in ("lab-a", "lab-b", "shared")]
    tips = {lab.repository.refs.get("refs/heads/main") for lab in labs}
    assert len(tips) == 1 and None not in tips
    (a, b, _) = labs
    assert a.species("main") == b.species("main")
    assert a.items("main") == b.items("main")
    for lab in labs:
        assert verify(lab).problems == []
        (request,) = Requests(lab.repository).all()
        assert [one.kind for one in request.record.events] == ["open", "update", "merge"]
        assert [one.by.split(" <")[0] for one in request.record.events] == ["Lab B", "Lab B", "Lab A"]
    assert {one.name: one.n_particles for one in a.species("main").values()} == {
        "asymmetric": 24,
        "ferritin-like": 24,
    }
    assert len(a.items("main")) == 3
    assert "refs/heads/asymmetric" not in labs[2].repository.refs.all(), "only the species was offered"


def test_the_session_on_the_page(folder: Path) -> None:
    session = Session(folder)
    session.play(PAGE.read_text())
    look_at_the_end(folder, session)


@pytest.fixture
def ssh_address(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Path], str]]:
    """The address of a folder of this machine by way of ssh."""
    spec = importlib.util.spec_from_file_location("sshd", ROOT / "scripts/sshd.py")
    assert spec is not None and spec.loader is not None
    sshd = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sshd)
    if sshd.find("sshd") is None:
        pytest.skip("there is no sshd; scripts/install_test_peers.sh installs one")
    with sshd.Sshd(tmp_path_factory.mktemp("sshd")) as server:
        monkeypatch.setenv("GIT_SSH_COMMAND", server.command)
        yield lambda folder: f"ssh://{server.host}:{server.port}{folder}"


def test_the_same_session_over_ssh(
    folder: Path, ssh_address: Callable[[Path], str], shared_tiny_world: TinyWorld
) -> None:
    address, far = ssh_address(folder / "shared"), f"--far-mpop '{FAR_MPOP}'"
    page = re.sub(r"(?m)^```text\n.*?^```", "", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)
    replaced = {"remote add origin ../shared": f"remote add origin {address} {far}"}
    replaced["clone shared lab-b"] = f"clone {address} lab-b {far}"
    simulate = next(line for line in page.splitlines() if line.startswith("mpop simulate tilt-series grid1 "))
    replaced[simulate] = f"cp -r {shared_tiny_world.data} grid1"  # the same data, made before
    session = Session(folder, replaced)
    session.play(page)
    assert (
        "ssh://"
        in subprocess.run(
            ["git", "-C", "lab-b", "config", "remote.origin.url"], check=True, capture_output=True, text=True
        ).stdout
    )
    look_at_the_end(folder, session)
