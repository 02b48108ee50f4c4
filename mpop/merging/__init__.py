"""Merging two histories of one population: three-way, by typed keys, never by text.

`plan` says what a merge would do and writes nothing; `merge` does it, or leaves a state that `resolve`,
`continue_merge` and `abort` go on from.
"""

from mpop.merging.conflicts import Better, Conflict, Numbers, PoolPreview, Way
from mpop.merging.due import Due
from mpop.merging.merge import MergeResult, abort, continue_merge, merge, resolve
from mpop.merging.plan import MergePlan, plan
from mpop.merging.state import MergeState, waiting_merge

__all__ = [
    "Better",
    "Conflict",
    "Due",
    "MergePlan",
    "MergeResult",
    "MergeState",
    "Numbers",
    "PoolPreview",
    "Way",
    "abort",
    "continue_merge",
    "merge",
    "plan",
    "resolve",
    "waiting_merge",
]
