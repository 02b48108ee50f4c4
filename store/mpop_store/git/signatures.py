"""Signatures of commits and tags, checked with ssh keys as Git does it (`gpg.format=ssh`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mpop_store.errors import NotFoundError, StateError
from mpop_store.git.authorship import moment
from mpop_store.git.history import History
from mpop_store.git.signing import NAMESPACE, flag, program, run, temporary, value_of

BEGIN = b"-----BEGIN SSH SIGNATURE-----"
REQUIRED = "mpop.requireSignatures"
"""Key in Git's configuration of a population that accepts only commits with a good signature."""


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
    return flag(history.config, REQUIRED)


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
    keygen = program(history.config)
    with temporary(signature) as file:
        about = ["-n", NAMESPACE, "-s", str(file)]
        plain = run([keygen, "-Y", "check-novalidate", *about], text)
        if plain.returncode != 0:
            return Signature("bad")
        key = _fingerprint(plain.stdout)
        known = _path(history, "gpg.ssh.allowedSignersFile")
        if known is None or not known.is_file():
            return Signature("unknown", key=key)
        when = f"-Overify-time={moment(time, 0).astimezone():%Y%m%d%H%M%S}"
        found = run([keygen, "-Y", "find-principals", "-f", str(known), "-s", str(file), when])
        for name in found.stdout.decode(errors="replace").splitlines() if found.returncode == 0 else ():
            revoked = _path(history, "gpg.ssh.revocationFile")
            options = ["-r", str(revoked)] if revoked is not None and revoked.is_file() else []
            words = [keygen, "-Y", "verify", "-f", str(known), "-I", name, *about, when, *options]
            if run(words, text).returncode == 0:
                return Signature("good", name, key)
    return Signature("unknown", key=key)


def _fingerprint(output: bytes) -> str | None:
    found = re.search(rb"(SHA256:\S+)", output)
    return found[1].decode() if found else None


def _path(history: History, key: str) -> Path | None:
    """A file from Git's configuration; as for Git, relative ones count from the top of the work tree."""
    value = value_of(history.config, key)
    folder = history.git_directory
    return (folder.parent if folder.name == ".git" else folder) / Path(value).expanduser() if value else None
