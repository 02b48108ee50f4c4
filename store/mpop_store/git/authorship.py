"""Who commits, and when, as Git would say it."""

from __future__ import annotations

import datetime
import email.utils
import getpass
import os
import socket

import pygit2

from mpop_store.errors import InputError


def signature(role: str, config: pygit2.Config) -> pygit2.Signature:
    """Signature of the "AUTHOR" or the "COMMITTER".

    The environment comes before Git's configuration, that before the login name. GIT_<role>_DATE, or else
    SOURCE_DATE_EPOCH, sets the time, so that the same content can be given the same commit id again.
    """
    name = os.environ.get(f"GIT_{role}_NAME") or _configured(config, "user.name") or _login()
    mail = os.environ.get(f"GIT_{role}_EMAIL") or _configured(config, "user.email")
    mail = mail or f"{_login()}@{socket.gethostname()}"
    date = os.environ.get(f"GIT_{role}_DATE") or os.environ.get("SOURCE_DATE_EPOCH")
    moment = parse_date(date) if date else datetime.datetime.now().astimezone()
    offset = moment.utcoffset() or datetime.timedelta(0)
    return pygit2.Signature(name, mail, int(moment.timestamp()), int(offset.total_seconds() // 60))


def _configured(config: pygit2.Config, key: str) -> str | None:
    """The value that counts: of a population's own configuration, the user's and the machine's, the nearest."""
    return next(iter([*config.get_multivar(key)][::-1]), None)


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user id without a name
        return "user"


def moment(seconds: int, offset_minutes: int) -> datetime.datetime:
    """A time in a commit. What no calendar has is shown as 1970, as Git does."""
    try:
        zone = datetime.timezone(datetime.timedelta(minutes=offset_minutes))
        return datetime.datetime.fromtimestamp(seconds, zone)
    except (ValueError, OverflowError, OSError):
        return datetime.datetime.fromtimestamp(0, datetime.UTC)


def parse_date(text: str) -> datetime.datetime:
    """`<seconds>` or `@<seconds>`, either with `+hhmm`, ISO 8601, or RFC 2822. Raises InputError."""
    words = text.strip().removeprefix("@").split()
    try:
        if words[0].isdigit():
            zone = datetime.datetime.strptime(words[1], "%z").tzinfo if len(words) > 1 else datetime.UTC
            return datetime.datetime.fromtimestamp(int(words[0]), zone)
        if words[0].endswith(","):
            return email.utils.parsedate_to_datetime(text)
        moment = datetime.datetime.fromisoformat(text.strip())
        return moment if moment.tzinfo else moment.astimezone()
    except (ValueError, IndexError, OverflowError) as error:
        raise InputError(f"the date {text!r} in the environment is not one that Git writes") from error
