"""What populations, sources, series and species may be called: asked where they are added, and of what comes."""

from __future__ import annotations

from typing import Any

from mpop_store import InputError

MAX_NAME = 200
"""Bytes of the longest name: with what exports add to it, it still is the name of a file."""


def problem_with_name(name: Any) -> str | None:
    """Why something cannot be a name, in words; None if it can.

    Names are for people, and programs make file names of them.
    """
    if not isinstance(name, str):
        return "a name is text"
    if not name.strip():
        return "a name cannot be empty"
    if not name.isprintable():
        return "it holds characters that cannot be printed"
    if name != name.strip():
        return "a name cannot begin or end with a blank"
    if name.startswith((".", "-")):
        return "a name cannot begin with a dot or a hyphen"
    if {"/", "\\"} & set(name):
        return "a name cannot hold / or \\"
    if len(name.encode()) > MAX_NAME:
        return f"a name cannot be longer than {MAX_NAME} bytes"
    return None


def is_name(name: Any) -> bool:
    """Whether this can be a name."""
    return problem_with_name(name) is None


def require_name(what: str, name: str) -> None:
    """Raise InputError for what cannot be a name. what: that is to be called so."""
    if problem := problem_with_name(name):
        shown = repr(name) if len(name) <= MAX_NAME else f"{name[:40]!r}..."
        raise InputError(f"a {what} cannot be called {shown}: {problem}")
