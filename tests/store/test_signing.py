"""Commits and tags signed with ssh keys, checked by mpop and by Git."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from mpop_store.errors import InputError, NotFoundError, StateError
from mpop_store.git import signatures
from mpop_store.git.branches import create_tag, delete_tag, tags
from mpop_store.git.repository import Repository

MAIL = "ada@lab.example"


@dataclass
class Signed:
    """A repository whose owner signs with `key`."""

    repository: Repository
    key: Path
    allowed: Path

    def git(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", "-C", str(self.repository.root), *words], capture_output=True, text=True)

    def commit(self, content: str) -> str:
        self.repository.stage({"population.json": {"format": 1, "name": content}})
        return self.repository.commit(f"Say {content}")


def new_key(folder: Path, name: str, passphrase: str = "") -> Path:
    path = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "", "-f", str(path)], check=True)
    return path


@pytest.fixture
def signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Signed:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Ada")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", MAIL)
    repository = Repository.init(tmp_path / "population")
    key, allowed = new_key(tmp_path, "key"), tmp_path / "allowed_signers"
    allowed.write_text(f"{MAIL} {key.with_suffix('.pub').read_text()}")
    config = repository.config
    config["gpg.format"] = "ssh"
    config["user.signingKey"] = str(key.with_suffix(".pub"))
    config["commit.gpgSign"] = "true"
    config["tag.gpgSign"] = "true"
    config["gpg.ssh.allowedSignersFile"] = str(allowed)
    return Signed(repository, key, allowed)


def test_git_and_mpop_agree_on_a_signed_commit(signed: Signed) -> None:
    commit = signed.commit("first")
    found = signatures.check(signed.repository, commit)
    assert (found.status, found.signer) == ("good", MAIL)
    assert found.key is not None and str(found) == f"signed by {MAIL}"
    shown = signed.git("log", "--show-signature", "-1")
    assert f'Good "git" signature for {MAIL} with ED25519 key {found.key}' in shown.stdout + shown.stderr
    assert signed.git("verify-commit", commit).returncode == 0
    assert signed.git("fsck", "--strict").returncode == 0


def test_mpop_checks_what_git_signed(signed: Signed) -> None:
    signed.commit("first")
    assert signed.git("commit", "--no-verify", "-q", "--allow-empty", "-m", "By git").returncode == 0
    assert signatures.check(signed.repository, "HEAD").status == "good"


def test_a_signed_tag(signed: Signed) -> None:
    commit = signed.commit("first")
    assert create_tag(signed.repository, "v1", message="The first\n\nand more") == commit
    assert signatures.check_tag(signed.repository, "v1").status == "good"
    assert signed.git("verify-tag", "v1").returncode == 0
    assert [(tag.name, tag.commit, tag.message) for tag in tags(signed.repository)] == [
        ("v1", commit, "The first")
    ]
    create_tag(signed.repository, "light")
    assert signatures.check_tag(signed.repository, "light").status == "none"
    assert delete_tag(signed.repository, "v1") == commit
    with pytest.raises(NotFoundError, match="'v1'"):
        signatures.check_tag(signed.repository, "v1")


def test_a_private_key_and_a_literal_key_that_no_agent_holds(signed: Signed) -> None:
    signed.repository.config["user.signingKey"] = str(signed.key)
    assert signatures.check(signed.repository, signed.commit("private")).status == "good"
    public = signed.key.with_suffix(".pub").read_text().strip()
    signed.repository.config["user.signingKey"] = f"key::{public}"
    with pytest.raises(StateError, match="cannot sign with key::ssh-ed25519"):
        signed.commit("no agent holds it")  # the private half is nowhere beside a literal key


def test_unknown_and_revoked_keys_are_not_good(signed: Signed, tmp_path: Path) -> None:
    commit = signed.commit("first")
    signed.allowed.write_text(f"{MAIL} {new_key(tmp_path, 'other').with_suffix('.pub').read_text()}")
    found = signatures.check(signed.repository, commit)
    assert found.status == "unknown" and found.signer is None and "does not name" in str(found)
    del signed.repository.config["gpg.ssh.allowedSignersFile"]
    assert signatures.check(signed.repository, commit).status == "unknown"
    signed.repository.config["gpg.ssh.allowedSignersFile"] = str(signed.allowed)
    signed.allowed.write_text(f"{MAIL} {signed.key.with_suffix('.pub').read_text()}")
    assert signatures.check(signed.repository, commit).status == "good"
    signed.repository.config["gpg.ssh.revocationFile"] = str(signed.key.with_suffix(".pub"))
    assert signatures.check(signed.repository, commit).status == "unknown"


def test_relative_files_count_from_the_top_of_the_work_tree(
    signed: Signed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commit = signed.commit("first")
    signed.repository.config["gpg.ssh.allowedSignersFile"] = "../allowed_signers"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert signatures.check(signed.repository, commit).status == "good"
    assert signed.git("verify-commit", commit).returncode == 0


def test_a_key_is_judged_by_when_it_signed(signed: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    public = signed.key.with_suffix(".pub").read_text()
    signed.allowed.write_text(f'{MAIL} valid-before="20200101" {public}')
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2019-06-01T12:00:00+00:00")
    assert signatures.check(signed.repository, signed.commit("then")).status == "good"
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2021-06-01T12:00:00+00:00")
    assert signatures.check(signed.repository, signed.commit("later")).status == "unknown"


def test_a_changed_commit_is_bad(signed: Signed) -> None:
    commit = signed.commit("first")
    text = signed.git("cat-file", "commit", commit).stdout.replace("Say first", "Say forst")
    words = ["git", "-C", str(signed.repository.root), "hash-object", "-t", "commit", "-w", "--stdin"]
    forged = subprocess.run(words, input=text, capture_output=True, text=True, check=True).stdout.strip()
    assert signatures.check(signed.repository, forged).status == "bad"


def test_signatures_can_be_required(signed: Signed) -> None:
    first = signed.commit("first")
    assert not signatures.is_required(signed.repository)
    signed.repository.config[signatures.REQUIRED] = "true"
    assert signatures.is_required(signed.repository)
    signatures.refuse_unsigned(signed.repository, [first])
    signed.repository.config["commit.gpgSign"] = "false"
    second = signed.commit("second")
    assert signatures.check(signed.repository, second).status == "none"
    with pytest.raises(StateError, match=rf"^refused \(rule signed\): commit {second[:10]} is not signed, and"):
        signatures.refuse_unsigned(signed.repository, [first, second])


def test_nothing_is_committed_when_signing_fails(signed: Signed) -> None:
    first = signed.commit("first")
    signed.repository.config["gpg.ssh.program"] = "/nowhere/ssh-keygen"
    with pytest.raises(StateError, match="/nowhere/ssh-keygen is needed for signatures"):
        signed.commit("second")
    assert signed.repository.head == first and not signed.repository.is_clean
    del signed.repository.config["gpg.ssh.program"]
    signed.repository.config["user.signingKey"] = "/nowhere/key"
    with pytest.raises(StateError, match="cannot sign with /nowhere/key: "):
        signed.repository.commit("third")
    del signed.repository.config["user.signingKey"]
    with pytest.raises(InputError, match="no key"):
        signed.repository.commit("third")


def test_other_kinds_of_signatures_are_said_to_be_unsupported(signed: Signed) -> None:
    signed.repository.config["gpg.format"] = "openpgp"
    with pytest.raises(InputError, match="signs with ssh keys only"):
        signed.commit("first")
    signed.repository.config["commit.gpgSign"] = "perhaps"
    with pytest.raises(InputError, match=r"commit\.gpgSign in Git's configuration is neither true nor false"):
        signed.repository.commit("first")


def test_without_signing_nothing_is_signed(tmp_path: Path) -> None:
    repository = Repository.init(tmp_path / "plain")
    repository.stage({"population.json": {"format": 1, "name": "plain"}})
    found = signatures.check(repository, repository.commit("Say it"))
    assert found.status == "none" and str(found) == "not signed"
