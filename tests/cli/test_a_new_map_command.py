"""A map command is one analysis, one report and a few lines: the example of the documents, as a command."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from gapped_maps import PIXEL_A, half_maps
from typer.testing import CliRunner

from mpop.cli import context
from mpop.cli.option_groups import flat
from mpop.errors import InputError
from mpop.formats.images import write_map

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "add-a-map-command.md"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the blocks of the page define, as one module."""
    code = "\n".join(re.findall(r"```python\n(.*?)```", HOW_TO.read_text(), re.DOTALL))
    module = ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)
    exec(compile(code, str(HOW_TO), "exec", dont_inherit=True), vars(module))
    return vars(module)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(context, "options", context.Options(directory=tmp_path))
    maps = half_maps(30)[0]
    for name, volume in (("half1", maps.half1), ("half2", maps.half2), ("mask", maps.required_mask())):
        write_map(tmp_path / f"{name}.mrc", volume, PIXEL_A)
    return tmp_path


def run(example: dict[str, Any], *words: str) -> str:
    app = typer.Typer()
    example["register"](app)
    app.command("other")(lambda: None)  # typer makes no group of one command
    return CliRunner().invoke(app, ["contrast", *words], catch_exceptions=False, standalone_mode=False).stdout


def test_the_example_of_the_documents_is_a_command(example: dict[str, Any], folder: Path) -> None:
    words = ("half1.mrc", "half2.mrc", "--mask", "mask.mrc")
    text = run(example, *words, "--out", "out")
    assert re.fullmatch(r" +\d+\.\d\d  contrast of the particle\nReport: .*out/report.html\n", text)
    page = (folder / "out/report.html").read_text()
    assert page.count("<svg") == 1
    assert "Contrast of half1" in page
    data = json.loads(run(example, *words, "--json"))
    assert data["schema"] == "mpop.contrast/v1"
    assert data["contrast"] == json.loads((folder / "out/report.json").read_text())["contrast"] > 1


def test_it_refuses_what_all_map_commands_refuse(example: dict[str, Any], folder: Path) -> None:
    with pytest.raises(InputError, match="give --mask MASK"):
        run(example, "half1.mrc", "half2.mrc")
    with pytest.raises(InputError, match="one half-map alone cannot say what is noise"):
        run(example, "half1.mrc")
    (folder / "out").write_text("")
    with pytest.raises(InputError, match="out: is a file; --out names a folder"):
        run(example, "half1.mrc", "half2.mrc", "--mask", "mask.mrc", "--out", "out")


def test_a_picture_may_be_left_out(example: dict[str, Any], folder: Path) -> None:
    run(example, "half1.mrc", "half2.mrc", "--mask", "mask.mrc", "--out", "out", "--no-picture")
    assert list((folder / "out").iterdir()) == []


def test_options_of_a_group_are_those_that_its_fields_declare(example: dict[str, Any]) -> None:
    command = flat(example["contrast_command"])
    names = list(command.__annotations__)
    assert names == ["maps", "mask", "out", "angpix", "picture", "json"]
    assert command.__doc__ == "Measure the contrast of a particle."
