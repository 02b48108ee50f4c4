"""A population that takes only signed commits, and one that is verified with its signatures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from example_population import make_population

from mpop.errors import StateError
from mpop.exchange.pushing import PushOptions, push_to
from mpop.jobs.verify import verify
from mpop.population import Population
from mpop_store.git.repository import Repository
from mpop_store.git.signatures import REQUIRED
from mpop_store.transfer.remotes import Remotes

MAIL = "ada@lab.example"


def key_and_allowed_signers(folder: Path) -> tuple[Path, Path]:
    key, allowed = folder / "key", folder / "allowed"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)], check=True)
    allowed.write_text(f"{MAIL} {key.with_suffix('.pub').read_text()}")
    return key, allowed


def test_a_remote_can_require_signatures(tmp_path: Path) -> None:
    key, allowed = key_and_allowed_signers(tmp_path)
    bare = Repository.init(tmp_path / "shared", bare=True)
    bare.config[REQUIRED] = "true"
    bare.config["gpg.ssh.allowedSignersFile"] = str(allowed)
    population = make_population(tmp_path)
    repository = population.repository
    Remotes(repository).add("shared", str(bare.root))
    remote = Remotes(repository).get("shared")
    unsigned = repository.resolve("HEAD")
    with pytest.raises(StateError, match=rf"rule signed\): commit {unsigned[:10]} is not signed, .* takes signed"):
        push_to(repository, remote, PushOptions())
    assert bare.refs.all() == {}
    sign(repository, key)
    signed = again(population)
    push_to(repository, remote, PushOptions())
    assert bare.refs.all() == {"refs/heads/main": signed}
    (tmp_path / "other").mkdir()
    sign(repository, key_and_allowed_signers(tmp_path / "other")[0])
    rename(population, "by somebody else")
    with pytest.raises(StateError, match=r"which gpg\.ssh\.allowedSignersFile does not name"):
        push_to(repository, remote, PushOptions())
    assert bare.refs.all() == {"refs/heads/main": signed}


def sign(repository: Repository, key: Path) -> None:
    repository.config["gpg.format"] = "ssh"
    repository.config["user.signingKey"] = str(key)
    repository.config["commit.gpgSign"] = True


def again(population: Population) -> str:
    """The only commit once more, signed."""
    repository = population.repository
    old = repository.resolve("HEAD")
    records = {path: repository.load(oid) for path, oid in repository.entries(old).items()}
    new = repository.write_commit(old, records, [], "Import")
    repository.make_durable()
    repository.refs.update({"refs/heads/main": (old, new)}, "sign")
    return new


def rename(population: Population, name: str) -> str:
    population.stage([population.item("TS_1").model_copy(update={"name": name})])
    return population.commit(f"Call it {name}")


def test_verify_asks_for_signatures(tmp_path: Path) -> None:
    key, allowed = key_and_allowed_signers(tmp_path)
    population = make_population(tmp_path)
    repository = population.repository
    first = repository.resolve("HEAD")
    sign(repository, key)
    repository.config["gpg.ssh.allowedSignersFile"] = str(allowed)
    rename(population, "signed")
    assert verify(population).ok
    code = "import sys; from mpop.cli.main import main; sys.argv[0] = 'mpop'; main()"
    words = [sys.executable, "-c", code, "-C", str(population.root), "verify", "--signatures"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 5 and f"commit {first[:10]}: not signed\n" in done.stdout
    report = verify(population, signatures=True)
    assert [(one.kind, one.message) for one in report.problems] == [
        ("signature", f"commit {first[:10]}: not signed"),
    ]
