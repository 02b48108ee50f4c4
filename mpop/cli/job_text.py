"""A job in a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def job_line(identity: str, verb: str, parameters: Mapping[str, Any], seed: int) -> str:
    """Its id, its verb, and what it was asked for; the seed where there is chance in it, or one was recorded."""
    from mpop.jobs.verbs import VERBS

    plain = {name: value for name, value in parameters.items() if not (value is None or isinstance(value, dict))}
    settings = ", ".join(f"{name}={value}" for name, value in plain.items())
    known = VERBS.get(verb)
    chance = f"seed {seed}" if seed or known is None or known.seeded else ""
    asked = "; ".join(part for part in (settings, chance) if part)
    return f"job {identity[:10]}: {verb}" + (f" ({asked})" if asked else "")
