"""What all commands on maps share: a folder that cannot take the results ends them before they begin."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest
from example_population import make_population
from gapped_maps import half_maps, with_maps
from typer.main import get_command
from typer.testing import CliRunner

from mpop.cli import context, correct, denoise, fsc, fsc3d, local_resolution
from mpop.cli.main import app
from mpop.cli.map_arguments import check_out, tell
from mpop.errors import InputError
from mpop.formats.images import write_map

REPORT, VOLUME = Path("out/report.html"), Path("out/fsc3d.mrc")
VERBS = ("fsc", "fsc3d", "local-resolution", "orientations", "correct", "denoise")


def run(folder: Path, *words: str) -> str:
    """What a command in a folder prints; its error is raised."""
    options = ["-C", str(folder), *words]
    return CliRunner().invoke(app, options, catch_exceptions=False, standalone_mode=False).stdout


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_is_committed_when_results_cannot_be_written(verb: str, tmp_path: Path) -> None:
    population = with_maps(make_population(tmp_path), half_maps(30)[0])
    folder = tmp_path / "population"
    head = population.repository.head
    (tmp_path / "taken").write_text("")
    for out in ("../taken", "../taken/below"):
        with pytest.raises(InputError, match="taken: is a file; --out names a folder"):
            run(folder, verb, "ribosome", "--out", out)
    assert population.repository.head == head


@pytest.mark.parametrize("verb", ["correct", "denoise"])
def test_maps_that_are_refused_leave_no_folder(verb: str, tmp_path: Path) -> None:
    maps, _ = half_maps(30)
    for name in ("half1", "half2"):
        write_map(tmp_path / f"{name}.mrc", getattr(maps, name), maps.pixel_size_A)
    with pytest.raises(InputError, match="give --mask MASK"):
        run(tmp_path, verb, "half1.mrc", "half2.mrc", "--out", "out")
    assert not (tmp_path / "out").exists()


QUICK = {"correct": ("--steps", "0", "--no-hold-out"), "denoise": ("--steps", "1")}


@pytest.mark.parametrize("module", [correct, denoise, fsc, fsc3d, local_resolution])
def test_no_result_takes_the_place_of_an_input(module: ModuleType, tmp_path: Path) -> None:
    verb = module.__name__.rpartition(".")[2].replace("_", "-")
    maps, _ = half_maps(30)
    first, last = module.WRITTEN[0], module.WRITTEN[-1]
    names = {"half1": first, "half2": "other.mrc", "mask": last if last != first else "mask.mrc"}
    for name, file in names.items():
        write_map(tmp_path / file, getattr(maps, name), maps.pixel_size_A)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    words = (verb, first, "other.mrc", "--mask", names["mask"], *QUICK.get(verb, ()), "--out")
    with pytest.raises(InputError, match=f"{first}: a result of this name would be written over it"):
        run(tmp_path, *words, str(tmp_path / "sub" / ".."))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    run(tmp_path, "--threads", "1", "--device", "cpu", *words, "out")
    assert {path.name for path in (tmp_path / "out").glob("*.mrc")} == set(module.WRITTEN)
    run(tmp_path, "--threads", "1", "--device", "cpu", *words, "out")  # its own results it may replace
    (tmp_path / "out" / "report.json").write_text('{"schema": "mpop.another/v1"}')
    with pytest.raises(InputError, match=r"out: holds the results of another command \(mpop\.another\)"):
        run(tmp_path, *words, "out")


def test_a_folder_that_may_not_be_written_to_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)  # root may write where others may not
    with pytest.raises(InputError, match="may not be written to; give another folder as --out"):
        check_out(tmp_path / "new" / "folder")
    monkeypatch.undo()
    check_out(tmp_path / "new" / "folder")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("fsc", "maps", "half2.mrc"), "maps: is a folder; give a file in it"),
        (("fsc", "maps"), "maps: is a folder; give a file in it"),
        (("fsc", "half1.mrc"), "half1.mrc: no such file"),
        (("fsc", "half1.ccp4"), "half1.ccp4: no such file"),
        (("fsc", "half1.mrc", "half2.mrc"), "half1.mrc: no such file"),
        (("orientations", "maps", "--diameter", "100"), "maps: is a folder; give a file in it"),
        (("fsc", "half.mrc", "--model", "maps"), "maps: is a folder; give a file in it"),
        (("fsc", "half.mrc", "--map", "maps"), "maps: is a folder; give a file in it"),
    ],
)
def test_a_folder_and_a_missing_file_are_told_apart(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    write_map(tmp_path / "half.mrc", half_maps(30)[0].half1, 2.0)
    with pytest.raises(InputError, match=message):
        run(tmp_path, *words)


@pytest.mark.parametrize(
    ("of_species", "commit", "files", "last"),
    [
        (False, None, [], []),
        (True, "0123456789abcdef", [REPORT, VOLUME], ["Committed as 0123456789", "Report: out/report.html"]),
        (
            True,
            None,
            [VOLUME],
            ["Nothing to commit: HEAD holds the result of this very job", "Written: out/fsc3d.mrc"],
        ),
    ],
)
def test_the_end_of_the_text_says_what_was_committed_and_where_the_report_is(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    of_species: bool,
    commit: str | None,
    files: list[Path],
    last: list[str],
) -> None:
    monkeypatch.setattr(context, "options", context.Options())
    tell("fsc3d", {"warnings": ["too few views"]}, ["Even."], of_species, commit, files)
    said = capsys.readouterr()
    assert said.out.splitlines() == ["Even.", *last]
    assert said.err == "mpop: warning: too few views\n"


def test_a_report_is_signed_with_the_whole_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maps, _ = half_maps(30)
    for name in ("half1", "half2"):
        write_map(tmp_path / f"{name}.mrc", getattr(maps, name), maps.pixel_size_A)
    words = ["-C", str(tmp_path), "fsc", "half1.mrc", "half2.mrc", "--seed", "3", "--out", "my results"]
    monkeypatch.setattr(sys, "argv", ["/opt/bin/mpop", *words])
    run(tmp_path, *words[2:])
    page = (tmp_path / "my results" / "report.html").read_text()
    assert f"<code>mpop -C {tmp_path} fsc half1.mrc half2.mrc --seed 3 --out &#39;my results&#39;</code>" in page


@pytest.mark.parametrize("verb", VERBS)
def test_examples_in_the_help_are_commands_that_can_be_given(verb: str) -> None:
    command = get_command(app).commands[verb]  # pyright: ignore[reportAttributeAccessIssue]
    heading, *lines = command.epilog.removeprefix("\b\n").splitlines()
    assert heading == "Examples:"
    assert len(lines) >= 2
    for line in lines:
        program, name, *words = shlex.split(line)
        assert (program, name) == ("mpop", verb)
        assert command.make_context(verb, words).params


def test_results_of_an_earlier_call_are_replaced_and_maps_of_others_are_not(tmp_path: Path) -> None:
    maps, _ = half_maps(30)
    for name in ("half1", "half2"):
        write_map(tmp_path / f"{name}.mrc", getattr(maps, name), maps.pixel_size_A)
    words = ("fsc", "half1.mrc", "half2.mrc", "--out", "out", "--json")

    def replaced(answer: str) -> list[str]:
        return [one for one in json.loads(answer)["warnings"] if "results of an earlier call" in one]

    assert replaced(run(tmp_path, *words)) == []
    assert replaced(run(tmp_path, *words)) == ["out: holds the results of an earlier call; they are replaced"]
    (tmp_path / "mine").mkdir()
    for name in ("map.mrc", "mask.mrc"):
        write_map(tmp_path / "mine" / name, maps.half1, maps.pixel_size_A)
        with pytest.raises(InputError, match=f"mine/{name}: is there already, and no report says"):
            run(tmp_path, "fsc", "half1.mrc", "half2.mrc", "--out", "mine")
        (tmp_path / "mine" / name).unlink()
    write_map(tmp_path / "mine" / "other.mrc", maps.half1, maps.pixel_size_A)
    assert replaced(run(tmp_path, "fsc", "half1.mrc", "half2.mrc", "--out", "mine", "--json")) == []
