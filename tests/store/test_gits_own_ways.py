"""What Git itself offers, tried in a population by the real Git: each works, or is refused with the reason.

Whatever is done, all that was committed stays, and `mpop verify` finds nothing wrong.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from example_population import make_population, refine
from typer.testing import CliRunner

from mpop.cli import context
from mpop.cli.main import app
from mpop.errors import MpopError
from mpop.population import Population

IDENTITY = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in (("NAME", "Ada"), ("EMAIL", "ada@lab.example"))
}
MPOP = [str(Path(sys.executable).with_name("mpop"))]


def run(folder: Path, *words: str, code: int = 0, **variables: str) -> str:
    """What a command prints, on both streams."""
    done = subprocess.run(
        words, cwd=folder, env={**os.environ, **IDENTITY, **variables}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == code, (words, done.stdout + done.stderr)
    return done.stdout + done.stderr


def git(folder: Path, *words: str, code: int = 0, **variables: str) -> str:
    return run(folder, "git", "-c", "protocol.file.allow=always", *words, code=code, **variables)


def mpop(folder: Path, *words: str, code: int = 0, **variables: str) -> str:
    """What a command of mpop prints; with variables in a process of its own, else in this one: quicker."""
    if variables:
        return run(folder, *MPOP, *words, code=code, **variables)
    context.options.json = False
    done = CliRunner(env=IDENTITY).invoke(app, ["-C", str(folder), *words])
    error = done.exception
    if isinstance(error, MpopError):
        assert error.exit_code == code, (words, str(error))
        return str(error)
    assert done.exit_code == code, (words, done.output, error)
    return done.output


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a population `p` of two commits, a branch `side` at the first."""
    folder = tmp_path_factory.mktemp("own-ways")
    population = make_population(folder)
    mpop(population.root, "branch", "side")
    refine(population)
    population.root.rename(folder / "p")
    return folder


