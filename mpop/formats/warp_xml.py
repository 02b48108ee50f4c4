"""Warp's XML of a tilt series, read into a `TiltSeriesModel` and written back.

A file holds far more than mpop knows (power spectra, processing options). Writing starts from the imported
bytes and changes only the fields whose value differs from what those bytes say, so everything else survives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from lxml import etree

from mpop.errors import InputError
from mpop.formats.known_kinds import XML, content_is_not
from mpop.records.tilt_series import CTFModel, LinearGrid4D, SplineGrid, TiltSeriesModel

_LISTS = {
    "Angles": "angles_deg",
    "Dose": "exposure",
    "AxisAngle": "axis_angle_deg",
    "AxisOffsetX": "axis_offset_x_A",
    "AxisOffsetY": "axis_offset_y_A",
}
_ATTRIBUTES = {
    "LevelAngleX": "level_angle_x_deg",
    "LevelAngleY": "level_angle_y_deg",
    "Bfactor": "bfactor_A2",
    "Weight": "weight",
}
_CTF = {
    "Voltage": "voltage_kV",
    "Cs": "cs_mm",
    "Amplitude": "amplitude_contrast",
    "Defocus": "defocus_um",
    "DefocusDelta": "defocus_delta_um",
    "DefocusAngle": "defocus_angle_deg",
    "PhaseShift": "phase_shift_pi",
}
_ZERNIKE = {"ZernikeCoeffsOdd": "zernike_odd", "ZernikeCoeffsEven": "zernike_even"}
_GRIDS = {
    "GridCTF": "grid_ctf",
    "GridCTFDefocusDelta": "grid_ctf_defocus_delta",
    "GridCTFDefocusAngle": "grid_ctf_defocus_angle",
    "GridCTFPhase": "grid_ctf_phase",
    "GridMovementX": "grid_movement_x",
    "GridMovementY": "grid_movement_y",
    "GridAngleX": "grid_angle_x",
    "GridAngleY": "grid_angle_y",
    "GridAngleZ": "grid_angle_z",
    "GridDoseBfacs": "grid_dose_bfacs",
    "GridDoseBfacsDelta": "grid_dose_bfacs_delta",
    "GridDoseBfacsAngle": "grid_dose_bfacs_angle",
    "GridDoseWeights": "grid_dose_weights",
    "GridLocationBfacs": "grid_location_bfacs",
    "GridLocationWeights": "grid_location_weights",
}
_GRIDS_4D = {
    "GridVolumeWarpX": "grid_volume_warp_x",
    "GridVolumeWarpY": "grid_volume_warp_y",
    "GridVolumeWarpZ": "grid_volume_warp_z",
}
_DIMENSIONS = {"ImageDimensionsAngstrom": "image_dims_A", "VolumeDimensionsAngstrom": "volume_dims_A"}
_KEYS = {
    field: key for table in (_LISTS, _ATTRIBUTES, _GRIDS, _GRIDS_4D, _DIMENSIONS) for key, field in table.items()
} | {
    "use": "UseTilt",
    "are_angles_inverted": "AreAnglesInverted",
    "magnification": "MagnificationCorrection",
}
"""Element or attribute of a field of `TiltSeriesModel`; its CTF is an element with parameters of its own."""

EMPTY = b'<?xml version="1.0" encoding="utf-8"?>\n<TiltSeries>\n</TiltSeries>\n'


@dataclass(frozen=True)
class SeriesNotes:
    """What an XML says beside the model.

    movies: its <MoviePath>, empty when there is none. deselected: by hand, in Warp. pixel_size_A: of the averages,
    by the options that the CTF was fitted with. old_magnification: the two scales and the angle (rad) that Warp 1
    wrote as MagnificationCorrection, if they change anything; later Warp takes them for none, as the model does.
    """

    movies: list[str]
    deselected: bool
    pixel_size_A: float | None
    old_magnification: tuple[float, float, float] | None


def read_notes(content: bytes, name: str) -> SeriesNotes:
    """See `SeriesNotes`. Raises InputError."""
    root = _parse(content, name)
    reader = _Reader(root, name)
    movies = (root.findtext("MoviePath") or "").strip()
    options = {p.get("Name"): p.get("Value", "") for p in root.findall("OptionsCTF/Param")}
    pixel, binning = (reader.option(options, key) for key in ("PixelSize", "BinTimes"))
    scales = reader.magnification()
    return SeriesNotes(
        movies=[movie.strip() for movie in movies.split("\n")] if movies else [],
        deselected=root.get("UnselectManual", "").strip().lower() == "true",
        pixel_size_A=pixel * 2.0 ** (binning or 0.0) if pixel else None,
        old_magnification=(scales[0], scales[1], scales[2]) if len(scales) == 3 and scales[:2] != [1, 1] else None,
    )


def read_tilt_series(
    content: bytes,
    name: str,
    image_dims_A: tuple[float, float],
    volume_dims_A: tuple[float, float, float],
) -> TiltSeriesModel:
    """The model that an XML file describes.

    content: the bytes of the file, UTF-8 or UTF-16. name: how errors call it. The dimensions are used where the
    file has none of its own: older Warp keeps them in its settings, and 0 means that they are not known. Raises
    InputError.
    """
    root = _parse(content, name)
    reader = _Reader(root, name)
    angles = reader.floats("Angles")
    if angles is None:
        raise InputError(f"{name}: no <Angles>; is it the XML of a tilt series?")
    count = len(angles)
    values: dict[str, object] = {}
    for element, field in _LISTS.items():
        numbers = reader.floats(element)
        numbers = np.zeros(count) if numbers is None else numbers
        if len(numbers) != count:
            raise InputError(f"{name}: {count} tilts in <Angles>, but {len(numbers)} values in <{element}>")
        values[field] = numbers
    values["use"] = reader.use_flags(count)
    for attribute, field in _ATTRIBUTES.items():
        if root.get(attribute):  # empty is absent, as in Warp
            values[field] = reader.number(attribute)
    values["are_angles_inverted"] = root.get("AreAnglesInverted", "False").strip().lower() == "true"
    scales = reader.magnification()
    if len(scales) == 4:
        values["magnification"] = np.array(scales).reshape(2, 2)
    values["image_dims_A"] = reader.dimensions("ImageDimensionsAngstrom", image_dims_A)
    values["volume_dims_A"] = reader.dimensions("VolumeDimensionsAngstrom", volume_dims_A)
    values["ctf"] = reader.ctf()
    for element, field in _GRIDS.items():
        grid = reader.grid(element)
        if grid is not None:
            values[field] = grid
    for element, field in _GRIDS_4D.items():
        grid_4d = reader.grid_4d(element)
        if grid_4d is not None:
            values[field] = grid_4d
    return TiltSeriesModel(**values)  # pyright: ignore[reportArgumentType]


def write_tilt_series(model: TiltSeriesModel, original: bytes | None = None, name: str = "XML") -> bytes:
    """The XML of a model; with the original bytes given, everything that mpop did not change stays as it was."""
    content = original or EMPTY
    root = _parse(content, name)
    old = None
    if original is not None:
        old = read_tilt_series(original, name, model.image_dims_A, model.volume_dims_A)
    changed = [
        field.name
        for field in fields(model)
        if old is None or not _same(getattr(model, field.name), getattr(old, field.name))
    ]
    if original is not None and not changed:
        return original
    writer = _Writer(root)
    for field_name in changed:
        writer.field(field_name, getattr(model, field_name), getattr(old, field_name, None))
    tree = root.getroottree()
    encoding = tree.docinfo.encoding or "utf-8"
    body = etree.tostring(tree, xml_declaration=False, encoding="unicode")
    declaration = f'<?xml version="1.0" encoding="{encoding}"?>\n'
    codec = "utf-16" if encoding.lower().startswith("utf-16") else encoding
    text = (declaration + body).encode(codec, "xmlcharrefreplace")
    return b"\xef\xbb\xbf" + text if content.startswith(b"\xef\xbb\xbf") else text


def has_aberrations(model: TiltSeriesModel) -> bool:
    """Whether its CTF has Zernike terms."""
    return any(model.ctf.zernike_odd) or any(model.ctf.zernike_even)


def without_aberrations(model: TiltSeriesModel) -> TiltSeriesModel:
    """The same without Zernike terms."""
    return replace(model, ctf=replace(model.ctf, zernike_odd=(), zernike_even=()))


def with_aberrations_of(model: TiltSeriesModel, original: bytes, name: str) -> TiltSeriesModel:
    """The same with the Zernike terms of the XML that it was imported from, where they were set aside."""
    if has_aberrations(model):
        return model
    ctf = read_tilt_series(original, name, model.image_dims_A, model.volume_dims_A).ctf
    return replace(model, ctf=replace(model.ctf, zernike_odd=ctf.zernike_odd, zernike_even=ctf.zernike_even))


def _parse(content: bytes, name: str) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
    try:
        return etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        reason = f"not readable as XML ({' '.join(error.msg.split())})"
        raise InputError(content_is_not(content, name, XML, reason)) from error


def _same(a: object, b: object) -> bool:
    if isinstance(a, SplineGrid) and isinstance(b, SplineGrid):
        return a.margin == b.margin and np.array_equal(a.values, b.values)
    if isinstance(a, LinearGrid4D) and isinstance(b, LinearGrid4D):
        return np.array_equal(a.values, b.values)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, np.asarray(b))
    return a == b


class _Reader:
    """Typed access to one XML tree; every error names the file and the field."""

    def __init__(self, root: etree._Element, name: str) -> None:
        self.root, self.name = root, name

    def _convert(self, texts: Sequence[str], where: str) -> list[float]:
        try:
            numbers = [float(text) for text in texts]
        except ValueError as error:
            raise InputError(f"{self.name}: {where} holds something that is not a number ({error})") from error
        if not np.isfinite(numbers).all():
            raise InputError(f"{self.name}: {where} holds NaN or infinity")
        return numbers

    def floats(self, element: str) -> np.ndarray | None:
        found = self.root.find(element)
        if found is None or not (found.text or "").strip():
            return None
        return np.array(self._convert((found.text or "").split(), f"<{element}>"))

    def use_flags(self, count: int) -> np.ndarray:
        found = self.root.find("UseTilt")
        if found is None or not (found.text or "").strip():
            return np.ones(count, dtype=bool)
        flags = [word.lower() == "true" for word in (found.text or "").split()]
        if len(flags) != count:
            raise InputError(f"{self.name}: {count} tilts in <Angles>, but {len(flags)} values in <UseTilt>")
        return np.array(flags)

    def number(self, attribute: str) -> float:
        return self._convert([self.root.get(attribute, "")], attribute)[0]

    def numbers(self, attribute: str, count: int) -> list[float]:
        numbers = self._convert(self.root.get(attribute, "").split(","), attribute)
        if len(numbers) != count:
            raise InputError(f"{self.name}: {attribute} has {len(numbers)} numbers, expected {count}")
        return numbers

    def magnification(self) -> list[float]:
        """The four numbers of a matrix, the three of Warp 1, or none."""
        if not self.root.get("MagnificationCorrection"):
            return []
        numbers = self._convert(self.root.get("MagnificationCorrection", "").split(","), "MagnificationCorrection")
        if len(numbers) not in (3, 4):
            raise InputError(
                f"{self.name}: MagnificationCorrection has {len(numbers)} numbers, expected the 4 of a matrix"
            )
        return numbers

    def dimensions(self, attribute: str, otherwise: tuple[float, ...]) -> tuple[float, ...]:
        """Lengths in A; `otherwise` where one of them is 0 or they are not there."""
        lengths = self.numbers(attribute, len(otherwise)) if self.root.get(attribute) else [0.0]
        if min(lengths) < 0:
            raise InputError(f"{self.name}: {attribute} is negative")
        return tuple(lengths) if all(lengths) else otherwise

    def option(self, options: Mapping[str | None, str], key: str) -> float | None:
        """A number among the options of a processing step."""
        return self._convert([options[key]], f"<OptionsCTF> {key}")[0] if options.get(key) else None

    def ctf(self) -> CTFModel:
        texts = {p.get("Name"): p.get("Value", "") for p in self.root.findall("CTF/Param")}
        values: dict[str, object] = {
            field: self._convert([texts[key]], f"<CTF> {key}")[0] for key, field in _CTF.items() if texts.get(key)
        }
        for key, field in _ZERNIKE.items():
            if texts.get(key):
                values[field] = tuple(self._convert(texts[key].split(";"), f"<CTF> {key}"))
        return CTFModel(**values)  # pyright: ignore[reportArgumentType]

    def _nodes(self, element: str, axes: Sequence[str], sizes: Sequence[str]) -> np.ndarray | None:
        grid = self.root.find(element)
        if grid is None:
            return None
        shape = [int(v) for v in self._convert([grid.get(size, "1") for size in sizes], f"<{element}>")]
        if min(shape) < 1 or np.prod(shape) > 10**7:
            raise InputError(f"{self.name}: <{element}> claims {' x '.join(map(str, shape))} nodes")
        values = np.full(shape[::-1], np.nan)
        for node in grid.findall("Node"):
            place = self._convert([node.get(axis, "0") for axis in axes], f"<{element}>")
            index = tuple(int(i) for i in place)[::-1]
            if any(i < 0 or i >= n for i, n in zip(index, values.shape, strict=True)):
                raise InputError(f"{self.name}: <{element}> has a node outside of its own size: {index[::-1]}")
            values[index] = self._convert([node.get("Value", "")], f"<{element}>")[0]
        if np.isnan(values).any():
            raise InputError(
                f"{self.name}: <{element}> lacks {int(np.isnan(values).sum())} of {values.size} nodes"
            )
        return values

    def grid(self, element: str) -> SplineGrid | None:
        values = self._nodes(element, "XYZ", ("Width", "Height", "Depth"))
        if values is None:
            return None
        found = self.root.find(element)
        assert found is not None
        margins = self._convert([found.get(f"Margin{axis}", "0") for axis in "XYZ"], f"<{element}>")
        return SplineGrid(values, (margins[0], margins[1], margins[2]))

    def grid_4d(self, element: str) -> LinearGrid4D | None:
        values = self._nodes(element, "XYZW", ("Width", "Height", "Depth", "Duration"))
        return None if values is None else LinearGrid4D(values)


class _Writer:
    """Writes single fields of a model into an XML tree."""

    def __init__(self, root: etree._Element) -> None:
        self.root = root

    def field(self, name: str, value: object, old: object) -> None:
        """Write one field of `TiltSeriesModel`; `old` is what the tree says now, if anything."""
        key = _KEYS.get(name, "")
        match value:
            case CTFModel():
                self._ctf(value, old if isinstance(old, CTFModel) else None)
            case SplineGrid():
                self._grid(key, value)
            case LinearGrid4D():
                self._grid_4d(key, value)
            case bool():
                self.root.set(key, str(value))
            case float() | int():
                self.root.set(key, _number(value))
            case np.ndarray(ndim=1, dtype=np.bool_):
                self._element(key).text = "\n".join(str(bool(flag)) for flag in value)
            case np.ndarray(ndim=1):
                self._element(key).text = "\n".join(map(_number, value))
            case np.ndarray() | tuple():
                self.root.set(key, ", ".join(map(_number, np.ravel(value))))
            case _:
                raise TypeError(f"no place in a Warp XML for {name} = {value!r}")

    def _element(self, name: str) -> etree._Element:
        found = self.root.find(name)
        if found is None:
            found = etree.SubElement(self.root, name)
            found.tail = "\n"
        return found

    def _ctf(self, value: CTFModel, old: CTFModel | None) -> None:
        parent = self._element("CTF")
        params = {p.get("Name"): p for p in parent.findall("Param")}
        for key, field in (_CTF | _ZERNIKE).items():
            new = getattr(value, field)
            if old is not None and new == getattr(old, field):
                continue
            text = ";".join(_number(x) for x in new) if isinstance(new, tuple) else _number(new)
            param = params.get(key)
            if param is None:
                param = etree.SubElement(parent, "Param", Name=key)
            param.set("Value", text)

    def _grid(self, name: str, value: SplineGrid) -> None:
        depth, height, width = value.values.shape
        element = self._element(name)
        self._clear(element, {"Width": width, "Height": height, "Depth": depth})
        for axis, margin in zip("XYZ", value.margin, strict=True):
            element.set(f"Margin{axis}", _number(margin))
        for (z, y, x), number in np.ndenumerate(value.values):
            etree.SubElement(element, "Node", X=str(x), Y=str(y), Z=str(z), Value=_number(number))

    def _grid_4d(self, name: str, value: LinearGrid4D) -> None:
        duration, depth, height, width = value.values.shape
        element = self._element(name)
        self._clear(element, {"Width": width, "Height": height, "Depth": depth, "Duration": duration})
        for (w, z, y, x), number in np.ndenumerate(value.values):
            etree.SubElement(element, "Node", X=str(x), Y=str(y), Z=str(z), W=str(w), Value=_number(number))

    @staticmethod
    def _clear(element: etree._Element, sizes: dict[str, int]) -> None:
        for node in element.findall("Node"):
            element.remove(node)
        element.text = None
        for key, size in sizes.items():
            element.set(key, str(size))


def _number(value: float) -> str:
    """Shortest text that reads back as the same number, with a decimal point in every locale."""
    return repr(float(value)).removesuffix(".0")
