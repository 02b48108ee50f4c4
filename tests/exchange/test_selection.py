"""Which data a clone was made with is kept in Git's configuration, and read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpop.errors import InputError
from mpop.exchange.selection import Data

NAMES = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=12)


@given(names=st.lists(NAMES, min_size=1, max_size=4))
def test_species_of_any_name_are_remembered(names: list[str]) -> None:
    data = Data("species", tuple(names))
    assert Data.parse(str(data)) == data


@pytest.mark.parametrize("data", [Data(), Data("current"), Data("none")])
def test_kinds_are_remembered(data: Data) -> None:
    assert Data.parse(str(data)) == data
    assert Data.parse(None) == Data() == Data("all")


@pytest.mark.parametrize("text", ["everything", "species", "all ribosome", "species 'unfinished", "none none"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="which data to fetch"):
        Data.parse(text)
