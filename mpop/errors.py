"""mpop's errors under one roof: the store's tree and what the science adds to it."""

from __future__ import annotations

from mpop_store.errors import (
    DamagedObjectError,
    InputError,
    MissingObjectError,
    MpopError,
    NotFoundError,
    OvertakenError,
    StateError,
    StoreError,
)

__all__ = [
    "UNUSABLE",
    "BlankImageError",
    "DamagedObjectError",
    "InputError",
    "MissingObjectError",
    "MpopError",
    "NotFoundError",
    "OvertakenError",
    "RefinementError",
    "StateError",
    "StoppedError",
    "StoreError",
]


class BlankImageError(InputError):
    """An image of which hardly any pixel was measured."""


class RefinementError(MpopError):
    """A job met numbers it must not go on with (zero or non-finite score, every series lost)."""

    exit_code = 6


UNUSABLE = (InputError, RefinementError, MissingObjectError, DamagedObjectError)
"""What is wrong with one series and no reason to stop; a full disk is not among them."""


class StoppedError(MpopError):
    """Ctrl-C in a job that can say how to go on from where it was."""

    exit_code = 130
