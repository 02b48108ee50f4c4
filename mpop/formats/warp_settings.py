"""Warp's `.settings`: where the files of a project are and how large a pixel is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lxml import etree

from mpop.errors import InputError
from mpop.formats.files import replacing, require_file
from mpop.formats.known_kinds import SETTINGS, is_not


@dataclass(frozen=True)
class WarpSettings:
    """The settings that an import needs. Folders are relative to the settings file; dimensions unbinned.

    exposure_per_tilt: as in Warp, negative where it is that of a whole tilt, else that of one frame.
    """

    pixel_size_A: float
    data_folder: str
    processing_folder: str
    extension: str
    volume_dims_px: tuple[int, int, int]
    exposure_per_tilt: float = 0.0
    bin_times: float = 0.0

    @property
    def binned_pixel_size_A(self) -> float:
        """Pixel size of the averages that Warp wrote."""
        return self.pixel_size_A * 2.0**self.bin_times


def read_settings(path: str | Path) -> WarpSettings:
    """Read a settings file. Raises InputError naming what is missing."""
    path = Path(path)
    require_file(path)
    try:
        root = etree.fromstring(path.read_bytes(), etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as error:
        reason = f"not readable as XML ({' '.join(error.msg.split())})"
        raise InputError(is_not(path, SETTINGS, reason)) from error
    values = {
        (section.tag, param.get("Name")): param.get("Value", "")
        for section in root.iter()
        for param in section.findall("Param")
    }
    flat = {name: value for (_, name), value in reversed(values.items())}

    def text(section: str, name: str) -> str:
        found = values.get((section, name), flat.get(name))
        if found is None:
            raise InputError(f"{path}: no parameter {name}; is it the settings file of a Warp project?")
        return found

    def number(section: str, name: str) -> float:
        try:
            return float(text(section, name))
        except ValueError as error:
            raise InputError(f"{path}: {name} is {text(section, name)!r}, not a number") from error

    pixel_size = number("Import", "PixelSize")
    if not pixel_size > 0:
        raise InputError(f"{path}: PixelSize is {pixel_size:g}, it must be greater than 0")
    dims = tuple(round(number("Tomo", f"Dimensions{axis}")) for axis in "XYZ")
    return WarpSettings(
        pixel_size_A=pixel_size,
        data_folder=text("Import", "DataFolder"),
        processing_folder=text("Import", "ProcessingFolder"),
        extension=text("Import", "Extension"),
        volume_dims_px=(dims[0], dims[1], dims[2]),
        exposure_per_tilt=number("Import", "DosePerAngstromFrame") if "DosePerAngstromFrame" in flat else 0.0,
        bin_times=number("Import", "BinTimes") if "BinTimes" in flat else 0.0,
    )


def write_settings(path: str | Path, settings: WarpSettings) -> None:
    """Write the settings that `read_settings` reads."""
    root = etree.Element("Settings")
    groups = {
        "Import": {
            "DataFolder": settings.data_folder,
            "ProcessingFolder": settings.processing_folder,
            "Extension": settings.extension,
            "PixelSize": repr(settings.pixel_size_A),
            "BinTimes": repr(settings.bin_times),
            "DosePerAngstromFrame": repr(settings.exposure_per_tilt),
        },
        "Tomo": {
            f"Dimensions{axis}": str(size) for axis, size in zip("XYZ", settings.volume_dims_px, strict=True)
        },
    }
    for name, parameters in groups.items():
        group = etree.SubElement(root, name)
        for key, value in parameters.items():
            etree.SubElement(group, "Param", Name=key, Value=value)
    etree.indent(root)
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(etree.tostring(root, xml_declaration=True, encoding="utf-8"))
