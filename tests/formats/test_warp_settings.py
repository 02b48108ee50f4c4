"""Warp's settings file: as WarpTools writes it, and what is wrong with a bad one."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpop.errors import InputError
from mpop.formats.warp_settings import WarpSettings, read_settings, write_settings

SETTINGS = """<?xml version="1.0" encoding="utf-16"?>
<Settings>
  <Param Name="ProcessCTF" Value="True" />
  <Import>
    <Param Name="DataFolder" Value="tomostar" />
    <Param Name="ProcessingFolder" Value="warp_tiltseries" />
    <Param Name="DoRecursiveSearch" Value="False" />
    <Param Name="Extension" Value="*.tomostar" />
    <Param Name="PixelSize" Value="0.7894" />
    <Param Name="BinTimes" Value="1" />
    <Param Name="DosePerAngstromFrame" Value="2.64" />
  </Import>
  <CTF>
    <Param Name="PixelSize" Value="99" />
  </CTF>
  <Tomo>
    <Param Name="DimensionsX" Value="4400" />
    <Param Name="DimensionsY" Value="6000" />
    <Param Name="DimensionsZ" Value="1000" />
  </Tomo>
</Settings>
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_settings_are_read_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "warp_tiltseries.settings"
    path.write_text(SETTINGS.replace("utf-16", encoding.removesuffix("-sig")), encoding=encoding)
    settings = read_settings(path)
    assert settings == WarpSettings(
        0.7894,
        "tomostar",
        "warp_tiltseries",
        "*.tomostar",
        (4400, 6000, 1000),
        exposure_per_tilt=2.64,
        bin_times=1,
    )
    assert settings.binned_pixel_size_A == pytest.approx(1.5788)


def test_settings_survive_a_round_trip(tmp_path: Path) -> None:
    settings = WarpSettings(1.35, "a/tomostar", "b", "TS*.tomostar", (4000, 4001, 4002), 3.1, 0.5)
    write_settings(tmp_path / "x.settings", settings)
    assert read_settings(tmp_path / "x.settings") == settings


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("not xml", "not readable as XML"),
        ("<Settings/>", "no parameter PixelSize; is it the settings file of a Warp project"),
        (SETTINGS.replace('"0.7894"', '"0,79"').replace("utf-16", "utf-8"), "PixelSize is '0,79', not a number"),
        (
            SETTINGS.replace('"0.7894"', '"0"').replace("utf-16", "utf-8"),
            "PixelSize is 0, it must be greater than 0",
        ),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "x.settings"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        read_settings(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_settings(tmp_path / "nowhere.settings")
