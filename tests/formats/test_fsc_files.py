"""What RELION's scripts and EMDB read, and the MTF as RELION keeps it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import starfile
from lxml import etree

from mpop.errors import InputError
from mpop.formats.fsc_files import fsc_table, guinier_table, read_mtf, write_fsc_xml, write_postprocess

FREQUENCY = np.arange(5) / 40
CURVES = {
    "of_mask_part": np.array([1.0, 0.99, 0.7, 0.2, 0.1]),
    "corrected": np.array([1.0, 0.99, 0.8, 0.3, -0.02]),
    "unmasked": np.array([1.0, 0.98, 0.6, 0.2, 0.0]),
    "masked": np.array([1.0, 0.99, 0.81, 0.35, 0.1]),
    "randomised": np.array([1.0, 0.99, 0.2, 0.1, 0.12]),
}


def test_has_the_columns_of_a_real_postprocess_star(tmp_path: Path, test_data: Path) -> None:
    real = starfile.read(test_data / "relion5_tomo" / "PostProcess" / "job039" / "postprocess.star")
    guinier = {"original": np.log(FREQUENCY + 1), "weighted": np.full(5, np.nan)}
    path = tmp_path / "postprocess.star"
    write_postprocess(
        path,
        {"rlnFinalResolution": 13.3, "rlnMaskName": "mask.mrc"},
        fsc_table(FREQUENCY, CURVES),
        guinier_table(FREQUENCY, guinier),
    )
    found = starfile.read(path)
    assert list(found["fsc"].columns) == list(real["fsc"].columns)
    assert list(found["guinier"].columns) == list(real["guinier"].columns)
    assert set(found["general"]) <= set(real["general"])
    np.testing.assert_allclose(found["fsc"]["rlnAngstromResolution"], [999, 40, 20, 40 / 3, 10], atol=1e-5)
    np.testing.assert_allclose(found["fsc"]["rlnResolution"][1:], FREQUENCY[1:], atol=1e-6)
    assert found["fsc"]["rlnResolution"][0] == pytest.approx(1 / 999, abs=1e-6)
    np.testing.assert_allclose(found["fsc"]["rlnFourierShellCorrelationCorrected"], CURVES["corrected"], atol=1e-6)
    np.testing.assert_allclose(found["guinier"]["rlnResolutionSquared"], FREQUENCY**2, atol=1e-6)
    assert (found["guinier"]["rlnLogAmplitudesWeighted"] == -99).all()


def test_xml_is_what_emdb_takes(tmp_path: Path) -> None:
    path = tmp_path / "fsc.xml"
    write_fsc_xml(path, FREQUENCY, CURVES["corrected"], "A & B <best>")
    root = etree.parse(path).getroot()
    assert root.tag == "fsc"
    assert dict(root.attrib) == {
        "title": "A & B <best>",
        "xaxis": "Resolution (A-1)",
        "yaxis": "Correlation Coefficient",
    }
    points = [(float(point[0].text or ""), float(point[1].text or "")) for point in root]
    assert {tuple(child.tag for child in point) for point in root} == {("x", "y")}
    np.testing.assert_allclose(points, np.c_[FREQUENCY, CURVES["corrected"]], atol=1e-6)


@pytest.mark.parametrize("name", ["mtf_k2_300kV.star", "mtf_falcon4EC_300kV.star"])
def test_reads_real_mtfs(test_data: Path, name: str) -> None:
    frequency, value = read_mtf(test_data / "mtf" / name)
    assert frequency[0] == 0 and frequency[-1] == pytest.approx(0.5, abs=0.01)
    assert value[0] == pytest.approx(1.0, abs=1e-3) and 0 < value[-1] < 0.6


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("0.0 1.0\n0.2 0.0\n", "greater than 0"),
        ("0.2 1.0\n0.1 0.5\n", "must rise"),
        ("0.0 1.0\n", "must rise"),
        ("0.0 1.0\n0.1 high\n", "not a number"),
        ("0.0 1.0\n0.1 nan\n", "row 2: _rlnMtfValue is nan, not a finite number"),
    ],
)
def test_refuses_an_mtf_that_cannot_be_one(tmp_path: Path, rows: str, reason: str) -> None:
    path = tmp_path / "mtf.star"
    path.write_text(f"data_mtf\n\nloop_\n_rlnResolutionInversePixel\n_rlnMtfValue\n{rows}\n")
    with pytest.raises(InputError, match=reason):
        read_mtf(path)


def test_refuses_a_table_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "particles.star"
    path.write_text("data_particles\n\nloop_\n_rlnCoordinateX\n1.0\n2.0\n")
    with pytest.raises(InputError, match="_rlnResolutionInversePixel"):
        read_mtf(path)
