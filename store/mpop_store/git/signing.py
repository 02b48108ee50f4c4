"""Signatures of commits and tags, made and checked with ssh keys as Git does it (`gpg.format=ssh`).

A signature covers the commit, the commit its tree and parents, and the records in them name every array by its
hash: one signature vouches for everything back to the raw images. What is configured for Git holds here:
`commit.gpgSign`, `tag.gpgSign`, `user.signingKey`, `gpg.ssh.program`, `gpg.ssh.allowedSignersFile` and
`gpg.ssh.revocationFile`. The system's `ssh-keygen` does the cryptography.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pygit2

from mpop_store.errors import InputError, NotFoundError, StateError
from mpop_store.git.authorship import moment

if TYPE_CHECKING:
    from mpop_store.git.history import History

NAMESPACE = "git"
BEGIN = b"-----BEGIN SSH SIGNATURE-----"
REQUIRED = "mpop.requireSignatures"
"""Key in Git's configuration of a population that accepts only commits with a good signature."""

Signer = Callable[[bytes], str]
"""Text in, its signature out."""


@dataclass(frozen=True)
class Signature:
    """What is known of a signature.

    good: made with a key that `gpg.ssh.allowedSignersFile` names. unknown: sound, but by a key that it does not
    name. bad: does not fit what it signs. none: there is none. signer: as that file calls them. key: fingerprint.
    """

    status: Literal["good", "unknown", "bad", "none"]
    signer: str | None = None
    key: str | None = None

    def __str__(self) -> str:
        by = self.signer or self.key or "a key that cannot be read"
        return {
            "good": f"signed by {by}",
            "unknown": f"signed by {by}, which gpg.ssh.allowedSignersFile does not name",
            "bad": "not what its signature signs",
            "none": "not signed",
        }[self.status]


def signer(config: pygit2.Config, kind: Literal["commit", "tag"]) -> Signer | None:
    """How commits or tags are to be signed, None when they are not. Raises InputError for what cannot be done."""
    if not _flag(config, f"{kind}.gpgSign"):
        return None
    if (form := _value(config, "gpg.format") or "openpgp") != "ssh":
        raise InputError(
            f"Git is configured to sign with {form} ({kind}.gpgSign), and mpop signs with ssh keys only; "
            f"set gpg.format to ssh, or {kind}.gpgSign to false in this population"
        )
    key = _value(config, "user.signingKey")
    if not key:
        raise InputError(f"{kind}.gpgSign is set, but no key: `git config user.signingKey ~/.ssh/id_ed25519.pub`")
    program = _program(config)
    return lambda text: _sign(program, key, text)


def _sign(program: str, key: str, text: bytes) -> str:
    literal = key.removeprefix("key::")
    with _temporary(f"{literal}\n".encode() if literal.startswith(("ssh-", "ecdsa-", "sk-")) else None) as file:
        path = file or Path(key).expanduser()
        done = _run([program, "-Y", "sign", "-n", NAMESPACE, "-f", str(path)], text)
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        raise StateError(f"cannot sign with {key}: {reason[-1] if reason else 'ssh-keygen failed'}")
    return done.stdout.decode()


def check(history: History, revision: str) -> Signature:
    """The signature of a commit."""
    commit = history.commit_object(revision)
    signed, text = commit.gpg_signature
    if signed is None or text is None:
        return Signature("none")
    return verify(history, signed, text, commit.commit_time)


def check_tag(history: History, name: str) -> Signature:
    """The signature of a tag; a tag that is no object of its own has none."""
    target = history.refs.get(f"refs/tags/{name}")
    if target is None:
        raise NotFoundError(f"no tag {name!r} in this population")
    tag = history.tag_object(target)
    text = b"" if tag is None else tag.read_raw()
    at = text.find(BEGIN)
    if tag is None or at < 0:
        return Signature("none")
    return verify(history, text[at:], text[:at], tag.tagger.time if tag.tagger else 0)


