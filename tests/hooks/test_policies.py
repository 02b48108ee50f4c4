"""The built-in policies: what each lets through and what it stops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from example_population import fsc_rows, maps, refine

from mpop.population import Population
from mpop_hooks import Proposal, Violation, check, refusals
from mpop_hooks.schema import references_of
from mpop_store.arrays.groups import group_objects, read_group, write_group

SPECIES, ITEMS, SOURCE = "a" * 16, ("1" * 16, "2" * 16), "5" * 16
HEAD, PART = f"species/{SPECIES}.json", f"species/{SPECIES}/11.json"
ITEM = f"items/11/{ITEMS[0]}.json"
Judge = Callable[..., list[Violation]]


def said(findings: list[Violation]) -> list[str]:
    return [f"{found.rule}: {found.message}" for found in findings]


def read(population: Population, path: str) -> dict[str, Any]:
    return population.repository.read(path, "HEAD")


def test_sound_steps_pass(population: Population) -> None:
    refine(population)
    history = population.repository
    for event in ("commit", "merge", "receive"):
        assert check(Proposal.between(history, None, "HEAD~1", event)) == []
        assert check(Proposal.between(history, "HEAD~1", "HEAD", event)) == []
    assert check(Proposal.staged(history)) == []


def test_a_changed_record_with_its_old_version_is_stopped(template: Population, judge: Judge) -> None:
    found = judge({HEAD: read(template, HEAD) | {"diameter_A": 90.0}}, fit=False)
    assert said(found) == ["versions-derive: the version of this record is not the hash of its content"]
    assert str(found[0]).endswith(
        f"({HEAD}; rule versions-derive); do not edit records by hand; let mpop write them"
    )


def test_parts_of_a_species_fit_its_head(template: Population, judge: Judge) -> None:
    part, head = read(template, PART), read(template, HEAD)
    part["item_versions"] = {ITEMS[0]: "0" * 64}
    changed: dict[str, Any] = {PART: part}
    judge(changed)
    alone = {PART: changed[PART]}
    assert "versions-derive: the head of this species does not name this part" in said(judge(alone, fit=False))
    fitting_head = {HEAD: changed[HEAD]}
    message = "versions-derive: the head of the species names this part, and it is not there"
    assert message in said(judge(fitting_head, fit=False))
    assert message in said(judge({HEAD: head, PART: None}, fit=False))


def test_a_missing_object_or_part_of_a_group_is_stopped(population: Population) -> None:
    history = population.repository
    item, head = read(population, ITEM), read(population, HEAD)
    fresh = population.write_group(maps(5))
    _manifest, chunk, *_ = group_objects(population.objects, fresh)
    population.objects.path(chunk).unlink()
    changes = {
        ITEM: item | {"attachments": {"warp.xml": "0" * 64}, "model_object": "1" * 64},
        HEAD: head | {"maps_object": fresh},
    }
    found = check(Proposal.changing(history, "HEAD", changes, "receive"))
    messages = [finding.message for finding in found if finding.rule == "objects-complete"]
    assert f"object {'0' * 64} is named but is not in the store" in messages
    assert f"object {chunk} is named but is not in the store" in messages
    assert any("1" * 64 in message for message in messages)


def test_what_was_named_before_is_not_asked_for_again(population: Population) -> None:
    """A lazy clone commits without fetching what it does not touch."""
    item = population.item("TS_1")
    population.objects.path(item.model_object).unlink()
    population.stage([item.model_copy(update={"name": "TS_one"})])
    population.commit("Rename")


def test_derived_objects_may_be_missing(template: Population, judge: Judge) -> None:
    sums = {"sums": {SOURCE: {"key": "k", "group": "0" * 64}}}
    assert judge({HEAD: read(template, HEAD) | {"derived": sums}}) == []


def test_references_of_records() -> None:
    raw = [{"path": "a", "stored_object": "r"}, {"path": "b", "stored_object": None}]
    item = {"kind": "item", "model_object": "m", "warp_xml_object": "x", "tomostar_object": None, "raw": raw}
    assert references_of(item).groups == ("m", "r")
    assert references_of(item).files == ("x",)  # as the first versions wrote it
    item = {"kind": "item", "model_object": "m", "attachments": {"warp.xml": "x", "imod.xf": "y"}, "raw": raw}
    assert (references_of(item).groups, references_of(item).files) == (("m", "r"), ("x", "y"))
    part = {"kind": "species-part", "particles": {"i": "p"}, "item_versions": {"i": "v"}}
    assert references_of(part).groups == ("p",)
    head = {"kind": "species", "maps_object": "m", "derived": {"sums": {"s": {"key": "k", "group": "g"}}}}
    assert (references_of(head).groups, references_of(head).derived) == (("m",), ("g",))


@pytest.mark.parametrize(
    ("halves", "message"),
    [
        ([1, 2, 1, 0], "particles belong to neither half 1 nor 2"),
        ([2, 1, 1, 2], "2 particles have moved to the other half-set"),
        ([1, 2, 1, 2], None),
    ],
)
def test_half_sets_do_not_mix(template: Population, judge: Judge, halves: list[int], message: str | None) -> None:
    part = read(template, PART)
    arrays, attributes = read_group(template.objects, part["particles"][ITEMS[0]])
    group = write_group(template.objects, arrays | {"half": np.array(halves, np.uint8)}, attributes)
    found = judge({PART: part | {"particles": {ITEMS[0]: group}}})
    assert said(found) == ([] if message is None else [f"halves-unmixed: {message} in item {ITEMS[0]}"])


def test_a_particle_is_listed_once(template: Population, judge: Judge) -> None:
    part = read(template, PART)
    arrays, attributes = read_group(template.objects, part["particles"][ITEMS[0]])
    twice = {name: np.concatenate([values, values[:1]]) for name, values in arrays.items()}
    group = write_group(template.objects, twice, attributes | {"extra": {}})
    found = judge({PART: part | {"particles": {ITEMS[0]: group}}})
    assert said(found) == [f"halves-unmixed: a particle is listed twice in item {ITEMS[0]}"]


@pytest.mark.parametrize(
    ("claim", "shown", "message"),
    [
        (25.0, 25.0, None),
        (None, 25.0, None),
        (10.0, 25.0, "a resolution of 10.00 A is claimed, but the stored FSC shows 25.00 A"),
        (30.0, 25.0, "a resolution of 30.00 A is claimed, but the stored FSC shows 25.00 A"),
        (10.0, None, "a resolution of 10 A is claimed without an FSC"),
    ],
)
def test_the_claimed_resolution_is_that_of_the_fsc(
    template: Population, judge: Judge, claim: float | None, shown: float | None, message: str | None
) -> None:
    volumes = {name: volume for name, volume in maps(3).items() if name != "fsc"}
    curves = {} if shown is None else {"fsc": fsc_rows(shown)}
    group = template.write_group(volumes | curves)
    found = judge({HEAD: read(template, HEAD) | {"maps_object": group, "resolution_A": claim}})
    assert said(found) == ([] if message is None else [f"resolution-claim: {message}"])


DIP = [1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25, *5 * [0.2], 0.05, *5 * [0.3], *5 * [0.0]]
"""Falls below 0.143 in one shell, which in a small mask is chance, and for good behind shell 20."""
FIRST_FALL, END = 14 + 0.057 / 0.15, 20 + 0.157 / 0.3


@pytest.mark.parametrize(
    ("symmetry", "mask_voxels", "shell", "believed"),
    [
        ("C1", 400, END, True),
        ("C1", 400, FIRST_FALL, True),  # as the first versions claimed
        ("C1", 400, 19.5, False),
        ("C1", 8000, END, False),  # no chance
        ("O", 400, END, False),  # not known from a 24th of the coefficients
        ("C1", None, END, False),
    ],
)
def test_a_claim_may_lie_behind_a_dip_that_chance_explains(
    template: Population, judge: Judge, symmetry: str, mask_voxels: int | None, shell: float, believed: bool
) -> None:
    frequency = np.arange(len(DIP)) / 260.0
    volumes = maps(3) | {"fsc": np.stack([frequency, *[np.array(DIP)] * 4])}
    del volumes["mask"]
    if mask_voxels is not None:
        volumes["mask"] = (np.arange(8000).reshape(20, 20, 20) < mask_voxels).astype(np.float32)
    record = read(template, HEAD) | {"maps_object": template.write_group(volumes), "symmetry": symmetry}
    found = said(judge({HEAD: record | {"resolution_A": 260 / shell}}))
    claimed = f"resolution-claim: a resolution of {260 / shell:.2f} A is claimed, but the stored FSC shows 18.08 A"
    assert [one for one in found if "resolution" in one] == ([] if believed else [claimed])


def test_half_maps_that_agree_nowhere_support_no_claim(template: Population, judge: Judge) -> None:
    rows = fsc_rows(25.0)
    rows[1] = 0.0
    group = template.write_group(maps(3) | {"fsc": rows})
    (found,) = judge({HEAD: read(template, HEAD) | {"maps_object": group}})
    assert found.message == "a resolution of 25.00 A is claimed, but the half-maps agree nowhere"
    rows[0] = np.nan
    group = template.write_group(maps(3) | {"fsc": rows})
    (found,) = judge({HEAD: read(template, HEAD) | {"maps_object": group}})
    assert found.message == "the stored FSC holds numbers that no FSC has"


def test_a_series_goes_with_its_source_only(template: Population, judge: Judge) -> None:
    """Its particles go along."""
    gone = {f"items/{item[:2]}/{item}.json": None for item in ITEMS}
    parts = {f"species/{SPECIES}/{item[:2]}.json": None for item in ITEMS}
    found = judge({**gone, **parts})
    assert said(found) == [
        "nothing-lost: tilt series TS_1 is gone, and its source is not",
        "nothing-lost: tilt series TS_2 is gone, and its source is not",
    ]
    source = f"sources/{SOURCE}.json"
    found = judge({**gone, **parts, source: None})
    assert (said(found), refusals(found)) == (["nothing-lost: source grid1 is taken out"], [])
    found = judge({**gone, **parts, source: read(template, source) | {"items": [ITEMS[1]]}})
    message = f"nothing-lost: source grid1 no longer lists 1 of its tilt series (first: {ITEMS[0]})"
    assert message in said(found)


def test_particles_of_a_series_go_with_the_species_only(judge: Judge) -> None:
    message = f"nothing-lost: the species no longer names its particles in 1 tilt series (first: {ITEMS[0]})"
    assert said(judge({PART: None})) == [message]
    whole = {HEAD: None, PART: None, PART.replace("11.json", "22.json"): None}
    found = judge(whole)
    assert (said(found), refusals(found)) == (["nothing-lost: species ribosome is taken out"], [])
    assert judge(whole, event="commit") == []


def test_what_a_person_took_out_may_be_committed_but_not_pushed(population: Population) -> None:
    item = population.item("TS_1")
    population.stage([], remove=[item])
    (note,) = check(Proposal.staged(population.repository))
    assert (note.rule, note.severity) == ("nothing-lost", "note")
    population.commit("Take out a series")
    (found,) = check(Proposal.between(population.repository, "HEAD~1", "HEAD", "receive"))
    assert found.message == "tilt series TS_1 is gone, and its source is not"
    assert found.severity == "refuse"


def test_a_job_that_forgets_a_series_is_stopped(population: Population) -> None:
    changes: dict[str, Any] = {ITEM: None}
    (found,) = check(Proposal.changing(population.repository, "HEAD", changes, "commit"))
    assert (found.rule, found.severity) == ("nothing-lost", "refuse")


def _fork_with_a_new_particle(population: Population, halves: tuple[int, int]) -> tuple[str, str, str]:
    """Add particle 9 on two branches, each with its half-set; the ids of base, ours and theirs."""
    repository = population.repository
    base, tips = str(repository.head), []
    for half in halves:
        species = population.one_species("ribosome", base)
        arrays, attributes = read_group(population.objects, species.particles[ITEMS[0]])
        more = {name: np.concatenate([values, values[:1]]) for name, values in arrays.items()}
        more["id"][-1], more["half"][-1] = 9, half
        group = write_group(population.objects, more, attributes | {"extra": {}})
        particles = {**species.particles, ITEMS[0]: group}
        changes = population.changes([species.model_copy(update={"particles": particles})], base)
        tips.append(repository.write_commit(base, changes, [base], f"Half {half}"))
    return base, tips[0], tips[1]


@pytest.mark.parametrize(("halves", "moved"), [((1, 1), False), ((1, 2), True)])
def test_a_merge_does_not_mix_half_sets(population: Population, halves: tuple[int, int], moved: bool) -> None:
    """Taking our side of what both added is one step from us, and another one from them."""
    _, ours, theirs = _fork_with_a_new_particle(population, halves)
    repository = population.repository
    assert check(Proposal.changing(repository, ours, {}, "merge")) == []
    found = check(Proposal.joining(repository, ours, theirs, {}))
    message = f"halves-unmixed: 1 particles have moved to the other half-set in item {ITEMS[0]}"
    assert said(found) == ([message] if moved else [])


def test_a_merge_loses_nothing_of_either_side(population: Population) -> None:
    repository = population.repository
    base, ours, theirs = _fork_with_a_new_particle(population, (1, 1))
    gone: dict[str, Any] = {ITEM: None}
    found = check(Proposal.joining(repository, base, theirs, gone))
    assert said(found) == ["nothing-lost: tilt series TS_1 is gone, and its source is not"]
    as_theirs = {path: repository.read(path, theirs) for path in repository.changes(ours, theirs)}
    assert Proposal.joining(repository, ours, theirs, as_theirs).records == {}
