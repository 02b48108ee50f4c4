"""The plain sentence with which a job on maps answers what the user came to ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Tone = Literal["", "good", "warn", "bad"]


@dataclass(frozen=True)
class Verdict:
    """One sentence, and lines that say why."""

    tone: Tone
    sentence: str
    reasons: Sequence[str] = ()
