"""Every error mpop raises on purpose.

    MpopError                      exit 1   anything mpop refuses or cannot do
    ├── InputError                 exit 2   a file, option or value given by the user is wrong
    ├── NotFoundError              exit 3   no such population, record, revision or name
    ├── StateError                 exit 4   the population is not in a state that allows this
    │   └── OvertakenError                  others changed what a job was about to change
    └── StoreError                 exit 5   the store cannot do its work (disk full, no permission)
        ├── MissingObjectError              an object is named but not here
        └── DamagedObjectError              an object's bytes do not match its name

A message is one line: what is wrong, where, and what to do about it.
"""

from __future__ import annotations


class MpopError(Exception):
    """Base of all errors raised on purpose; `exit_code` is what the command line returns."""

    exit_code = 1


class InputError(MpopError):
    """A file, option or value that the user gave is wrong."""

    exit_code = 2


class NotFoundError(MpopError):
    """No such population, record, revision or name."""

    exit_code = 3


class StateError(MpopError):
    """The population is not in a state that allows the request."""

    exit_code = 4


class OvertakenError(StateError):
    """Others changed the records that a job was about to change."""


class StoreError(MpopError):
    """The store cannot do its work."""

    exit_code = 5


class MissingObjectError(StoreError):
    """An object is named by a record but is not in the store."""


class DamagedObjectError(StoreError):
    """The bytes of an object do not match its name."""


class TooLargeError(StoreError):
    """An object that is in order, but holds more than was expected of it."""
