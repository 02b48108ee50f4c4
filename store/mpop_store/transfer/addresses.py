"""Where a remote is: a folder, `user@host:path`, or `ssh://user@host:port/path`.

An address may come from a stranger's configuration or a web page, and parts of it end up on a command line:
whatever could be taken for an option is refused.
"""

from __future__ import annotations

import os
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from mpop_store.errors import InputError

HOST = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9._-]*")
USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")
REMOTE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
ADVICE = "give a folder, user@host:path, or ssh://user@host:port/path"


@dataclass(frozen=True)
class DirectoryAddress:
    """A population in a folder of this machine, or on a shared disk."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class SshAddress:
    """A population on another machine. path: from the home folder there unless it begins with `/`."""

    host: str
    path: str
    user: str | None = None
    port: int | None = None

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        if self.port is None:
            return f"{user}{self.host}:{self.path}"
        return f"ssh://{user}{self.host}:{self.port}{self.path if self.path.startswith('/') else f'/{self.path}'}"

    @property
    def destination(self) -> str:
        """What ssh connects to."""
        host = self.host.strip("[]")
        return f"{self.user}@{host}" if self.user else host


Address = DirectoryAddress | SshAddress


def parse_address(text: str, relative_to: Path) -> Address:
    """The address that a user or Git's configuration gives. Raises InputError."""
    if not text or not text.isprintable():
        raise InputError(f"{text!r} is not an address of a population; {ADVICE}")
    if "://" in text:
        return _from_url(text)
    colon, slash = text.find(":"), text.find("/")
    if colon > 0 and (slash < 0 or colon < slash):
        return _scp_like(text)
    return DirectoryAddress(Path(os.path.abspath(relative_to / Path(text).expanduser())))


def _from_url(text: str) -> Address:
    try:
        parts = urllib.parse.urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise InputError(f"{text!r} is not an address: {error}; {ADVICE}") from error
    path = urllib.parse.unquote(parts.path)
    if parts.scheme == "file" and not parts.netloc:
        return DirectoryAddress(Path(path))
    if parts.scheme not in ("ssh", "git+ssh", "ssh+git"):
        raise InputError(f"mpop cannot exchange data over {parts.scheme}:// ({text}); {ADVICE}")
    if parts.password or parts.query or parts.fragment:
        raise InputError(f"{text!r} holds more than user, host, port and path; {ADVICE}")
    where = parts.netloc.rpartition("@")[2].removesuffix(f":{port}")
    return _ssh(text, parts.username, where, port, path.removeprefix("/") if path.startswith("/~") else path)


def _scp_like(text: str) -> SshAddress:
    found = re.fullmatch(r"(?:([^@:/]*)@)?(\[[^\]]*\]|[^:\[\]]*):(.*)", text)
    if found is None or found[3].startswith(":"):  # Git's `helper::address`
        raise InputError(f"{text!r} is not an address of a population; {ADVICE}")
    return _ssh(text, found[1], found[2], None, found[3])


def _ssh(text: str, user: str | None, host: str, port: int | None, path: str) -> SshAddress:
    if not HOST.fullmatch(host) or (user is not None and not USER.fullmatch(user)):
        raise InputError(f"{text!r} names no host that ssh could be sent to; {ADVICE}")
    if not path or not path.isprintable():
        raise InputError(f"{text!r} does not say which folder on {host}; {ADVICE}")
    return SshAddress(host, path, user, port)


def check_remote_name(name: str) -> str:
    """The name of a remote, such as origin. Raises InputError."""
    if not REMOTE_NAME.fullmatch(name) or name.endswith((".", ".lock")) or ".." in name:
        raise InputError(f"{name!r} cannot be the name of a remote; use letters, digits, `.`, `_` and `-`")
    return name
