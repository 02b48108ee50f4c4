"""Names of series in tables: what programs add to them does not matter, unless two series could be meant."""

from __future__ import annotations

import pytest

from mpop.jobs.importing.series_names import match_names


@pytest.mark.parametrize(
    "name",
    ["TS_01", "TS_01_10.00Apx", "TS_01_Vol", "TS_01_rec", "rec_TS_01", "TS_01_ali_bin4", "TS_01.mrc_7.88Apx"],
)
def test_known_decorations_are_taken_off(name: str) -> None:
    for names, series in (([name], ["TS_01", "TS_010", "TS_1", "01"]), (["TS_01"], [name, "TS_010"])):
        found = match_names(names, series)
        assert found.matched == {names[0]: series[0]}
        assert (found.several, found.guessed) == ({}, set())


@pytest.mark.parametrize("name", ["TS_01_ribosome", "lamella_TS_01_corrected", "grid.TS_01"])
def test_other_words_around_a_name_are_a_guess(name: str) -> None:
    found = match_names([name], ["TS_01", "TS_010", "S_01"])
    assert (found.matched, found.guessed) == ({name: "TS_01"}, {name})


def test_names_that_overlap_are_kept_apart() -> None:
    series = ["TS_1", "TS_1_2", "TS_10", "TS_11"]
    names = [*series, "TS_2", "TS_1_3"]
    assert match_names(names, series).matched == {one: one for one in series}
    decorated = [f"{one}_10.00Apx" for one in series]
    assert match_names(decorated, series).matched == dict(zip(decorated, series, strict=True))


@pytest.mark.parametrize("name", ["TS_01_2", "TS_01_02_Vol", "1_TS_01", "TS_011", "XTS_01"])
def test_a_number_beside_a_name_is_another_series(name: str) -> None:
    found = match_names([name], ["TS_01"])
    assert (found.matched, found.several) == ({}, {})


def test_what_could_be_two_series_is_neither() -> None:
    found = match_names(["TS_a_b_x"], ["TS_a", "b_x"])
    assert (found.matched, found.several) == ({}, {"TS_a_b_x": ["TS_a", "b_x"]})
    found = match_names(["TS_01_Vol", "TS_01_rec"], ["TS_01"])
    assert (found.matched, found.several) == ({}, {"TS_01_Vol": ["TS_01"], "TS_01_rec": ["TS_01"]})
    found = match_names(["TS_01_Vol"], ["TS_01_rec", "TS_01_bin4"])
    assert found.matched == {}


def test_a_series_with_its_own_name_in_the_table_is_not_meant_by_another() -> None:
    found = match_names(["TS_01", "TS_01_Vol"], ["TS_01"])
    assert found.matched == {"TS_01": "TS_01"}
    assert found.several == {}
