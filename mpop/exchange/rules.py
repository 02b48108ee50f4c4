"""What holds for a population that others push to."""

from __future__ import annotations

from mpop_hooks.histories import check_pushed, with_rules
from mpop_store.transfer.remotes import Rules

RULES = Rules(with_rules, check_pushed)
