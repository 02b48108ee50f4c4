"""What fields of records may hold."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mpop_hooks.fields import Hex, by, each

SOUND = "0123456789abcdef" * 4
IDS = re.compile(r"[0-9a-f]{16}(?:[0-9a-f]{48})?")
VALUES = [
    SOUND,
    SOUND[:16],
    SOUND[:63],
    SOUND[:17],
    SOUND.upper(),
    SOUND[:63] + "g",
    SOUND[:63] + "\n",
    SOUND + "\n",
    " " + SOUND[1:],
    SOUND[:63] + "\N{ARABIC-INDIC DIGIT ONE}",
    SOUND[:63] + "\ud800",
    "",
    SOUND.encode(),
    [*SOUND],
    7,
    True,
    None,
]


@pytest.mark.parametrize("value", VALUES, ids=ascii)
def test_ids_are_hexadecimal_alone_and_among_others(value: Any) -> None:
    """As a pattern says of each; many are looked at together, where one must not hide behind another."""
    an_id = Hex(16, 64)
    expected = isinstance(value, str) and IDS.fullmatch(value) is not None
    assert an_id(value) is expected
    assert each(an_id)([SOUND, value, SOUND]) is expected
    assert by(an_id, an_id)({SOUND: value, SOUND[:16]: SOUND}) is expected
    if not isinstance(value, list):
        assert by(an_id, an_id)({value: SOUND, SOUND: SOUND}) is expected


def test_lengths_do_not_make_up_for_each_other() -> None:
    assert not each(Hex(64))([SOUND[:32], SOUND + SOUND[:32]])
