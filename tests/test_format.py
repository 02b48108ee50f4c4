"""docs/format.md is enough to read a population: a reader that knows nothing of mpop, and the fields it lists."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3
from example_population import make_population, maps, refine
from numcodecs import Blosc

from mpop.records import ItemRecord, JobRecord, PopulationRecord, Record, SourceRecord, SpeciesHead, SpeciesPart
from mpop_store.upkeep.packing import pack

PAGE = Path(__file__).resolve().parent.parent / "docs" / "format.md"


def packed_files(git: Path) -> dict[str, bytes]:
    """The files of all objects in packs, by name, as the page says."""
    found: dict[str, bytes] = {}
    for path in (git / "mpop" / "packs").glob("pack-*.mpack"):
        data = path.read_bytes()
        table, count = (int.from_bytes(data[-48 + at :][:8], "little") for at in (0, 8))
        assert data[:8] == b"MPOPPAK\x01" and data[table:][:8] == b"MPOPTAB\x01"
        assert path.name == f"pack-{data[-32:].hex()}.mpack" and blake3(data[table:-32]).digest() == data[-32:]
        names = [data[table + 8 + 32 * n :][:32].hex() for n in range(count)]
        offsets, lengths = (np.frombuffer(data, "<u8", count, table + 8 + at * count) for at in (32, 40))
        for name, offset, length in zip(names, offsets.tolist(), lengths.tolist(), strict=True):
            found[name] = data[offset : offset + length]
    return found


def read_object(git: Path, name: str) -> bytes:
    """An object, as the page says."""
    loose = git / "mpop" / "objects" / name[:2] / name[2:]
    file = loose.read_bytes() if loose.exists() else packed_files(git)[name]
    assert file[:8] == b"MPOPOBJ\x01" and file[10:16] == bytes(6)
    assert blake3(file[:-32]).digest() == file[-32:]
    payload = file[24:-32]
    content = payload if file[8] == 0 else Blosc().decode(payload)
    assert len(content) == int.from_bytes(file[16:24], "little")
    assert blake3(content).hexdigest() == name
    return bytes(content)


def read_array(git: Path, group: str, array: str) -> np.ndarray:
    """An array of a group, as the page and Zarr's specification say."""
    manifest = json.loads(read_object(git, group))
    assert manifest["format"] == "mpop-group/1"
    values = {
        key: base64.b64decode(entry["inline"]) if "inline" in entry else read_object(git, entry["object"])
        for key, entry in manifest["entries"].items()
    }
    about = json.loads(values[f"{array}/zarr.json"])
    assert about["codecs"] == [{"name": "bytes", "configuration": {"endian": "little"}}]
    chunk = about["chunk_grid"]["configuration"]["chunk_shape"]
    out = np.zeros(about["shape"], about["data_type"])
    for index in np.ndindex(*(-(-size // step) for size, step in zip(out.shape, chunk, strict=True))):
        data = values.get("/".join([array, "c", *map(str, index)]))
        if data is not None:
            place = tuple(slice(i * step, (i + 1) * step) for i, step in zip(index, chunk, strict=True))
            part = np.frombuffer(data, np.dtype(about["data_type"]).newbyteorder("<")).reshape(chunk)
            out[place] = part[tuple(slice(size) for size in out[place].shape)]
    return out


@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
def test_a_stranger_can_read_a_population(tmp_path: Path, packed: bool) -> None:
    population = make_population(tmp_path)
    refine(population)
    if packed:
        pack(population.repository)
        assert list(population.objects.loose.names()) == []
    git = population.root / ".git"
    blob = ["git", "-C", str(population.root), "show", f"HEAD:species/{'a' * 16}.json"]
    species = json.loads(subprocess.run(blob, capture_output=True, check=True).stdout)
    for name, expected in maps(1, 12.5).items():
        np.testing.assert_array_equal(read_array(git, species["maps_object"], name), expected)
    blob[-1] = f"HEAD:species/{'a' * 16}/11.json"
    part = json.loads(subprocess.run(blob, capture_output=True, check=True).stdout)
    assert part["version"] == species["parts"]["11"]
    group = part["particles"]["1" * 16]
    particles = population.particles(population.one_species("ribosome"), "1" * 16)
    np.testing.assert_array_equal(read_array(git, group, "id"), particles.id)
    np.testing.assert_array_equal(read_array(git, group, "position_A"), particles.position_A)
    content = {key: value for key, value in species.items() if key not in ("version", "derived")}
    text = json.dumps(content, sort_keys=True, separators=(",", ":")).replace(
        ".0,", ","
    )  # RFC 8785 writes 25.0 as 25
    assert blake3(text.encode()).hexdigest() == species["version"]


def test_empty_chunks_and_partial_ones_are_read(tmp_path: Path) -> None:
    population = make_population(tmp_path)
    array = np.zeros((70, 65, 3), np.float32)
    array[69, 64] = 1.5
    group = population.write_group({"a": array})
    np.testing.assert_array_equal(read_array(population.root / ".git", group, "a"), array)


@pytest.mark.parametrize(
    ("record", "path"),
    [
        (PopulationRecord, "population.json"),
        (SourceRecord, "sources/"),
        (ItemRecord, "items/"),
        (SpeciesHead, "species/<id>.json"),
        (SpeciesPart, "species/<id>/<digits>.json"),
        (JobRecord, "jobs/"),
    ],
)
def test_the_page_lists_every_field(record: type[Record], path: str) -> None:
    (row,) = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{path}")]
    listed = set(re.findall(r"`(\w+)`", row.split("|")[2]))
    assert listed == set(record.model_fields) - {"kind", "version"}