def unsigned(history: History, commits: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Name, and what is the matter, of commits without a good signature, and of tags with one that is not good."""
    for commit in commits:
        if (found := check(history, commit)).status != "good":
            yield commit, f"commit {commit[:10]}: {found}"
    for name in sorted(history.refs.all("refs/tags/")):
        short = name.removeprefix("refs/tags/")
        if (found := check_tag(history, short)).status not in ("good", "none"):
            yield name, f"tag {short}: {found}"


def is_required(history: History) -> bool:
    """Whether the population accepts only signed commits."""
    return _flag(history.config, REQUIRED)


def refuse_unsigned(history: History, commits: Iterable[str]) -> None:
    """Raise StateError for the first commit without a good signature."""
    for commit in commits:
        found = check(history, commit)
        if found.status != "good":
            raise StateError(
                f"refused (rule signed): commit {commit[:10]} is {found}, and this population takes signed "
                "commits only; set commit.gpgSign, gpg.format and user.signingKey, and have your key allowed there"
            )


def verify(history: History, signature: bytes, text: bytes, time: int) -> Signature:
    """Check the signature of a text that was made at a time (seconds since 1970) by the keys allowed here."""
    if not signature.lstrip().startswith(BEGIN):
        return Signature("unknown", key="something other than an ssh key")
    program = _program(history.config)
    with _temporary(signature) as file:
        about = ["-n", NAMESPACE, "-s", str(file)]
        plain = _run([program, "-Y", "check-novalidate", *about], text)
        if plain.returncode != 0:
            return Signature("bad")
        key = _fingerprint(plain.stdout)
        known = _path(history, "gpg.ssh.allowedSignersFile")
        if known is None or not known.is_file():
            return Signature("unknown", key=key)
        when = f"-Overify-time={moment(time, 0).astimezone():%Y%m%d%H%M%S}"
        found = _run([program, "-Y", "find-principals", "-f", str(known), "-s", str(file), when])
        for name in found.stdout.decode(errors="replace").splitlines() if found.returncode == 0 else ():
            revoked = _path(history, "gpg.ssh.revocationFile")
            options = ["-r", str(revoked)] if revoked is not None and revoked.is_file() else []
            words = [program, "-Y", "verify", "-f", str(known), "-I", name, *about, when, *options]
            if _run(words, text).returncode == 0:
                return Signature("good", name, key)
    return Signature("unknown", key=key)


def _fingerprint(output: bytes) -> str | None:
    found = re.search(rb"(SHA256:\S+)", output)
    return found[1].decode() if found else None


def _run(words: list[str], text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(words, input=text, capture_output=True, check=False)
    except OSError as error:
        raise StateError(f"{words[0]} is needed for signatures and cannot be run: {error.strerror}") from error


@contextmanager
def _temporary(content: bytes | None) -> Iterator[Path | None]:
    """A file with some content while it is needed; None for none."""
    if content is None:
        yield None
        return
    with tempfile.NamedTemporaryFile(prefix="mpop-") as file:
        file.write(content)
        file.flush()
        yield Path(file.name)


def _program(config: pygit2.Config) -> str:
    return _value(config, "gpg.ssh.program") or "ssh-keygen"


def _path(history: History, key: str) -> Path | None:
    """A file from Git's configuration; as for Git, relative ones count from the top of the work tree."""
    value = _value(history.config, key)
    folder = history.git_directory
    return (folder.parent if folder.name == ".git" else folder) / Path(value).expanduser() if value else None


def _value(config: pygit2.Config, key: str) -> str | None:
    """The last value of a key, which counts in Git."""
    return next(iter([*config.get_multivar(key)][::-1]), None)


def _flag(config: pygit2.Config, key: str) -> bool:
    try:
        return key in config and config.get_bool(key)
    except ValueError as error:
        raise InputError(f"{key} in Git's configuration is neither true nor false") from error
