"""What items are called."""

from __future__ import annotations

import pytest

from mpop.words import counted_items, item_noun

SERIES, STACK = "tilt-series", "particle-stack"


@pytest.mark.parametrize(
    ("number", "types", "words"),
    [
        (1, [SERIES], "1 tilt series"),
        (2, [SERIES], "2 tilt series"),
        (1, [STACK], "1 stack"),
        (2, [STACK], "2 stacks"),
        (1, [STACK, SERIES], "1 item"),
        (2, [], "2 items"),
    ],
)
def test_items_are_called_after_their_source(number: int, types: list[str], words: str) -> None:
    assert counted_items(number, types) == words
    assert words == f"{number} {item_noun(types, several=number > 1)}"
