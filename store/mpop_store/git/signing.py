"""Signatures of commits and tags, made with ssh keys as Git does it (`gpg.format=ssh`).

A signature covers the commit, the commit its tree and parents, and the records in them name every array by its
hash: one signature vouches for everything back to the raw images. What is configured for Git holds here:
`commit.gpgSign`, `tag.gpgSign`, `user.signingKey`, `gpg.ssh.program`, `gpg.ssh.allowedSignersFile` and
`gpg.ssh.revocationFile`. The system's `ssh-keygen` does the cryptography.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pygit2

from mpop_store.errors import InputError, StateError

NAMESPACE = "git"
Signer = Callable[[bytes], str]
"""Text in, its signature out."""


def signer(config: pygit2.Config, kind: Literal["commit", "tag"]) -> Signer | None:
    """How commits or tags are to be signed, None when they are not. Raises InputError for what cannot be done."""
    if not flag(config, f"{kind}.gpgSign"):
        return None
    if (form := value_of(config, "gpg.format") or "openpgp") != "ssh":
        raise InputError(
            f"Git is configured to sign with {form} ({kind}.gpgSign), and mpop signs with ssh keys only; "
            f"set gpg.format to ssh, or {kind}.gpgSign to false in this population"
        )
    key = value_of(config, "user.signingKey")
    if not key:
        raise InputError(f"{kind}.gpgSign is set, but no key: `git config user.signingKey ~/.ssh/id_ed25519.pub`")
    keygen = program(config)
    return lambda text: _sign(keygen, key, text)


def _sign(keygen: str, key: str, text: bytes) -> str:
    literal = key.removeprefix("key::")
    with temporary(f"{literal}\n".encode() if literal.startswith(("ssh-", "ecdsa-", "sk-")) else None) as file:
        path = file or Path(key).expanduser()
        done = run([keygen, "-Y", "sign", "-n", NAMESPACE, "-f", str(path)], text)
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        raise StateError(f"cannot sign with {key}: {reason[-1] if reason else 'ssh-keygen failed'}")
    return done.stdout.decode()


def run(words: list[str], text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a program that makes or checks signatures. Raises StateError where there is none."""
    try:
        return subprocess.run(words, input=text, capture_output=True, check=False)
    except OSError as error:
        raise StateError(f"{words[0]} is needed for signatures and cannot be run: {error.strerror}") from error


@contextmanager
def temporary(content: bytes | None) -> Iterator[Path | None]:
    """A file with some content while it is needed; None for none."""
    if content is None:
        yield None
        return
    with tempfile.NamedTemporaryFile(prefix="mpop-") as file:
        file.write(content)
        file.flush()
        yield Path(file.name)


def program(config: pygit2.Config) -> str:
    """What makes and checks signatures."""
    return value_of(config, "gpg.ssh.program") or "ssh-keygen"


def value_of(config: pygit2.Config, key: str) -> str | None:
    """The last value of a key, which counts in Git."""
    return next(iter([*config.get_multivar(key)][::-1]), None)


def flag(config: pygit2.Config, key: str) -> bool:
    """Whether a key is true. Raises InputError for what is neither true nor false."""
    try:
        return key in config and config.get_bool(key)
    except ValueError as error:
        raise InputError(f"{key} in Git's configuration is neither true nor false") from error
