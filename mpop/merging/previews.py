"""What pooling would give, before anybody decides for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mpop.errors import MpopError
from mpop.merging.conflicts import PoolPreview
from mpop.merging.joining import particle_count
from mpop.merging.pooling import ItemOf, PoolPlan, fsc_columns, plan_pool, pool
from mpop.merging.species import UNWRITTEN, SpeciesMerge
from mpop.merging.three_way import Side
from mpop.run import Run
from mpop.words import counted_items
from mpop_store.threads import allowed


def preview_pool(merge: SpeciesMerge, item_of: ItemOf, item_sides: Mapping[str, Side]) -> PoolPreview:
    """Whether a species can be pooled, and what comes out: its half-maps are made, to know their FSC.

    Nothing is written. Where raw images must be read again, the half-maps are left to the merge itself.
    """
    ours, theirs = merge.head("ours").resolution_A, merge.head("theirs").resolution_A
    try:
        plan = plan_pool(merge, item_of, item_sides, write=False)
    except MpopError as error:
        return PoolPreview(False, str(error), ours, theirs)
    angle, distance = plan.alignment.angle_deg, plan.alignment.distance_A
    found = PoolPreview(True, "", ours, theirs, rotation_deg=angle, shift_A=distance)
    if plan.reread:
        reason = (
            f"the raw images of {counted_items(len(plan.reread), merge.three.source_types)} must be read again; "
            f"`--resolve species/{merge.id}=pool` does it"
        )
        return replace(found, reason=reason, reread=len(plan.reread))
    reason = f"the two maps lie alike to {plan.alignment.displacement_A:.2f} A; no raw image is needed"
    try:
        with Run(threads=allowed()).limits():  # of libraries that came with this module
            report = pool(plan).report
    except MpopError as error:
        return replace(found, possible=False, reason=str(error))
    curves = fsc_columns(merge, report)
    return replace(found, reason=reason, pooled_A=report.resolution_A, particles=_particles(plan), fsc=curves)


def _particles(plan: PoolPlan) -> int:
    """Particles that the pooled half-maps are made of."""
    groups = [group for source in plan.sources.values() for _, group in source.wanted.values()]
    return sum(particle_count(plan.merge.three.population, group) for group in groups if group != UNWRITTEN)
