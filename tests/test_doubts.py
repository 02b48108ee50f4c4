"""The vocabulary of doubts: one line for each, and only grave ones stop."""

from __future__ import annotations

import pytest

from mpop.doubts import Doubt, DoubtfulInputError, settle

NOTED = Doubt("exposure-missing", "TS_1.xml", "no exposure", assumed="taken as 0")
GRAVE = Doubt(
    "coordinates-units",
    "a.star",
    "coordinates up to 4000",
    "the tomogram has 1000 px",
    way_on="give --angpix-coords",
    grave=True,
)


def test_a_doubt_is_one_line_of_its_parts() -> None:
    assert str(NOTED) == "TS_1.xml: no exposure; taken as 0"
    assert str(GRAVE) == "a.star: coordinates up to 4000, but the tomogram has 1000 px; give --angpix-coords"


def test_after_a_question_begins_a_new_sentence() -> None:
    asked = Doubt(
        "mask-beside", "mask.mrc", "it is 0 there: is it the right file?", way_on="give another", grave=True
    )
    assert str(asked) == "mask.mrc: it is 0 there: is it the right file? Give another"
    asks_last = Doubt("mask-beside", "mask.mrc", "it is 0 there", way_on="is it the right file?", grave=True)
    assert str(DoubtfulInputError([asks_last])).endswith("; is it the right file? Insist with --force")


def test_grave_doubts_stop_and_say_how_to_insist() -> None:
    with pytest.raises(DoubtfulInputError, match=r"coordinates up to 4000.*insist with --force") as caught:
        settle([NOTED, GRAVE], force=False)
    assert caught.value.doubts == [GRAVE]
    assert caught.value.exit_code == 2


def test_noted_and_forced_doubts_go_on() -> None:
    assert settle([NOTED], force=False) == [NOTED]
    assert settle([NOTED, GRAVE], force=True) == [NOTED, GRAVE]
