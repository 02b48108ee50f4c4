"""What is in a record never decides in which folder a file lies: the function that sees to it, and who uses it."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpop_store import StateError
from mpop_store.paths import MAX_COMPONENT, below, inside, refuse_same_files

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(
    path for folder in ("mpop", "hooks", "store") for path in (ROOT / folder).rglob("*.py") if path.stem != "paths"
)

OWN_NAMES = (
    "store/mpop_store/objects/",
    "store/mpop_store/git/",
    "store/mpop_store/identity.py",
    "store/mpop_store/transfer/git_packs.py",
)
"""Modules where names of files are hex digits that were checked (`LooseObjects.path`), or made by mpop itself."""
EXEMPT = {
    "mpop/population.py": ["self.root.resolve() / raw.path"],  # raw images lie elsewhere; compared with their hash
    "mpop/cli/context.py": ["options.directory / path"],  # what the user wrote
    "mpop/exchange/cloning.py": ["base / (folder or _folder_of(kept))"],  # what the user wrote
    "mpop/jobs/relocating.py": ["Path(folder) / name"],  # what lies in the user's folder; compared with its hash
    "hooks/mpop_hooks/executables.py": ["proposal.folder / proposal.event"],  # one of three words
    # the user's own project, whose files name each other with folders; they are only read
    "mpop/importing/warp.py": [
        "base / found.data_folder",
        "base / (found.processing_folder or found.data_folder)",
        "path.parent / movie",
        "movie_path.parent / 'average' / (movie_path.stem + suffix)",
    ],
    "mpop/importing/relion.py": ["folder / name", "folder / table.files[0]"],
    "mpop/jobs/importing/raw_images.py": ["path.parent.resolve() / path.name"],
}
PATH_WORD = re.compile(r"(folder|directory|root|path|parent|private|home|base|project|target|truth|resolve)$")


def _word(node: ast.expr) -> str:
    """The last word of what is joined to."""
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            return node.attr
        case ast.Call():
            return "path" if ast.unparse(node.func) in ("Path", "inside", "below") else _word(node.func)
        case ast.BinOp(op=ast.Div()):
            return "path" if _is_text(node.right) else _word(node.left)
    return ""


def _is_fixed(node: ast.expr) -> bool:
    """Whether the code alone decides on this part of a path: a literal, a constant, or a literal with numbers."""
    match node:
        case ast.Constant():
            return True
        case ast.Name() | ast.Attribute():
            return _word(node).isupper()
        case ast.JoinedStr():
            parts = [part for part in node.values if isinstance(part, ast.FormattedValue)]
            return all(_is_number(part) for part in parts)
    return False


def _is_number(part: ast.FormattedValue) -> bool:
    """Whether what is written in `{x:03d}` can only be digits, or is a time or the number of a process."""
    form = "" if part.format_spec is None else ast.unparse(part.format_spec)
    return form.strip("f'").endswith(("d", "%S")) or ast.unparse(part.value) == "os.getpid()"


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def joins(tree: ast.AST) -> Iterator[ast.expr]:
    """Where a path is joined with something that the code does not decide on."""
    for node in ast.walk(tree):
        match node:
            case ast.BinOp(op=ast.Div()):
                if not _is_fixed(node.right) and (PATH_WORD.search(_word(node.left)) or _is_text(node.right)):
                    yield node
            case ast.Call(func=ast.Attribute(attr="joinpath")):
                if not all(_is_fixed(one) for one in node.args):
                    yield node
            case ast.Call() if ast.unparse(node.func) == "os.path.join":
                yield node


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_are_made_of_data_by_one_function(path: Path) -> None:
    label = str(path.relative_to(ROOT))
    if label.startswith(OWN_NAMES):
        return
    found = [ast.unparse(node) for node in joins(ast.parse(path.read_text()))]
    assert set(found) <= set(EXEMPT.get(label, [])), f"{label}: take `inside` or `below` of mpop_store.paths"


def test_every_exemption_is_needed() -> None:
    for label, expressions in EXEMPT.items():
        found = [ast.unparse(node) for node in joins(ast.parse((ROOT / label).read_text()))]
        assert set(expressions) <= set(found), label


@pytest.mark.parametrize(
    "code",
    [
        "folder / f'{item.name}.xml'",
        "Path(x) / record['name']",
        "self.folder / name",
        "anything / f'{name}.mrc'",
        "target / 'sub' / name",
        "options.directory.resolve().joinpath(name)",
        "os.path.join(folder, name)",
    ],
)
def test_the_rule_sees_a_path_that_is_made_of_data(code: str) -> None:
    assert [*joins(ast.parse(code))]


@pytest.mark.parametrize(
    "code", ["folder / 'x.mrc'", "folder / FILE", "folder / f'{n:03d}.npz'", "a / b", "1 / x"]
)
def test_the_rule_lets_fixed_names_and_numbers_be(code: str) -> None:
    assert not [*joins(ast.parse(code))]


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a/b",
        "../x",
        "/etc/passwd",
        "a\\b",
        "a\0b",
        "a\nb",
        "\x1b[2J",
        "a\u202eb",
        "n" * 256,
        "é" * 128,
    ],
)
def test_a_name_that_could_lead_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StateError) as refused:
        inside(tmp_path, name)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "name",
    ["TS_01.mrc", "007", "a b", "#1", "grid 3.b", "x.", "...", "-v", "~", "$HOME", "*", "ü", "O'Brien", "é" * 127],
)
def test_names_of_series_are_names_of_files(tmp_path: Path, name: str) -> None:
    inside(tmp_path, name).write_text(name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@given(name=st.text(max_size=300))
def test_what_is_inside_is_inside(name: str) -> None:
    folder = Path("/a/b")
    try:
        path = inside(folder, name)
    except StateError:
        return
    assert os.path.normpath(path) == f"/a/b/{name}"
    assert len(name.encode()) <= MAX_COMPONENT


@pytest.mark.parametrize(
    "names", [["a", "a"], ["TS_1", "ts_1"], ["\u00e9", "e\u0301"], ["\u00c9", "e\u0301"], ["ß", "SS"]]
)
def test_two_things_are_not_written_to_one_file(names: list[str]) -> None:
    with pytest.raises(StateError, match="their files would overwrite each other"):
        refuse_same_files("series", names)


def test_a_link_below_a_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "root" / "species").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError, match="is a link to another place"):
        below(tmp_path / "root", "species/x.json")
    with pytest.raises(StateError, match=r"leads to another folder|means no file"):
        below(tmp_path / "root", "../elsewhere/x.json")
    assert below(tmp_path / "root", "items/ab/x.json") == tmp_path / "root/items/ab/x.json"
