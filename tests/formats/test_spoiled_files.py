"""Real files with bytes or lines gone, columns swapped, other line ends and encodings: each is read, or refused in
one line that names the file. What readers raise beyond that would be tracebacks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpop.errors import MpopError
from mpop.formats.atomic_models import read_model
from mpop.formats.external_reconstruct import read_request
from mpop.formats.fsc_files import read_mtf
from mpop.formats.images import open_stack, read_image, read_map
from mpop.formats.map_headers import claims_a_stack, map_origin_A
from mpop.formats.particle_tables import read_particles
from mpop.formats.stack_tables import read_stack_table, stack_table_if_one
from mpop.formats.star import read_star
from mpop.formats.tomostar import read_tomostar
from mpop.formats.warp_settings import read_settings
from mpop.formats.warp_xml import read_notes, read_tilt_series, write_tilt_series

Reader = Callable[[Path], object]
LARGEST = 400_000
TEXTS = {".star", ".tomostar", ".xml", ".settings", ".tbl", ".mdoc", ".tlt", ".com", ".pdb", ".cif"}


def read_series(path: Path) -> object:
    """Everything that is done with Warp's XML."""
    content = path.read_bytes()
    model = read_tilt_series(content, str(path), (1.0, 1.0), (1.0, 1.0, 1.0))
    write_tilt_series(model, content, str(path))
    return read_notes(content, str(path))


def read_origin(path: Path) -> object:
    return map_origin_A(path, 1.0)


TABLES: list[Reader] = [read_particles, read_stack_table, stack_table_if_one, read_star, read_mtf, read_request]
READERS: dict[str, list[Reader]] = {
    ".star": TABLES,
    ".tomostar": [read_tomostar],
    ".xml": [read_series],
    ".settings": [read_settings],
    ".mrc": [read_image, read_map, open_stack, read_origin, claims_a_stack],
    ".map": [read_map, read_origin, claims_a_stack],
    ".mrcs": [open_stack, read_map],
    ".tif": [read_image],
    ".tiff": [read_image],
    ".pdb": [read_model],
    ".cif": [read_model],
}
ALL_READERS = list(dict.fromkeys(reader for readers in READERS.values() for reader in readers))


@cache
def files(folder: Path) -> list[Path]:
    """All real files that are not large."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size < LARGEST)


def outcome(reader: Reader, path: Path) -> object:
    """What a reader gives, or its message, which must be one line that names the file."""
    try:
        return reader(path)
    except MpopError as error:
        assert "\n" not in str(error)
        assert path.name in str(error)
        return str(error)


def test_every_reader_meets_every_kind_of_file(test_data: Path) -> None:
    """Also those that it was not made for."""
    kinds: dict[tuple[str, ...], list[Path]] = {}
    for path in files(test_data):
        kinds.setdefault((path.suffix, path.parent.name), []).append(path)
    for paths in kinds.values():
        for reader in ALL_READERS:
            outcome(reader, paths[0])


@st.composite
def spoiled(draw: st.DrawFn, content: bytes, text: bool) -> bytes:
    """The bytes of a file with one thing done to them."""
    at = draw(st.integers(0, len(content)))
    lines = content.split(b"\n")
    row, other = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines) - 1))
    match draw(st.integers(0, 10 if text else 4)):
        case 0:
            return content[:at]
        case 1:
            return content[:at] + content[at + draw(st.sampled_from([1, 2, 7, 100, 5000])) :]
        case 2:
            odd = [b"\0", b"\xe5", b'"', b"'", b"\n", b"data_\n", b"loop_\n", b"nan", b"1e999", b";\n", b"9" * 20]
            return content[:at] + draw(st.sampled_from(odd)) + content[at:]
        case 3:
            near = draw(st.integers(0, min(255, len(content) - 1)))
            return content[:near] + draw(st.binary(min_size=1, max_size=4)) + content[near + 4 :]
        case 4:
            word = 4 * draw(st.integers(0, 55))
            odd = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\xc0\x7f", b"\xff\xff\xff\x7f", b"\1\0\0\0"]
            return content[:word] + draw(st.sampled_from(odd)) + content[word + 4 :]
        case 5:
            del lines[row : row + draw(st.sampled_from([1, 3]))]
        case 6:
            lines.insert(row, lines[other])
        case 7:
            lines[row], lines[other] = lines[other], lines[row]
        case 8:
            names = [number for number, line in enumerate(lines) if line.lstrip().startswith(b"_")]
            if len(names) > 1:
                one, two = draw(st.sampled_from(names)), draw(st.sampled_from(names))
                lines[one], lines[two] = lines[two], lines[one]
        case 9:
            names = [number for number, line in enumerate(lines) if line.lstrip().startswith(b"_")]
            if names:
                lines = _without_rows(lines, draw(st.sampled_from(names)))
        case _:
            return content.decode("latin-1").encode("utf-16")
    return b"\n".join(lines)


def _without_rows(lines: list[bytes], column: int) -> list[bytes]:
    """An empty loop."""
    first = column
    while first < len(lines) and lines[first].lstrip().startswith(b"_"):
        first += 1
    end = first
    while end < len(lines) and lines[end].strip():
        end += 1
    return lines[:first] + lines[end:]


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_spoiled_file_is_read_or_refused_in_one_line(
    test_data: Path, tmp_path: Path, data: st.DataObject
) -> None:
    known = [path for path in files(test_data) if path.suffix in READERS]
    suffix = data.draw(st.sampled_from(sorted({path.suffix for path in known})))
    path = data.draw(st.sampled_from([path for path in known if path.suffix == suffix]))
    content = data.draw(spoiled(path.read_bytes(), suffix in TEXTS))
    (tmp_path / path.name).write_bytes(content)
    outcome(data.draw(st.sampled_from(READERS[suffix])), tmp_path / path.name)


def same(one: object, other: object) -> bool:
    """Whether two results hold the same values."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float) and np.isnan(one):
        return bool(np.isnan(other))  # pyright: ignore[reportArgumentType, reportCallIssue]
    if isinstance(one, dict):
        assert isinstance(other, dict)
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        assert isinstance(other, (list, tuple))
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, pd.DataFrame):
        assert isinstance(other, pd.DataFrame)
        return one.equals(other)
    if isinstance(one, np.ndarray):
        return np.array_equal(one, np.asarray(other), equal_nan=one.dtype.kind == "f")
    if hasattr(one, "__dict__"):
        return all(same(value, vars(other)[key]) for key, value in vars(one).items() if key != "path")
    return one == other


@pytest.mark.parametrize("suffix", [".star", ".tomostar", ".xml", ".settings"])
def test_line_ends_byte_order_marks_and_comments_in_latin_1_change_nothing(
    test_data: Path, tmp_path: Path, suffix: str
) -> None:
    for path in [path for path in files(test_data) if path.suffix == suffix][::3]:
        content = path.read_bytes()
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            continue
        plain = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
        forms = [plain.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + plain]
        if suffix in (".star", ".tomostar"):
            forms.append("# Ångström\n".encode("latin-1") + plain)
        for reader in READERS[suffix]:
            if reader is read_request:
                continue
            (tmp_path / path.name).write_bytes(plain)
            expected = outcome(reader, tmp_path / path.name)
            for form in forms:
                (tmp_path / path.name).write_bytes(form)
                found = outcome(reader, tmp_path / path.name)
                refused = isinstance(found, str) and isinstance(expected, str)  # maybe in another line
                assert refused or same(found, expected), (path, reader)
