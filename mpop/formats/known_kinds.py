"""Kinds of file that mpop knows of, for messages: what a file is that is not what was asked for, and the way on.

Asked only when reading has failed: a file that can be read is never refused for its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # maps wait for nothing else
    import pandas as pd

BEGIN = 4096
"""Bytes that are looked at."""
CONVERT_MAP = "convert it to MRC, as with e2proc3d.py of EMAN2"
IN_WARP = "import it in Warp, and give mpop Warp's project with --warp"
TO_RELION = "convert it to a STAR file of RELION"


@dataclass(frozen=True)
class Kind:
    """what: with its article. way_on: what the user can do."""

    what: str
    way_on: str = ""


MRC = Kind("an MRC image or map")
STAR = Kind("a STAR file")
HDF = Kind("an HDF5 file", CONVERT_MAP)
GZIP = Kind("a file packed by gzip", "unpack it")
TIFF = Kind("a TIFF image")
SETTINGS = Kind("the settings of a Warp project", "give it to `mpop source add --warp`")
MODEL = Kind("an atomic model")
PARTICLES = Kind("a table of particles")
XML = Kind("XML")
TEXTS = {"{": Kind("JSON"), "<": XML}
"""How text begins, what it is."""

CONTENTS: tuple[tuple[int, bytes, Kind], ...] = (
    (0, b"\x89HDF\r\n\x1a\n", HDF),
    (0, b"IMODV1", Kind("a model of IMOD", "get its points with model2point, and make a particle table of them")),
    (208, b"MAP ", MRC),
    (0, b"\x89PNG", Kind("a PNG picture")),
    (0, b"\xff\xd8\xff", Kind("a JPEG picture")),
    (0, b"PK\x03\x04", Kind("a ZIP archive", "unpack it")),
    (0, b"BZh", Kind("a file packed by bzip2", "unpack it")),
    (0, b"\x1f\x8b", GZIP),
    (0, b"(\xb5/\xfd", Kind("a file packed by zstd", "unpack it")),
    (0, b"\x80\x04", Kind("a pickle of Python, as of cryoDRGN", TO_RELION)),
)
"""Where, which bytes, what it is."""

CRYOSPARC = Kind("a table of cryoSPARC", f"{TO_RELION} with csparc2star.py of pyem")
MOVIE = Kind("an EER movie", "average its frames in Warp (fs_motion), and give the average")
ALIGNMENT = Kind("a file of an alignment by IMOD or AreTomo", IN_WARP)

SUFFIXES: dict[str, Kind] = {
    ".cs": CRYOSPARC,
    ".em": Kind(
        "an EM file of TOM, AV3 or Dynamo", f"{CONVERT_MAP}; a list of particles, {TO_RELION} with cryoCAT"
    ),
    ".tbl": Kind("a table of Dynamo", f"{TO_RELION} with dynamo2warp of dynamo2m"),
    ".eer": MOVIE,
    ".mod": Kind("a model", "get its points with model2point of IMOD, and make a particle table of them"),
    ".spi": Kind("a file of SPIDER", CONVERT_MAP),
    ".hed": Kind("a file of IMAGIC", CONVERT_MAP),
    ".img": Kind("a file of IMAGIC", CONVERT_MAP),
    ".dm3": Kind("an image of DigitalMicrograph", "convert it to MRC with dm2mrc of IMOD"),
    ".dm4": Kind("an image of DigitalMicrograph", "convert it to MRC with dm2mrc of IMOD"),
    ".mdoc": Kind("an mdoc of SerialEM", IN_WARP),
    **dict.fromkeys((".tlt", ".rawtlt", ".xf", ".xtilt", ".edf", ".com", ".aln", ".defocus"), ALIGNMENT),
    ".box": Kind("a list of picked coordinates", "extract the particles first, and give their table"),
    ".population": Kind("a population of M", "give the .settings of its Warp project with --warp"),
    ".source": Kind("a source of M", "give the .settings of its Warp project with --warp"),
    ".species": Kind("a species of M", "give its half-maps, mask and *_particles.star"),
    ".settings": SETTINGS,
    ".tomostar": Kind("a tilt series of Warp", "give the .settings of its project to `mpop source add --warp`"),
    ".hdf": HDF,
    ".h5": HDF,
    ".npy": Kind("an array of NumPy"),
    ".npz": Kind("arrays of NumPy"),
    ".pkl": Kind("a pickle of Python, as of cryoDRGN", TO_RELION),
    **dict.fromkeys((".mrc", ".mrcs", ".map", ".rec", ".st", ".ali"), MRC),
    **dict.fromkeys((".pdb", ".cif"), MODEL),
    ".csv": Kind("a table in CSV", TO_RELION),
    ".txt": Kind("plain text", TO_RELION),
}

TABLES: tuple[tuple[str, Kind], ...] = (
    (
        "rlnTomoParticlesFile",
        Kind("an optimisation set of RELION", "give the table that its rlnTomoParticlesFile names"),
    ),
    ("rlnTomoTiltSeriesName", Kind("a table of tomograms", "give the table of particles")),
    ("rlnTomoTiltSeriesStarFile", Kind("a table of tilt series of RELION 5", "give the table of particles")),
    ("rlnTomoXTilt", Kind("a tilt series of RELION 5", "give the table of particles")),
    ("rlnPipeLineJobCounter", Kind("a pipeline of RELION", "give the run_data.star of a job")),
    ("rlnJobTypeLabel", Kind("a job of RELION", "give the run_data.star in its folder")),
    ("rlnOptimiserOutputRootName", Kind("an optimiser of RELION", "give the run_data.star beside it")),
    ("rlnOutputRootName", Kind("an optimiser of RELION", "give the run_data.star beside it")),
    ("rlnReferenceImage", Kind("a model of RELION", "give the run_data.star beside it")),
    ("rlnHealpixOrder", Kind("a sampling of RELION", "give the run_data.star beside it")),
    ("rlnFourierShellCorrelationCorrected", Kind("a postprocess.star of RELION", "give the table of particles")),
    ("rlnExtReconsResult", Kind("an external reconstruction of RELION", "give it to `mpop relion`")),
    ("rlnMtfValue", Kind("an MTF of a detector", "give the table of particles")),
    ("wrpMovieName", SUFFIXES[".tomostar"]),
    ("rlnMicrographMovieName", Kind("a table of movies", "extract particles, and give their table")),
)
"""A column that only this kind has, of tables that are not of particles."""
BLOCKS: tuple[tuple[str, Kind], ...] = (
    ("stopgap_", Kind("a table of STOPGAP", f"{TO_RELION} with cryoCAT")),
    ("external_reconstruct_", Kind("an external reconstruction of RELION", "give it to `mpop relion`")),
    ("micrographs", Kind("a table of micrographs", "extract particles, and give their table")),
)
"""How the name of a block begins."""


def known_kind(path: Path) -> Kind | None:
    """What a file is, by its content or else by its name; None for what is not known. Raises nothing."""
    try:
        with path.open("rb") as file:
            return kind_of(file.read(BEGIN), path.name)
    except OSError:
        return None


def kind_of(begin: bytes, name: str) -> Kind | None:
    """As `known_kind`, of a file that was read."""
    begin, suffix = begin[:BEGIN], Path(name).suffix.lower()
    if begin.startswith(b"\x93NUMPY"):
        return CRYOSPARC if b"'descr': [(" in begin or suffix == ".cs" else SUFFIXES[".npy"]
    if begin.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return MOVIE if suffix == ".eer" else TIFF
    for offset, content, kind in CONTENTS:
        if begin[offset : offset + len(content)] == content:
            return kind
    text = "" if b"\0" in begin else begin.decode("utf-8-sig", "replace").lstrip()
    if any(line.startswith("data_") for line in text.splitlines()):
        return MODEL if "_entry.id" in text or "_atom_site." in text else STAR
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    return next((kind for start, kind in TEXTS.items() if text.startswith(start)), None)


def kind_of_table(blocks: Mapping[str, pd.DataFrame]) -> Kind | None:
    """What a STAR file is that has no particles; None for what is not known."""
    columns = {str(column) for block in blocks.values() for column in block.columns}
    for column, kind in TABLES:
        if column in columns:
            return kind
    for name in blocks:
        for begin, kind in BLOCKS:
            if name.startswith(begin):
                return kind
    return MODEL if any(column.startswith(("atom_site.", "entry.")) for column in columns) else None


def is_not(path: Path, wanted: Kind, otherwise: str) -> str:
    """The message that a file cannot be read as what was wanted: with what it is, if that is known."""
    return _unless_known(known_kind(path), str(path), wanted, otherwise)


def content_is_not(content: bytes, name: str, wanted: Kind, otherwise: str) -> str:
    """As `is_not`, of a file that was read. name: how errors call it."""
    return _unless_known(kind_of(content, name), name, wanted, otherwise)


def _unless_known(kind: Kind | None, name: str, wanted: Kind, otherwise: str) -> str:
    return f"{name}: {otherwise}" if kind in (None, wanted, GZIP) else _message(name, kind, wanted)


def table_is_not(path: Path, blocks: Mapping[str, pd.DataFrame], wanted: Kind, otherwise: str) -> str:
    """As `is_not`, for a STAR file by its blocks."""
    kind = kind_of_table(blocks)
    return f"{path}: {otherwise}" if kind is None else _message(str(path), kind, wanted)


def _message(name: str, kind: Kind, wanted: Kind) -> str:
    way_on = f"; {kind.way_on}" if kind.way_on else ""
    return f"{name}: is {kind.what}, not {wanted.what}{way_on}"
