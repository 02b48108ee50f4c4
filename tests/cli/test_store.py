"""`mpop verify`, `pack` and `gc` from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from example_population import make_population, refine

from mpop.population import Population

CODE = "import sys; from mpop.cli.main import main; sys.argv[0] = 'mpop'; main()"
LONG_AGO = 1e9


def mpop(population: Population, *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-c", CODE, "-C", str(population.root), *words],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    return done.stdout or done.stderr


def as_json(population: Population, *words: str, code: int = 0) -> dict[str, Any]:
    return json.loads(mpop(population, *words, "--json", code=code))


@pytest.fixture
def population(tmp_path: Path) -> Population:
    made = make_population(tmp_path)
    refine(made)
    return made


def test_pack_then_everything_is_as_before(population: Population) -> None:
    names = list(population.objects.names())
    report = as_json(population, "pack")
    assert (report["schema"], report["objects"], report["packs"]) == ("mpop.pack/v1", len(names), 1)
    assert report["git"] is True and report["damaged"] == []
    again = Population.open(population.root)
    assert list(again.objects.loose.names()) == [] and list(again.objects.names()) == names
    assert mpop(population, "verify").startswith(f"verified: {len(names)} objects")
    assert mpop(population, "pack") == "packed 0 objects (0.0 MiB), now 1 pack\n"


def test_gc_says_what_it_would_do_and_does_it(population: Population) -> None:
    garbage = population.objects.put(bytes(range(256)) * 20)
    for path in population.objects.root.rglob("??/*"):
        os.utime(path, (LONG_AGO, LONG_AGO))
    told = as_json(population, "gc", "--dry-run")
    assert told["schema"] == "mpop.gc/v1" and told["dry_run"] is True and told["garbage_objects"] >= 1
    assert population.objects.path(garbage).exists()
    done = as_json(population, "gc")
    assert done["garbage_objects"] == told["garbage_objects"] and not population.objects.path(garbage).exists()
    assert mpop(population, "verify").startswith("verified: ")
    text = mpop(population, "gc", "--empty-trash")
    assert "from the trash" in text and text.endswith(f"{done['live_objects']} objects needed\n")
    assert as_json(population, "gc")["trash_bytes"] == 0


def test_verify_reads_what_it_is_asked_to(population: Population) -> None:
    whole = as_json(population, "verify")
    assert whole["read_objects"] == whole["objects"] and whole["read_bytes"] == whole["bytes"]
    assert "read 0.0 % of the objects" in mpop(population, "verify", "--quick")
    some = [as_json(population, "verify", "--sample", "50%", "--seed", seed)["read_objects"] for seed in "112"]
    assert some[0] == some[1] and all(0 < number < whole["objects"] for number in some)
    for wrong in ("5", "x%", "-1%", "101%", "nan%"):
        assert "sample" in mpop(population, "verify", f"--sample={wrong}", code=2)


def test_verify_repair_without_a_remote_keeps_the_problem(population: Population) -> None:
    name = population.one_species("ribosome").maps_object
    path = population.objects.path(name)
    path.chmod(0o644)
    path.write_bytes(b"nothing")
    report = as_json(population, "verify", "--repair", code=5)
    assert [problem["name"] for problem in report["problems"]] == [name] and report["repaired"] == []
