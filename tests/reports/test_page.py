"""The page that all commands on maps write."""

from __future__ import annotations

import pytest

from mpop.reports.page import Page, Verdict, angstrom_signs, render


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("from 8.00 to 38.51 A, more", "from 8.00 to 38.51 Å, more"),
        ("not supported beyond 32 A.", "not supported beyond 32 Å."),
        ("B-factor -80 A^2 of protein A at 4 Angstrom", "B-factor -80 Å^2 of protein A at 4 Angstrom"),
    ],
)
def test_angstrom_is_written_out(said: str, shown: str) -> None:
    assert angstrom_signs(said) == shown


def test_the_verdict_stands_at_the_top_and_the_command_at_the_end() -> None:
    verdict = Verdict("warn", "Even to 4.2 A, but <look>.", ["Worst at 5 A."])
    text = render(Page("Resolution of x", "Of maps.", verdict, footer="mpop fsc 'a b'"))
    places = [
        text.index(part)
        for part in (
            "<h1>Resolution of x</h1>",
            "<h2>Even to 4.2 Å, but &lt;look&gt;.</h2>",
            "<li>Worst at 5 Å.</li>",
            "<code>mpop fsc &#39;a b&#39;</code>",
        )
    ]
    assert places == sorted(places)
    assert "<script" not in text and "src=" not in text and "<link" not in text
