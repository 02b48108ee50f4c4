"""Text on its way to a terminal: what came from data must not command it.

A commit message may hold the sequences that move the cursor, set the title, turn the direction of writing round or
hide what follows. Everything that mpop prints passes through `visible`; `tests/cli/test_terminal.py` holds that.
"""

from __future__ import annotations

import sys
import unicodedata
from typing import TextIO


def visible(text: str) -> str:
    """The text with every character that cannot be seen written as Python would, `\\x1b`; lines and tabs stay."""
    return "\n".join(line if line.isprintable() else "".join(map(_seen, line)) for line in text.split("\n"))


def _seen(character: str) -> str:
    if character.isprintable() or character == "\t" or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode()


def show(text: str, file: TextIO | None = None, flush: bool = False) -> None:
    """Print a text on standard output, or to a file such as standard error.

    Characters that its encoding does not have are written as Python would.
    """
    file = sys.stdout if file is None else file
    if file is None:  # closed, as `>&-` does
        return
    encoding = file.encoding or "utf-8"
    print(visible(text).encode(encoding, "backslashreplace").decode(encoding), file=file, flush=flush)