@pytest.fixture
def place(example: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(example, tmp_path / "place", symlinks=True)
    return tmp_path / "place"


def snapshot(folder: Path) -> dict[str, str]:
    """Every file below a folder, by content, but for the notes on which commits have been checked: a cache."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "checked"]
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in files}


WAYS: dict[str, list[list[str]]] = {
    "gc": [["gc", "-q", "--prune=now"]],
    "prune": [["prune", "--expire=now"]],
    "repack": [["repack", "-q", "-a", "-d"]],
    "pack-refs": [["pack-refs", "--all", "--prune"]],
    "commit-graph": [["commit-graph", "write", "--reachable"]],
    "amend": [["commit", "-q", "--no-verify", "--amend", "-m", "Said otherwise"]],
    "rebase": [["rebase", "-q", "--force-rebase", "HEAD~1"]],
    "reset": [["reset", "-q", "--hard", "HEAD~1"]],
    "switch": [["switch", "-q", "side"], ["switch", "-q", "main"]],
    "detach": [["checkout", "-q", "HEAD~1"]],
    "branch -D": [["branch", "-q", "-D", "side"]],
    "update-ref": [["update-ref", "refs/heads/side", "main"]],
    "odd names": [["update-ref", "refs/heads/-x", "main"], ["update-ref", "refs/tags/a/-d", "main"]],
    "sparse checkout": [["sparse-checkout", "set", "--cone", "--no-sparse-index", "species"]],
    "index version 4": [["update-index", "--index-version", "4"]],
    "notes and replace": [["notes", "add", "-m", "N"], ["replace", "--graft", "HEAD"], ["replace", "-d", "HEAD"]],
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_what_works(place: Path, way: list[list[str]]) -> None:
    here = place / "p"
    commits = [one.id for one in Population.open(here).repository.log()]
    mpop(here, "tag", "kept")
    for words in way:
        git(here, *words)
    mpop(here, "status")
    mpop(here, "verify")
    before = snapshot(here)
    known = mpop(here, "log", "kept")
    assert all(oid[:10] in known for oid in commits) and snapshot(here) == before
    mpop(here, "gc")
    mpop(here, "restore", "--all")
    mpop(here, "switch", "-c", "further", "kept")
    mpop(here, "verify")
    assert git(here, "fsck", "--strict", "--no-dangling").strip() == ""
    assert [one.id for one in Population.open(here).repository.log()] == commits


def test_staged_changes_come_back_from_a_stash(place: Path) -> None:
    here = place / "p"
    mpop(here, "restore", "--source", "HEAD~1", "--all")
    status = mpop(here, "status")
    git(here, "stash")
    assert "nothing to commit" in mpop(here, "status")
    mpop(here, "gc")
    git(here, "stash", "pop", "--index")
    assert mpop(here, "status") == status and "nothing to commit" not in status
    mpop(here, "verify")


@pytest.mark.parametrize("setting", ["index.sparse", "core.splitIndex"])
def test_an_index_that_libgit2_cannot_read_is_refused_with_the_way_out(place: Path, setting: str) -> None:
    here = place / "p"
    if setting == "index.sparse":
        git(here, "sparse-checkout", "set", "--cone", "--sparse-index", "nothing")
    else:
        git(here, "config", "core.splitIndex", "true")
        git(here, "update-index", "--split-index")
    said = mpop(here, "status", code=5)
    assert setting in said
    for command in said.split("`")[1].split(" && "):
        run(here, *command.split())
    assert "nothing to commit" in mpop(here, "status")


COMMANDS = ["status", "log", "fetch", "verify", "branch", "commit -m x", "switch main", "push", "gc", "drop --all"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_linked_work_tree_is_refused(place: Path, command: str) -> None:
    git(place / "p", "worktree", "add", "-q", "../linked", "side")
    before = snapshot(place)
    said = mpop(place / "linked", *command.split(), code=4)
    assert f"`git worktree` made of the population {place / 'p'}, where mpop does not work" in said
    assert snapshot(place) == before
    assert "nothing to commit" in mpop(place / "p", "status")


def test_a_submodule_works(place: Path) -> None:
    git(place, "init", "-q", "outer")
    outer = place / "outer"
    git(outer, "submodule", "add", "-q", "../p", "inner")
    inner = outer / "inner"
    assert "`mpop fetch` brings them" in mpop(inner, "status", code=4)
    mpop(inner, "fetch")
    mpop(inner, "restore", "--source", "HEAD~1", "--all")
    mpop(inner, "commit", "-m", "Back")
    mpop(inner, "verify")
    assert (outer / ".git" / "modules" / "inner" / "mpop" / "objects").is_dir()
    assert "inner" in git(outer, "status", "--porcelain")


@pytest.mark.parametrize("option", ["--reference", "--shared"])
def test_a_clone_that_borrows_works(place: Path, option: str) -> None:
    words = {"--shared": ["--shared"], "--reference": ["--no-local", "--reference", str(place / "p")]}[option]
    git(place, "clone", "-q", *words, str(place / "p"), "clone")
    assert (place / "clone" / ".git" / "objects" / "info" / "alternates").is_file()
    mpop(place / "clone", "fetch")
    assert "nothing to commit" in mpop(place / "clone", "status")
    mpop(place / "clone", "verify")


@pytest.mark.parametrize("variable", ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"])
def test_variables_of_git_that_lead_elsewhere_are_not_followed(place: Path, variable: str) -> None:
    """mpop works where it is, or where -C says; as in a hook of Git, which sets them."""
    other = place / "elsewhere"
    git(place, "init", "-q", str(other))
    before = snapshot(other)
    variables = {variable: str(other / (".git/index" if variable == "GIT_INDEX_FILE" else ".git"))}
    mpop(place / "p", "switch", "-c", "new", **variables)
    mpop(place / "p", "restore", "--source", "side", "--all", **variables)
    mpop(place / "p", "commit", "-m", "Back", **variables)
    mpop(place / "p", "verify", **variables)
    assert snapshot(other) == before
    assert git(place / "p", "status", "--porcelain", "--branch").strip() == "## new"


@pytest.mark.parametrize("level", ["--global", "--local"])
def test_hooks_that_are_looked_for_elsewhere_are_warned_of(place: Path, level: str) -> None:
    here, empty = place / "p", place / "no-hooks"
    empty.mkdir()
    variables = {"GIT_CONFIG_GLOBAL": str(place / "gitconfig"), "HOME": str(place)}
    (place / ".gitconfig").touch()
    git(here, "config", level, "core.hooksPath", str(empty), **variables)
    if level == "--global":
        shutil.copy(place / "gitconfig", place / ".gitconfig")  # where libgit2 looks
    mpop(here, "restore", "--source", "side", "--all", **variables)
    warning = f"mpop: warning: core.hooksPath is {empty}, so plain Git is not kept from"
    for words in (("commit", "-m", "Back"), ("verify",)):
        assert mpop(here, *words, **variables).count(warning) == 1
    assert warning not in mpop(here, "log", **variables)
    advice = mpop(here, "verify", **variables).split("`")[1]
    run(here, *advice.split(), **variables)
    assert "warning" not in mpop(here, "verify", **variables)
    assert "mpop commit" in git(here, "commit", "--allow-empty", "-m", "By hand", code=1, **variables)


@pytest.mark.parametrize(
    ("value", "file_bits", "folder_bits"),
    [("group", 0o660, 0o770), ("1", 0o660, 0o770), ("all", 0o664, 0o775), ("0660", 0o660, 0o770)],
)
def test_files_of_a_shared_population_can_be_used_by_those_it_is_shared_with(
    place: Path, value: str, file_bits: int, folder_bits: int
) -> None:
    """With a umask that would keep everybody out. Files that are never written again may not be, as Git's."""
    mask = 0o077
    init = subprocess.run(
        [*MPOP, "init", "--bare", "shared"], cwd=place, umask=mask, check=True, capture_output=True
    )
    assert init.returncode == 0
    shared = place / "shared"
    git(shared, "config", "core.sharedRepository", value)
    old = set(shared.rglob("*"))
    mpop(place / "p", "remote", "add", "origin", str(shared))
    for words in (
        ["-C", "p", "push"],
        ["-C", "shared", "pack"],
        ["-C", "shared", "gc"],
        ["-C", "p", "push", "origin", "side"],
    ):
        subprocess.run(
            [*MPOP, *words], cwd=place, umask=mask, check=True, capture_output=True, env={**os.environ, **IDENTITY}
        )
    new = set(shared.rglob("*")) - old
    assert len(new) > 10
    for path in new:
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir():
            assert mode & 0o777 == folder_bits, (path, oct(mode))
        else:
            assert mode & 0o444 == file_bits & 0o444, (path, oct(mode))
            assert mode & 0o222 in (0, file_bits & 0o222), (path, oct(mode))


def test_a_value_for_sharing_that_git_does_not_know_is_refused(place: Path) -> None:
    git(place / "p", "config", "core.sharedRepository", "everyone")
    before = os.umask(0o022)
    said = mpop(place / "p", "status", code=4)
    assert os.umask(before) == 0o022, "refusing took rights from all files that come after"
    assert "core.sharedRepository is 'everyone'" in said


READING: list[str] = [
    "status",
    "log --graph",
    "show",
    "diff side main",
    "branch",
    "branch -r",
    "tag",
    "op log",
    "verify --quick",
    "remote list",
    "request list",
]


@pytest.mark.parametrize("half_done", [False, True])
def test_commands_that_read_write_nothing(place: Path, half_done: bool) -> None:
    """References, index and operation log stay byte for byte, and all but a cache, half-done switch or not."""
    here = place / "p"
    if half_done:
        repository = Population.open(here).repository
        start, head = repository.resolve("side"), repository.head
        moves = {"refs/heads/new": (None, start), "HEAD": ("ref: refs/heads/main", "ref: refs/heads/new")}
        repository.operations.begin(moves, "switch: main -> new", "ref: refs/heads/new", (head, start))
        git(here, "update-ref", "refs/heads/new", start)
    before = snapshot(here)
    for command in READING:
        mpop(here, *command.split())
        assert snapshot(here) == before, command
    mpop(place, "clone", str(here), str(place / "clone"))
    changed = {name for name in snapshot(here).keys() ^ before.keys()} - {".git/mpop/leases/lock"}
    assert changed == set(), "clone"
    branch = mpop(place / "clone", "status").split("\n")[0]
    assert branch == mpop(here, "status").split("\n")[0]


ODD_PLACES = [
    "index",
    "config",
    "packed-refs",
    "shallow",
    "refs/heads/odd",
    "refs/heads/main",
    "objects/info/alternates",
    "objects/pack/pack-" + "1" * 40 + ".pack",
    "objects/pack/pack-" + "1" * 40 + ".idx",
    "mpop/lock",
    "mpop/operations.jsonl",
    "mpop/merge.json",
]


def socket_at(path: Path) -> None:
    """A socket, which stays when it is closed."""
    here = Path.cwd()
    try:
        os.chdir(path.parent)  # the path itself may be too long for one
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize(
    ("make", "name"),
    [*((os.mkfifo, name) for name in ODD_PLACES), (socket_at, "index"), (socket_at, "refs/heads/odd")],
)
def test_what_is_no_file_is_named_and_hangs_nothing(
    place: Path, name: str, make: Callable[[Path], object]
) -> None:
    path = place / "p" / ".git" / name
    path.unlink(missing_ok=True)
    make(path)
    for words in (("switch", "-c", "x"), ("verify",)):
        done = subprocess.run([*MPOP, *words], cwd=place / "p", capture_output=True, text=True, timeout=60)
        assert done.returncode == 5, (words, done.stdout, done.stderr)
        said = done.stdout + done.stderr
        assert path.name in said and "internal error" not in said, (words, said)


@pytest.mark.parametrize("kind", ["commit", "tree", "blob"])
def test_a_pipe_in_place_of_a_git_object_hangs_nothing(place: Path, kind: str) -> None:
    """In a history that nobody has looked at yet, too."""
    folder = place / "p" / ".git"
    shutil.rmtree(folder / "mpop" / "checked")
    for file in sorted(folder.glob("objects/??/*")):
        if git(place / "p", "cat-file", "-t", file.parent.name + file.name).strip() == kind:
            file.unlink()
            os.mkfifo(file)
            break
    for words in (("species", "list"), ("verify",)):
        done = subprocess.run([*MPOP, *words], cwd=place / "p", capture_output=True, text=True, timeout=60)
        assert done.returncode == 5 and "internal error" not in done.stderr, (words, done)


@pytest.mark.parametrize("name", ["mpop/checked/commits", "mpop/merge.json", "shallow", "mpop/operations.jsonl"])
def test_a_link_to_what_never_ends_is_named(place: Path, name: str) -> None:
    path = place / "p" / ".git" / name
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")
    limit = "ulimit -v 8000000; exec " + " ".join(map(shlex.quote, [*MPOP, "species", "list"]))
    done = subprocess.run(["sh", "-c", limit], cwd=place / "p", capture_output=True, text=True, timeout=60)
    assert done.returncode == 5 and path.name in done.stderr and "internal" not in done.stderr, done


@pytest.mark.parametrize("packed", [False, True])
def test_a_branch_whose_name_is_no_text_is_named(place: Path, packed: bool) -> None:
    name = os.fsdecode(b"b\xff")
    git(place / "p", "branch", name)
    if packed:
        git(place / "p", "pack-refs", "--all")
    for words in (("branch",), ("gc",)):
        done = subprocess.run([*MPOP, *words], cwd=place / "p", capture_output=True, text=True, timeout=60)
        assert done.returncode in (4, 5) and "b\\udcff" in done.stdout + done.stderr, (words, done)
        assert "internal error" not in done.stderr
    assert "nothing to commit" in run(place / "p", *MPOP, "status")


@pytest.mark.parametrize("time", ["99999999999999 +0000", "1700000000 +9999", "253402300799 -1200"])
def test_a_commit_of_a_time_that_no_calendar_has_is_shown(place: Path, time: str) -> None:
    here = place / "p"
    tree, parent = (git(here, "rev-parse", name).strip() for name in ("HEAD^{tree}", "HEAD"))
    text = f"tree {tree}\nparent {parent}\nauthor E <e@x> {time}\ncommitter E <e@x> {time}\n\nLate\n"
    made = subprocess.run(
        ["git", "hash-object", "-t", "commit", "-w", "--literally", "--stdin"],
        cwd=here, input=text, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    git(here, "update-ref", "refs/heads/main", made)
    for words in (("log", "-n", "2"), ("show",), ("branch",)):
        assert "Late" in run(here, *MPOP, *words)


@pytest.mark.parametrize("content", [b"", b"garbage\n", b"\0" * 41], ids=["empty", "garbage", "zeros"])
def test_a_damaged_branch_is_named(place: Path, content: bytes) -> None:
    (place / "p" / ".git" / "refs" / "heads" / "side").write_bytes(content)
    for words in (("branch",), ("gc",), ("verify",)):
        done = subprocess.run([*MPOP, *words], cwd=place / "p", capture_output=True, text=True, timeout=60)
        assert done.returncode == 5 and "refs/heads/side" in done.stdout + done.stderr, (words, done)


@pytest.mark.parametrize("kind", ["commit", "tree", "blob"])
def test_an_empty_git_object_is_named(place: Path, kind: str) -> None:
    here = place / "p"
    repository = Population.open(here).repository
    shutil.copytree(here, place / "other", symlinks=True)
    mpop(here, "remote", "add", "origin", str(place / "other"))
    commit = repository.commit_object("HEAD")
    record = next(iter(repository.entries("HEAD", "species/").values()))
    oid = {"commit": str(commit.id), "tree": str(commit.tree_id), "blob": record}[kind]
    path = here / ".git" / "objects" / oid[:2] / oid[2:]
    path.chmod(0o644)
    path.write_bytes(b"")
    needing = {
        "commit": ["branch", "log", "status", "fetch", "pull", "verify"],
        "tree": ["log", "status", "verify"],
        "blob": ["verify"],
    }[kind]
    for command in [*needing, f"clone {here} {place / 'clone'}"]:
        done = subprocess.run([*MPOP, *command.split()], cwd=here, capture_output=True, text=True, timeout=60)
        assert done.returncode == 5 and oid in done.stdout + done.stderr, (command, done)
        assert "internal error" not in done.stderr
