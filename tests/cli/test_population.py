"""`mpop init`, `status`, `commit`, `log`, `show`, `verify`, and how commands end, as processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from example_population import make_population, refine

from mpop.population import Population

CODE = "import sys; from mpop.cli.main import main; sys.argv[0] = 'mpop'; main()"


def mpop(
    *words: str, code: int = 0, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", CODE, *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | environment,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    return done


def error(*words: str, code: int, cwd: Path | None = None) -> str:
    """The one line that a failing command prints."""
    done = mpop(*words, code=code, cwd=cwd)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("mpop: error: ")
    return line.removeprefix("mpop: error: ")


def as_json(*words: str) -> dict[str, Any]:
    return json.loads(mpop(*words, "--json").stdout)


@pytest.fixture
def population(tmp_path: Path) -> Population:
    return make_population(tmp_path)


def test_from_nothing_to_a_commit(tmp_path: Path) -> None:
    assert mpop("init", "lab", cwd=tmp_path).stdout == f"Initialised population lab in {tmp_path / 'lab'}\n"
    text = mpop("-C", "lab", "status", cwd=tmp_path).stdout
    assert "no commit yet" in text and "new      population   lab" in text
    made = json.loads(mpop("--json", "-C", "lab", "commit", "-m", "Start", cwd=tmp_path).stdout)
    assert made["schema"] == "mpop.commit/v1"
    status = as_json("-C", str(tmp_path / "lab"), "status")
    assert (status["clean"], status["changes"], status["head"]) == (True, [], made["commit"])
    git = subprocess.run(["git", "log", "--format=%H %s"], cwd=tmp_path / "lab", capture_output=True, text=True)
    assert git.stdout == f"{made['commit']} Start\n"
    assert error("-C", "lab", "commit", "-m", "Again", code=4, cwd=tmp_path).startswith("nothing to commit")
    assert "already" in error("init", "lab", code=4, cwd=tmp_path)


def test_status_speaks_of_series_and_species(population: Population) -> None:
    (species,) = population.species().values()
    item = population.item("TS_2").model_copy(update={"name": "TS_02"})
    population.stage([item], remove=[species])
    lines = mpop("-C", str(population.root), "status").stdout.splitlines()
    assert lines[1:3] == ["  changed  tilt series  TS_02", "  removed  species      ribosome"]


def test_log_and_show_tell_what_a_job_did(population: Population) -> None:
    commit = refine(population)
    where = ("-C", str(population.root))
    version = population.one_species("ribosome", "HEAD~1").version
    text = mpop(*where, "log", "--graph").stdout
    assert text.splitlines()[0].startswith(f"* {commit[:10]} ") and text.splitlines()[0].endswith("  Refine")
    assert "|     ribosome: 25.00 A -> 12.50 A  (from 1 tilt series)" in text
    assert f"|     TS_1 against ribosome@{version[:8]}" in text
    assert "failed: TS_2: NaN in tilt 2" in text
    entries = as_json(*where, "log")["commits"]
    assert [(e["id"], e["verb"]) for e in entries] == [(commit, "refine"), (entries[0]["parents"][0], None)]
    assert entries[0]["species"][0]["resolution_after_A"] == 12.5
    assert len(as_json(*where, "log", "-n", "1")["commits"]) == 1
    shown = mpop(*where, "show").stdout
    for part in (f"commit {commit}", "image_warp=[4, 4]; seed 7", "cpu, 2 threads, 12 s, 1.5 GiB", "8 particles"):
        assert part in shown
    assert as_json(*where, "show", "HEAD~1")["commit"]["message"] == "Import"


def test_verify_says_what_a_flipped_byte_touches(population: Population) -> None:
    where = ("-C", str(population.root))
    assert mpop(*where, "verify").stdout.startswith("verified: ")
    path = population.objects.path(population.one_species("ribosome").maps_object)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    done = mpop(*where, "verify", code=5)
    assert f"object {path.parent.name}{path.name} is damaged" in done.stdout
    assert "needed by species ribosome, version" in done.stdout
    assert done.stderr == ""
    assert (population.objects.quarantine.folder / (path.parent.name + path.name)).read_bytes() == data
    report = json.loads(mpop(*where, "verify", "--json", code=5).stdout)
    assert report["ok"] is False and report["problems"][0]["kind"] == "object"
    assert "is missing (a damaged copy is in quarantine)" in report["problems"][0]["message"]


def test_errors_are_one_line_with_an_exit_code(population: Population, tmp_path: Path) -> None:
    where = ("-C", str(population.root))
    assert "not inside a population" in error("-C", "/", "status", code=3)
    assert error(*where, "show", "nowhere", code=3) == "no commit 'nowhere' in this population"
    assert error("frobnicate", code=2) == "No such command 'frobnicate'; see `mpop --help`"
    assert error(*where, "commit", code=2).endswith("see `mpop commit --help`")
    assert "No such option" in error("status", "--colour", code=2)
    done = mpop("--json", "-C", "/", "log", code=3)
    assert json.loads(done.stdout)["schema"] == "mpop.error/v1" and json.loads(done.stdout)["exit_code"] == 3


def test_a_damaged_record_is_one_line_that_leads_to_verify(population: Population) -> None:
    oid = population.repository.entries()[f"species/{'a' * 16}.json"]
    blob = population.root / ".git" / "objects" / oid[:2] / oid[2:]
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[:-4])
    line = error("-C", str(population.root), "species", "list", code=5)
    assert line == f"Git object {oid} is damaged or missing; run `mpop verify`"
    assert f"species/{'a' * 16}.json" in mpop("-C", str(population.root), "verify", code=5).stdout


def test_an_internal_error_is_one_line_and_keeps_its_traceback(population: Population) -> None:
    broken = "import mpop.jobs.history as h; h.describe = lambda *a: 1 / 0; " + CODE
    done = subprocess.run(
        [sys.executable, "-c", broken, "-C", str(population.root), "log"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("mpop: error: internal error: ZeroDivisionError")
    (kept,) = (population.root / ".git" / "mpop" / "log").iterdir()
    assert str(kept) in line and "ZeroDivisionError: division by zero" in kept.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_the_end_of_a_queue_s_time_are_one_line(population: Population, number: signal.Signals) -> None:
    wait = "lambda *a, **k: (print('ready', flush=True), time.sleep(50))"
    heed = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "  # what runs us may ignore it
    )
    slow = f"{heed}import time; import mpop.jobs.verify as v; v.verify = {wait}; "
    process = subprocess.Popen(
        [sys.executable, "-c", slow + CODE, "-C", str(population.root), "verify"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(number)
    try:
        _, stderr = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    assert stderr == "mpop: error: interrupted; everything committed before is safe\n"


def test_ctrl_c_in_a_command_on_files_speaks_of_files(tmp_path: Path) -> None:
    stop = "def fail(*a, **k): raise KeyboardInterrupt\n"
    stop += "import mpop.jobs.maps.input as i; i.from_files = fail\n"
    done = subprocess.run(
        [sys.executable, "-c", stop + CODE, "fsc", "a.mrc", "b.mrc"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert done.returncode == 130
    said = "interrupted; no file is left half written, and those of earlier calls are still there"
    assert done.stderr == f"mpop: error: {said}\n"


def test_ctrl_c_in_the_midst_of_an_import_is_no_internal_error(population: Population) -> None:
    import_fails = (
        "import os, signal\n"
        "def fail(*a, **k):\n"
        "    try: os.kill(os.getpid(), signal.SIGTERM)\n"
        "    except KeyboardInterrupt: raise ImportError('initialization failed') from None\n"
        "import mpop.jobs.verify as v; v.verify = fail\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", import_fails + CODE, "-C", str(population.root), "verify"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 130
    assert done.stderr == "mpop: error: interrupted; everything committed before is safe\n"


def test_a_reader_that_leaves_early_is_no_error(population: Population) -> None:
    shell = f'"{sys.executable}" -c "{CODE}" -C "{population.root}" log | true'
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_read_only_population_can_be_read(population: Population) -> None:
    """Also what a member of another group sees."""
    for path in [population.root, *population.root.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert mpop("-C", str(population.root), "verify").stdout.startswith("verified")
        assert "Import" in mpop("-C", str(population.root), "log").stdout
    finally:
        for path in [population.root, *population.root.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
