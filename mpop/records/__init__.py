"""The data model: typed records (in Git) and the arrays they name (in the store)."""

from mpop.records.models import (
    FailedSeries,
    ItemRecord,
    JobRecord,
    PopulationRecord,
    RawImage,
    Record,
    SourceRecord,
    SpeciesHead,
    SpeciesPart,
    SpeciesRecord,
)
from mpop.records.stack import SeriesModel, StackModel
from mpop.records.tilt_series import (
    CTFModel,
    LinearGrid4D,
    ParticleSet,
    SplineGrid,
    TiltSeriesModel,
    constant_grid,
    constant_grid_4d,
)

__all__ = [
    "CTFModel",
    "FailedSeries",
    "ItemRecord",
    "JobRecord",
    "LinearGrid4D",
    "ParticleSet",
    "PopulationRecord",
    "RawImage",
    "Record",
    "SeriesModel",
    "SourceRecord",
    "SpeciesHead",
    "SpeciesPart",
    "SpeciesRecord",
    "SplineGrid",
    "StackModel",
    "TiltSeriesModel",
    "constant_grid",
    "constant_grid_4d",
]
