"""Nothing that comes from data commands the terminal: one place prints, and makes what cannot be seen visible."""

from __future__ import annotations

import ast
import io
import json
import logging
import re
import unicodedata
import warnings
from pathlib import Path

import commands
import pygit2
import pytest
from example_population import make_population, refine
from hypothesis import given
from hypothesis import strategies as st

from mpop.cli import context
from mpop.cli.main import app
from mpop.population import Population
from mpop_store.git.history import History
from mpop_store.terminal import show, visible
from mpop_store.transfer.ssh import _pass_on

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07\r\x08\x7f\x9b31m\u202egnp.exe\u2066\u200b\u200e\u2028\u2029\x85\x0b\x0c\ufeff"
    "[red]x[/red][link=http://evil]y[/link]"
)
TERMINAL = "store/mpop_store/terminal.py"
BARS = "mpop/cli/progress.py"
MODULES = [path for folder in ("mpop", "hooks", "store") for path in sorted((ROOT / folder).rglob("*.py"))]


def hidden(text: str) -> list[str]:
    """The characters of a text that a terminal would obey, or not show."""
    return [c for c in text if not (c.isprintable() or c in "\n\t" or unicodedata.category(c) == "Zs")]


@given(st.text())
def test_everything_is_visible_and_nothing_else_changes(text: str) -> None:
    assert not hidden(visible(text))
    if not hidden(text):
        assert visible(text) == text
    assert visible(text).count("\n") == text.count("\n")
    visible(text).encode()  # half a surrogate pair too


@pytest.mark.parametrize("character", [*map(chr, range(9)), *map(chr, range(11, 32)), *map(chr, range(127, 160))])
def test_control_characters_are_shown_as_python_writes_them(character: str) -> None:
    assert visible(character) in (f"\\x{ord(character):02x}", "\\r")


@pytest.mark.parametrize("code", [0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028])
def test_characters_that_turn_or_hide_text_are_shown(code: int) -> None:
    assert visible(f"a{chr(code)}b") == f"a\\u{code:04x}b"


def test_a_terminal_without_a_character_is_shown_its_code() -> None:
    with io.TextIOWrapper(io.BytesIO(), encoding="ascii") as terminal:
        show("Åsa 日\n", terminal, flush=True)
        assert terminal.buffer.getvalue() == b"\\xc5sa \\u65e5\n\n"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    "command",
    [["log"], ["show"], ["branch"], ["switch", "-c"], ["tag"], ["tag", "t", "-m"], ["merge"], ["push", "origin"]],
    ids=" ".join,
)
def test_bytes_that_are_no_text_are_refused_in_a_line(tmp_path: Path, command: list[str]) -> None:
    root = make_population(tmp_path).root
    commands.mpop("-C", str(root), "remote", "add", "origin", str(tmp_path))
    done = commands.run("-C", str(root), *command, "b\udcff")
    assert done.code == 2 and "is not text in UTF-8" in done.err, done
    assert len(done.err.splitlines()) == 1 and not list(root.glob(".git/mpop/log/*"))


