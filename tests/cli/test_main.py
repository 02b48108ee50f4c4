"""Which commands are built for a call."""

from __future__ import annotations

import pytest
from typer.main import get_group

from mpop.cli.main import app, called


@pytest.mark.parametrize(
    ("words", "built"),
    [
        (["fsc3d", "one.mrc", "fsc"], ["fsc3d"]),
        (["-C", "fsc", "--json", "fsc3d"], ["fsc3d"]),
        (["--device", "cpu", "local-resolution", "ribosome"], ["local-resolution"]),
        (["species", "list"], ["species"]),
    ],
)
def test_the_command_that_is_called_is_built_alone(words: list[str], built: list[str]) -> None:
    assert list(get_group(called(words)).commands) == built


@pytest.mark.parametrize("words", [[], ["--help"], ["fcs3d", "fsc3d"], ["-C", "fsc3d"], ["--threads"]])
def test_all_commands_are_built_where_none_is_called(words: list[str]) -> None:
    """So that help lists them, and a misspelt one is answered with those that are like it."""
    assert called(words) is app


def test_each_command_is_found_by_its_name() -> None:
    for name, command in get_group(app).commands.items():
        (found,) = get_group(called([name])).commands.values()
        assert found.get_short_help_str() == command.get_short_help_str()
