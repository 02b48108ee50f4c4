"""report.json and report.html."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
from lxml import html

from mpop.jobs.evaluate import Evaluation, Stages
from mpop.reports.refinement import RunFacts, report_data, report_html, write_report


def test_top_level_holds_means_over_species(evaluation: Evaluation, facts: RunFacts) -> None:
    first, second = evaluation.species
    second = dataclasses.replace(
        second, resolution_A=Stages(15.2, 9.6, 9.2), position_rms_A=Stages(6.03, 1.11, 0.0), gap_closed=0.87
    )
    data = report_data(Evaluation([first, second], evaluation.warps), facts)
    assert data["resolution_A"] == pytest.approx({"before": 16.2, "after": 8.6, "ceiling": 8.2})
    assert data["position_rms_A"] == pytest.approx({"before": 5.93, "after": 0.91, "ceiling": 0.0})
    assert data["gap_closed"] == pytest.approx(0.90)
    assert data["species"]["asymmetric"]["resolution_A"] == {"before": 15.2, "after": 9.6, "ceiling": 9.2}


def test_holds_what_programs_are_promised(evaluation: Evaluation, facts: RunFacts) -> None:
    data = report_data(evaluation, facts)
    stages = {"before", "after", "ceiling"}
    for key in ("resolution_A", "fsc_area", "position_rms_A"):
        assert set(data[key]) == stages
        assert all(set(one[key]) == stages for one in data["species"].values())
    assert data["wall_s"] == 402.4
    assert data["peak_GiB"] == 2.13
    assert data["commit"] == facts.commit
    assert data["verified"] is True


def test_unknown_numbers_stay_unknown(evaluation: Evaluation, facts: RunFacts) -> None:
    """A species without resolution or gap makes the mean unknown, and the JSON stays JSON."""
    lost = dataclasses.replace(evaluation.species[1], resolution_A=Stages(None, 8.0, 7.0), gap_closed=None)
    data = report_data(Evaluation([evaluation.species[0], lost], evaluation.warps), facts)
    assert data["resolution_A"] == {"before": None, "after": pytest.approx(7.8), "ceiling": pytest.approx(7.1)}
    assert data["gap_closed"] is None
    json.dumps(data, allow_nan=False)


def test_page_shows_the_numbers(evaluation: Evaluation, facts: RunFacts) -> None:
    page = html.fromstring(report_html(evaluation, facts, "mpop demo", "What this is"))
    headline = [" ".join(node.text_content().split()) for node in page.find_class("number")]
    assert "17.2 → 7.6 Å ferritin-like, resolution".replace(" Å f", " Åf") in headline
    assert any(text.startswith("5.8 → 0.7 Å") for text in headline)
    assert any(text.startswith("90 %") for text in headline)
    rows = [[cell.text_content() for cell in row] for row in page.xpath("//tbody/tr")]
    assert rows[0] == [
        "ferritin-like O", "260", "17.2 Å", "7.6 Å", "7.2 Å", "5.83 Å", "0.71 Å", "2.61°", "0.92°", "93 %",
    ]  # fmt: skip
    assert page.xpath("//pre")[0].text == facts.log


def test_damage_and_failure_are_seen(evaluation: Evaluation, facts: RunFacts) -> None:
    poor = [dataclasses.replace(one, gap_closed=0.5) for one in evaluation.species]
    page = html.fromstring(
        report_html(
            Evaluation(poor, evaluation.warps), dataclasses.replace(facts, verified=False), "mpop demo", ""
        )
    )
    assert [node.text for node in page.find_class("bad")] == ["50 %", "damaged"]


def test_page_needs_nothing_from_outside(evaluation: Evaluation, facts: RunFacts) -> None:
    text = report_html(evaluation, facts, "mpop demo", "")
    page = html.fromstring(text)
    assert not page.xpath("//script | //link | //iframe | //img")
    links = re.findall(r"(?:href|src|url)\s*[=(]\s*[\"']?([^\"')>\s]+)", text)
    assert {link.split(":")[0].split("#")[0] for link in links} <= {"", "data"}
    assert len(page.xpath("//*[local-name()='svg'][@role='img'][@aria-label]")) == 7


def test_writes_both_files_whole(evaluation: Evaluation, facts: RunFacts, tmp_path: Path) -> None:
    path = write_report(tmp_path, evaluation, facts, "mpop demo", "")
    assert path == tmp_path / "report.html"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["report.html", "report.json"]
    assert json.loads((tmp_path / "report.json").read_text()) == report_data(evaluation, facts)