def _prints(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    called = ast.unparse(node.func)
    last = called.rsplit(".", 1)[-1]
    return (
        called in ("print", "input")
        or last in ("echo", "secho", "Console", "rprint")
        or (last in ("write", "writelines") and re.search(r"\bstd(out|err)\b", called) is not None)
    )


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_one_place_prints(path: Path) -> None:
    label = str(path.relative_to(ROOT))
    found = [ast.unparse(node) for node in ast.walk(ast.parse(path.read_text())) if _prints(node)]
    allowed = {TERMINAL: ["print"], BARS: ["Console"]}.get(label, [])
    assert [call.partition("(")[0] for call in found] == allowed, f"{label}: take mpop_store.terminal.show"


def test_markup_is_off_wherever_rich_writes_text() -> None:
    text = (ROOT / BARS).read_text()
    assert text.count("TextColumn(") == text.count("markup=False") == 1
    for path in MODULES:
        assert str(path.relative_to(ROOT)) == BARS or "rich." not in path.read_text()
    assert not [
        path
        for path in MODULES
        if "rich_markup_mode" in path.read_text() and "rich_markup_mode=None" not in path.read_text()
    ]


@pytest.fixture
def hostile(tmp_path: Path) -> Population:
    """A population with such characters in every string that Git or mpop's own files can hold."""
    population = make_population(tmp_path)
    refine(population)
    root, repository = population.root, population.repository
    history = History(pygit2.Repository(str(repository.git_directory)))
    who = pygit2.Signature(f"Eve{HOSTILE}", f"eve{HOSTILE}@lab", 10**9, 0)
    head = history.head
    assert head is not None
    git = pygit2.Repository(str(repository.git_directory))
    tree = git[head].tree_id
    message = f"{HOSTILE}\n\nbody {HOSTILE}\nmpop: error: forged\n{HOSTILE}"
    commit = git.create_commit(None, who, who, message, tree, [pygit2.Oid(hex=head)])
    git.references.create("refs/heads/main", commit, force=True)
    git.create_tag("v1", commit, pygit2.enums.ObjectType.COMMIT, who, message)
    git.references.create("refs/heads/a\u202eb\u200b", commit)
    log = root / ".git/mpop/operations.jsonl"
    last = [one for one in map(json.loads, log.read_text().splitlines()) if "moves" in one][-1]
    moves = {"refs/heads/main": [head, str(commit)]}
    entry = last | {
        "number": last["number"] + 1,
        "who": HOSTILE,
        "reason": f"{HOSTILE}\nforged line",
        "moves": moves,
    }
    log.write_text(log.read_text() + json.dumps(entry) + "\n")
    git.config["remote.origin.url"] = f"../no{HOSTILE}where"
    git.config["remote.origin.fetch"] = "+refs/heads/*:refs/remotes/origin/*"
    return population


COMMANDS: list[list[str]] = [
    ["status"],
    ["log"],
    ["log", "--graph"],
    ["log", "--all"],
    ["show"],
    ["show", "v1"],
    ["diff", "HEAD~1"],
    ["diff", HOSTILE],
    ["show", HOSTILE],
    ["branch"],
    ["branch", HOSTILE],
    ["switch", HOSTILE],
    ["switch", "a\u202eb\u200b"],
    ["checkout", "HEAD~1"],
    ["checkout", HOSTILE],
    ["tag"],
    ["tag", HOSTILE],
    ["op", "log"],
    ["undo"],
    ["restore", HOSTILE],
    ["revert", HOSTILE],
    ["merge", HOSTILE],
    ["merge", "v1"],
    ["source", "list"],
    ["source", "add", HOSTILE, "--warp", HOSTILE],
    ["source", "remove", HOSTILE],
    ["species", "list"],
    [
        "species",
        "add",
        HOSTILE,
        "--half1",
        HOSTILE,
        "--half2",
        "b",
        "--mask",
        "c",
        "--particles",
        "d",
        "--diameter",
        "9",
    ],
    ["species", "remove", HOSTILE],
    ["collisions"],
    ["refine", "--species", HOSTILE],
    ["fsc", HOSTILE, HOSTILE, "--out", HOSTILE],
    ["fsc3d", HOSTILE],
    ["local-resolution", HOSTILE],
    ["orientations", HOSTILE],
    ["correct", HOSTILE],
    ["denoise", HOSTILE],
    ["remote", "list"],
    ["remote"],
    ["remote", "add", HOSTILE, HOSTILE],
    ["fetch"],
    ["fetch", HOSTILE],
    ["pull"],
    ["push"],
    ["push", HOSTILE],
    ["clone", HOSTILE],
    ["request", "list"],
    ["request", "show", HOSTILE],
    ["request", "open", "--species", HOSTILE],
    ["export", "warp", HOSTILE, "--at", HOSTILE],
    ["export", "maps", "../out"],
    ["export", "relion", "../out"],
    ["reproduce", HOSTILE],
    [
        "species",
        "add",
        "x",
        "--half1",
        HOSTILE,
        *["--half2", "b", "--mask", "c", "--particles", "d", "--diameter", "9"],
    ],
    ["commit", "-m", HOSTILE],
    ["reconstruct", "--species", HOSTILE],
    ["resolve", HOSTILE],
    ["verify"],
    ["verify", "--sample", HOSTILE],
    ["pack"],
    ["gc", "--dry-run"],
    ["drop", HOSTILE],
    ["init", HOSTILE],
    ["init", "--name", HOSTILE],
    [HOSTILE],
    ["log", f"--{HOSTILE}"],
]


def _spoken(root: Path, words: list[str]) -> tuple[str, str]:
    context.options.json = False
    done = commands.run("-C", str(root), *words)
    return done.out, done.err


def test_no_command_lets_a_control_character_through(hostile: Population) -> None:
    said = ""
    for words in COMMANDS:
        for more in ([], ["--json"]):
            out, err = _spoken(hostile.root, [*words, *more])
            assert not hidden(out + err), (words, hidden(out + err))
            assert "internal error" not in err, (words, err)
            assert len(err.splitlines()) <= 1 or "warning" in err, (words, err)
            assert not re.search(r"^(mpop: error: forged|forged line)", out, re.MULTILINE), (words, out)
            if more and out.startswith("{"):
                json.loads(out)
            said += out + err
    assert "\\x1b[2J\\x1b]0;owned\\x07" in said  # it was met, and is shown
    assert "[red]x[/red]" in said


def test_every_command_is_walked() -> None:
    names = [one.name or getattr(one.callback, "__name__", "") for one in app.registered_commands]
    known = {name.replace("_", "-") for name in [*names, *(str(group.name) for group in app.registered_groups)]}
    apart = {"demo", "simulate", "serve-stdio", "relion-external-reconstruct"}  # they read no population
    assert known - apart <= {words[0] for words in COMMANDS}


def test_json_says_exactly_what_there_is(hostile: Population) -> None:
    out, _ = _spoken(hostile.root, ["log", "--json"])
    first = json.loads(out)["commits"][0]
    assert first["message"].startswith(HOSTILE.split("\x00")[0][:20])
    assert "\x7f" in first["message"] and "\x7f" not in out


def test_warnings_logs_and_errors_of_libraries_are_visible(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    logging.captureWarnings(False)  # as in a process that begins

    def work() -> int:
        logging.getLogger("mpop").warning("note %s\nforged", HOSTILE)
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.warn(f"look {HOSTILE}", UserWarning, stacklevel=1)
        raise RuntimeError(f"broken {HOSTILE}")

    with pytest.raises(SystemExit):
        context.main(work)
    logging.captureWarnings(False)
    said = capsys.readouterr()
    assert not hidden(said.err)
    for part in ("note \\x1b[2J", "look \\x1b[2J", "broken \\x1b[2J"):
        assert part in said.err
    assert not [line for line in said.err.splitlines() if line.startswith("forged")]


def test_labels_of_bars_are_literal(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    from mpop.cli import progress

    screen = io.StringIO()
    monkeypatch.setattr("rich.console.Console", lambda **_: Console(file=screen, force_terminal=True, width=400))
    with progress.progress_bars() as listen:
        listen("[red]x[/red]\u202e\x07\x9b[b]", 1, 2)
    assert "[red]x[/red]\\u202e\\x07\\x9b[b]" in screen.getvalue()


def test_what_the_far_side_of_ssh_says_is_visible(capsys: pytest.CaptureFixture[str]) -> None:
    _pass_on(io.BytesIO(f"hello {HOSTILE}\r\n".encode() + b"\xff\xfe" + b"x" * 9000))
    said = capsys.readouterr().err
    assert not hidden(said) and "hello \\x1b[2J" in said and "\\xff\\xfe" in said
