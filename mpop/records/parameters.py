"""What a job was asked for, as its record holds it: one way to write it and to read it, for all verbs.

A record holds plain JSON values under the names of the fields. Defaults are those of the models, and are stated
nowhere else. The hash of a job covers its parameters, so a field that came later says what its absence means:

    class FilterParameters(Parameters):
        steps: int = 100
        prior: Annotated[str, Absent("fsc")] = "fsc"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import BaseModel, ConfigDict


@dataclass(frozen=True)
class Absent:
    """Marks a field that not all records have, and the value that it stands for where it is absent."""

    means: Any


class Parameters(BaseModel):
    """Base of the parameters of all verbs: unknown fields are refused, values do not change in place."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def recorded(self) -> dict[str, Any]:
        """As a record holds them: plain JSON values, without those whose absence says the same."""
        absent = self._absent()
        values = self.model_dump(mode="json")
        return {name: value for name, value in values.items() if name not in absent or value != absent[name]}

    @classmethod
    def from_record(cls, recorded: Mapping[str, Any]) -> Self:
        """Those that a record holds. Raises pydantic.ValidationError for what the model does not know."""
        return cls.model_validate({**cls._absent(), **recorded})

    @classmethod
    def _absent(cls) -> dict[str, Any]:
        return {
            name: mark.means
            for name, field in cls.model_fields.items()
            for mark in field.metadata
            if isinstance(mark, Absent)
        }
