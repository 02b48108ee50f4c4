"""The shape of the project: who imports whom, how large modules are, what the command line may load."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from benchmarks.registry import BENCHMARKS, GROUPS

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "mpop": ROOT / "mpop",
    "mpop_hooks": ROOT / "hooks/mpop_hooks",
    "mpop_store": ROOT / "store/mpop_store",
}
MODULES = sorted(path for folder in PACKAGES.values() for path in folder.rglob("*.py"))
MAX_LINES = 500
SLOW_LIBRARIES = {"torch", "zarr", "numba", "matplotlib", "pandas", "scipy"}


def _label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def module_name(path: Path) -> str:
    """`mpop.maps.fsc` of a file."""
    for package, folder in PACKAGES.items():
        if path.is_relative_to(folder):
            parts = path.relative_to(folder).with_suffix("").parts
            return ".".join([package, *(part for part in parts if part != "__init__")])
    raise ValueError(path)


def imported(path: Path) -> Iterator[str]:
    """Full names of the modules, or names in modules, that a file imports from this project."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{_label(path)} line {node.lineno}: write the full name of the package"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] in PACKAGES)


def documented_order() -> list[str]:
    """Layers of mpop in the order of the table in docs/architecture.md."""
    text = (ROOT / "docs/architecture.md").read_text()
    return [name.removesuffix(".py") for name in re.findall(r"^\| `mpop/(\w+(?:\.py)?)/?` \|", text, re.MULTILINE)]


def layer(name: str) -> str:
    """The part of mpop that a name belongs to."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


def test_every_part_of_mpop_is_in_the_documented_order() -> None:
    parts = {path.stem if path.is_file() else path.name for path in PACKAGES["mpop"].iterdir()}
    parts = {part for part in parts if not part.startswith("__")}
    assert set(documented_order()) == parts


@pytest.mark.parametrize("path", MODULES, ids=_label)
def test_imports_point_one_way(path: Path) -> None:
    name = module_name(path)
    package = name.split(".")[0]
    allowed = {
        "mpop_store": {"mpop_store"},
        "mpop_hooks": {"mpop_hooks", "mpop_store"},
        "mpop": {"mpop", "mpop_hooks", "mpop_store"},
    }[package]
    for target in imported(path):
        assert target.split(".")[0] in allowed, f"{name} imports {target}"
    if package != "mpop" or name == "mpop":
        return
    order = documented_order()
    for target in imported(path):
        part = layer(target)
        if target.startswith("mpop.") and part in order:
            assert order.index(part) <= order.index(layer(name)), f"{name} imports {target}, which stands above it"


def test_packages_of_the_store_import_those_above_them() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    order = re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE)
    folders = {path.name for path in PACKAGES["mpop_store"].iterdir() if (path / "__init__.py").exists()}
    assert set(order) == folders
    for path in PACKAGES["mpop_store"].rglob("*/*.py"):
        for target in imported(path):
            part = layer(target)
            assert part not in order or order.index(part) <= order.index(path.parent.name), (
                f"{module_name(path)} imports {target}, which stands above it"
            )


def test_no_module_imports_itself_through_others() -> None:
    """Not for types alone, or within a function, either. Raises CycleError with the circle."""
    modules = {module_name(path): path for path in MODULES}
    needs = {
        name: {
            next(one for one in (target, target.rpartition(".")[0]) if one in modules) for target in imported(path)
        }
        for name, path in modules.items()
    }
    TopologicalSorter(needs).prepare()


@pytest.mark.parametrize("path", sorted((ROOT / "mpop/simulation").glob("*.py")), ids=_label)
def test_simulation_has_physics_of_its_own(path: Path) -> None:
    shared = {"geometry", "optics", "projection", "maps", "refinement", "population", "jobs"}
    assert not [target for target in imported(path) if layer(target) in shared]


@pytest.mark.parametrize("path", MODULES, ids=_label)
def test_modules_are_small_and_say_what_they_are_for(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_LINES
    assert not text or ast.get_docstring(ast.parse(text)), f"{_label(path)} has no docstring"


def _public_definitions(path: Path) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """Functions, classes and their methods without a leading underscore; not what implements a base class."""
    pending: list[ast.AST] = [ast.parse(path.read_text())]
    while pending:
        for node in ast.iter_child_nodes(pending.pop()):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                yield node
                if isinstance(node, ast.ClassDef) and not node.bases:
                    pending.append(node)


@pytest.mark.parametrize("path", MODULES, ids=_label)
def test_public_functions_are_documented_and_typed(path: Path) -> None:
    for node in _public_definitions(path):
        assert ast.get_docstring(node), f"{_label(path)}: {node.name} has no docstring"
        if isinstance(node, ast.FunctionDef):
            assert node.returns is not None, f"{_label(path)}: {node.name} does not say what it returns"


PLAIN = {
    "mpop.jobs.maps": {"finding", "resolution_colours", "slices", "verdict"},
    "mpop.maps": {"conventions"},
}
"""Modules that reports on maps may know of those that compute: what was found, and lines that are drawn."""
COMPUTE = ("mpop.jobs", "mpop.maps", "mpop.networks", "mpop.series", "mpop.projection", "mpop.refinement")
MAP_REPORTS = sorted(
    path
    for folder in ("mpop/reports", "mpop/reports/drawn")
    for path in (ROOT / folder).glob("*.py")
    if path.stem not in ("plots", "refinement", "request", "species_plots")
)
"""Those left out show other things: a demo's evaluation, and the offers of a request."""


@pytest.mark.parametrize("path", MAP_REPORTS, ids=_label)
def test_reports_on_maps_compute_nothing(path: Path) -> None:
    for target in imported(path):
        if target.startswith(COMPUTE):
            assert any(
                target.startswith(f"{package}.{module}.") for package, plain in PLAIN.items() for module in plain
            ), f"{_label(path)} imports {target}"


def test_help_loads_no_slow_library() -> None:
    """`mpop --help` answers at once: what takes long to import is imported where it is used."""
    code = "import sys; from mpop.cli.main import app; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded & SLOW_LIBRARIES


def test_make_targets_in_the_documents_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        named = set(re.findall(r"(?:`|^ *\$? ?)make ([a-z]+)", page.read_text(), re.MULTILINE))
        assert named <= targets, f"{_label(page)} names {sorted(named - targets)}"


def test_ci_runs_what_developers_run() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert {"make lint", "make test"} <= set(re.findall(r"make \w+", script.read_text()))


def test_every_benchmark_is_registered_and_documented() -> None:
    """What can be run in the folder of a group is in the registry, and `docs/benchmarks.md` says how to run it."""
    folders = [path for group in GROUPS for path in (ROOT / "benchmarks" / group).glob("*.py")]
    can_run = {path for path in folders if 'if __name__ == "__main__"' in path.read_text()}
    assert can_run == {one.path for one in BENCHMARKS.values()}
    text = (ROOT / "docs/benchmarks.md").read_text()
    assert set(re.findall(r"^    python -m benchmarks (\w+)", text, re.MULTILINE)) == set(BENCHMARKS)
    for one in BENCHMARKS.values():
        assert one.quick == ('"--quick"' in one.path.read_text()), one.name
