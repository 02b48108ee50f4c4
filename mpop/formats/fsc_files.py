"""FSC curves as other programs read them: RELION's postprocess.star, and the XML that EMDB takes at deposition."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mpop.errors import InputError
from mpop.formats.files import replacing
from mpop.formats.star import read_star, require_finite, write_star

NO_RESOLUTION = 999.0
"""What RELION writes for the resolution of shell 0, and where there is none."""
NO_AMPLITUDE = -99.0
"""What RELION writes for the logarithm of nothing."""
FSC_COLUMNS = {
    "corrected": "rlnFourierShellCorrelationCorrected",
    "of_mask_part": "rlnFourierShellCorrelationParticleMaskFraction",
    "unmasked": "rlnFourierShellCorrelationUnmaskedMaps",
    "masked": "rlnFourierShellCorrelationMaskedMaps",
    "randomised": "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps",
}
GUINIER_COLUMNS = {
    "original": "rlnLogAmplitudesOriginal",
    "without_mtf": "rlnLogAmplitudesMTFCorrected",
    "weighted": "rlnLogAmplitudesWeighted",
    "sharpened": "rlnLogAmplitudesSharpened",
    "intercept": "rlnLogAmplitudesIntercept",
}

Array = NDArray[np.floating]


def fsc_table(frequency: Array, curves: Mapping[str, Array]) -> pd.DataFrame:
    """Block `fsc` of a postprocess.star. frequency (k,) in 1/A of shells 0 to Nyquist; curves as `FSC_COLUMNS`."""
    frequency = np.where(frequency > 0, frequency, 1 / NO_RESOLUTION)
    return pd.DataFrame(
        {
            "rlnSpectralIndex": np.arange(len(frequency)),
            "rlnResolution": frequency,
            "rlnAngstromResolution": 1 / frequency,
            **{FSC_COLUMNS[name]: curves[name] for name in FSC_COLUMNS if name in curves},
        }
    )


def guinier_table(frequency: Array, curves: Mapping[str, Array]) -> pd.DataFrame:
    """Block `guinier` of a postprocess.star. curves: ln amplitudes (k,) as `GUINIER_COLUMNS`, NaN for nothing."""
    columns = {GUINIER_COLUMNS[name]: curves[name] for name in GUINIER_COLUMNS if name in curves}
    table = pd.DataFrame({"rlnResolutionSquared": np.square(frequency), **columns})
    return table.fillna(NO_AMPLITUDE)


def write_postprocess(
    path: Path, general: Mapping[str, float | str], fsc: pd.DataFrame, guinier: pd.DataFrame | None = None
) -> None:
    """Write a postprocess.star as relion_postprocess lays it out. general: block `general`, by name."""
    blocks: dict[str, pd.DataFrame | Mapping[str, float | str]] = {"general": general, "fsc": fsc}
    write_star(path, blocks if guinier is None else {**blocks, "guinier": guinier})


def write_fsc_xml(path: Path, frequency: Array, correlation: Array, title: str) -> None:
    """Write an FSC curve for EMDB. frequency (k,) in 1/A."""
    axes = {"xaxis": "Resolution (A-1)", "yaxis": "Correlation Coefficient"}
    root = ElementTree.Element("fsc", {"title": title, **axes})
    for x, y in zip(frequency, correlation, strict=True):
        point = ElementTree.SubElement(root, "coordinate")
        ElementTree.SubElement(point, "x").text = f"{x:.6f}"
        ElementTree.SubElement(point, "y").text = f"{y:.6f}"
    ElementTree.indent(root)
    with replacing(path) as temporary:
        ElementTree.ElementTree(root).write(temporary, encoding="UTF-8", xml_declaration=True)


def read_mtf(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The MTF of a detector as RELION keeps it: frequency (k,) in 1/pixel, rising, and value (k,)."""
    columns = ["rlnResolutionInversePixel", "rlnMtfValue"]
    name, table = next(iter(read_star(path).items()))
    require_finite(table, columns, path, name)
    frequency, value = table[columns].to_numpy(dtype=np.float64).T
    if len(frequency) < 2 or not (np.diff(frequency) > 0).all():
        raise InputError(f"{path}: rlnResolutionInversePixel must rise from row to row")
    if not (value > 0).all():
        raise InputError(f"{path}: every rlnMtfValue must be greater than 0")
    return frequency, value
