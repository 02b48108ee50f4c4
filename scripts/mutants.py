"""Mutation testing: do the tests of a numerical module fail when its code is changed?

    make mutants                                          # every module of tests/mutants.toml, some hours
    make mutants MODULE="mpop/maps/fsc.py mpop/optics/ctf.py"
    make mutants MODULE=mpop/maps/fsc.py:true_fsc         # one function, method or class

One operator or number is changed at a time (Cosmic Ray's operators), in a copy of the project, and the tests that
tests/mutants.toml names for the module run. A change that they pass "survives": either nobody can see it, which is
then written down there with the reason, or a test is missing. Exit code 1 when any other survives.

Tests run in forks of a process that has loaded the libraries and mpop's records, not what is changed: what takes
seconds to import is imported once. Kernels are compiled anew for each change of a module that they are made from.
"""

from __future__ import annotations

import argparse
import ast
import gc
import importlib
import math
import os
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import numba
import parso
import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

ROOT = Path(__file__).resolve().parent.parent
LOADED = (
    *("numpy", "scipy.fft", "scipy.interpolate", "scipy.ndimage", "scipy.spatial", "torch", "zarr"),
    *("mrcfile", "starfile", "pydantic", "xdist.plugin", "pytest_asyncio", "mpop.records.models"),
)
"""Once for all tests."""
COPIED = ("mpop", "store", "hooks", "tests", "pyproject.toml")
BINARY = ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_Mul", "Pow_Mul", "BitAnd_BitOr")
"""Not |, which is that of types."""
COMPARISONS = (
    *("Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt"),  # the border
    *("Lt_GtE", "GtE_Lt", "Gt_LtE", "LtE_Gt", "Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is"),  # the opposite
)
OTHERS = (
    *("NumberReplacer", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
    *("ReplaceUnaryOperator_USub_UAdd", "ReplaceUnaryOperator_Delete_Invert", "ReplaceUnaryOperator_Delete_Not"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ZeroIterationForLoop"),
)
PASSED = 0
PATIENCE = 10.0
"""Tests that take so many times as long as with the code as it is never end."""


class ReplaceAugmentedAssignment:
    """What adds subtracts, and the like; Cosmic Ray has no such operator."""

    INSTEAD = {"+=": "-=", "-=": "+=", "*=": "/=", "/=": "*=", "&=": "|="}  # noqa: RUF012

    def mutation_positions(self, node):
        """Where the operator of an assignment stands."""
        if isinstance(node, parso.python.tree.Operator) and node.value in self.INSTEAD:
            yield node.start_pos, node.end_pos

    def mutate(self, node, index):
        """The node with the other operator."""
        node.value = self.INSTEAD[node.value]
        return node


@dataclass(frozen=True)
class Mutant:
    """A module with one line changed."""

    line: int
    before: str
    after: str
    code: str


def mutants(code: str, within: range) -> Iterator[Mutant]:
    """Every change of code within some lines. Decorators stay: they say how it is run, not what it does."""
    names = [f"ReplaceBinaryOperator_{name}" for name in BINARY]
    names += [f"ReplaceComparisonOperator_{name}" for name in COMPARISONS]
    operators = [get_operator(f"core/{name}")() for name in (*names, *OTHERS)]
    tree, seen = get_ast(code), {code}
    for operator in (*operators, ReplaceAugmentedAssignment()):
        positions = [at for node in ast_nodes(tree) for at in operator.mutation_positions(node)]
        for occurrence in range(len(positions)):
            mutated = mutate_code(code, operator, occurrence)
            if mutated is None or mutated in seen:
                continue
            seen.add(mutated)
            line, before, after = changed_line(code, mutated)
            if line in within and not before.startswith("@"):
                yield Mutant(line, before, after, mutated)


def lines_of(code: str, name: str) -> range:
    """The lines of a function or class by its name."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return range(node.lineno, (node.end_lineno or node.lineno) + 1)
    sys.exit(f"there is no function or class {name} in the module")


def changed_line(code: str, mutated: str) -> tuple[int, str, str]:
    """The number of the first line that differs, and that line before and after."""
    pairs = zip(code.splitlines(), mutated.splitlines(), strict=False)
    return next((n, one.strip(), other.strip()) for n, (one, other) in enumerate(pairs, 1) if one != other)


class Trial:
    """A copy of the project in which one module at a time is changed and tested."""

    def __init__(self, folder: Path) -> None:
        self.tree = folder / "tree"
        self.compiled = folder / "compiled"
        self.tree.mkdir()
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
            copy(ROOT / name, self.tree / name)
        os.environ["PYTHONPATH"] = os.pathsep.join(str(self.tree / name) for name in ("", "store", "hooks"))
        sys.path[:0] = os.environ["PYTHONPATH"].split(os.pathsep)
        os.chdir(self.tree)
        for name in LOADED:
            importlib.import_module(name)
        gc.freeze()  # pytest collects garbage several times, of all that was loaded

    def passes(self, tests: list[str], seconds: float | None, compiled: Path, write_bytecode: bool) -> bool:
        """Whether tests pass in a process of their own, within a time."""
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.setsid()
                code = self._pytest(tests, compiled, write_bytecode)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        end = math.inf if seconds is None else time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                done, status = os.waitpid(child, os.WNOHANG)
                if done:
                    child = None
                    return status == PASSED
                time.sleep(0.02)
            return False
        finally:
            if child is not None:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)

    def _pytest(self, tests: list[str], compiled: Path, write_bytecode: bool) -> int:
        output = os.open(self.tree / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.environ.setdefault("MPOP_TEST_DATA", str(ROOT.parent / "shared" / "data"))
        sys.dont_write_bytecode = not write_bytecode
        numba.config.CACHE_DIR = str(compiled)  # pyright: ignore[reportAttributeAccessIssue]
        hypothesis.settings.register_profile(
            "mutants", deadline=None, database=None, phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate]
        )
        options = ["-x", "-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
        options += ["--hypothesis-profile=mutants", "--hypothesis-seed=0"]
        return int(pytest.main([*options, *tests]))

    def survivors(self, module: str, name: str, tests: list[str]) -> tuple[int, list[Mutant]]:
        """How many changes there are of a module, or of what has a name in it, and those that its tests pass."""
        path = self.tree / module
        code = path.read_text()
        assert module.removesuffix(".py").replace("/", ".") not in sys.modules
        assert sys.modules["mpop"].__file__ == str(self.tree / "mpop/__init__.py")
        within = lines_of(code, name) if name else range(1, len(code))
        start = time.monotonic()
        self.compiled.mkdir(exist_ok=True)
        if not self.passes(tests, None, self.compiled, write_bytecode=True):
            sys.exit(f"{module}: the tests fail without any change\n{(self.tree / 'output.txt').read_text()}")
        seconds = 10 + PATIENCE * (time.monotonic() - start)
        for stale in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
            stale.unlink()  # a change of the same length in the same second would go by unseen
        anew = self._is_compiled(module)
        alive, count = [], 0
        try:
            for mutant in mutants(code, within):
                count += 1
                path.write_text(mutant.code)
                with tempfile.TemporaryDirectory(dir=self.tree.parent) as fresh:
                    if self.passes(tests, seconds, Path(fresh) if anew else self.compiled, write_bytecode=False):
                        alive.append(mutant)
                        print(f"{module}:{mutant.line}\n  - {mutant.before}\n  + {mutant.after}", flush=True)
        finally:
            path.write_text(code)
        return count, alive

    def _is_compiled(self, module: str) -> bool:
        """Whether a kernel is made from the module, or from what another one imports of it."""
        name = module.removesuffix(".py").replace("/", ".")
        kernels = [path for path in (self.tree / "mpop").rglob("*.py") if "@njit" in path.read_text()]
        return any(path == self.tree / module or name in path.read_text() for path in kernels)


def main() -> int:
    """Test the modules that are named, or all."""
    known = tomllib.loads((ROOT / "tests/mutants.toml").read_text())
    parser = argparse.ArgumentParser(description="Mutation testing of numerical modules, see tests/mutants.toml")
    parser.add_argument("modules", nargs="*", default=list(known), metavar="MODULE")
    wanted = [one.partition(":")[::2] for one in parser.parse_args().modules]
    if unknown := [module for module, _ in wanted if module not in known]:
        sys.exit(f"tests/mutants.toml names no tests of {', '.join(unknown)}; it knows {', '.join(known)}")
    open_ones = 0
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(Path(folder))
        for module, name in wanted:
            count, alive = trial.survivors(module, name, known[module]["tests"])
            unseen = [(one["before"], one.get("after")) for one in known[module].get("equivalent", [])]
            missed = sum(
                (mutant.before, mutant.after) not in unseen and (mutant.before, None) not in unseen
                for mutant in alive
            )
            killed = count - len(alive)
            print(f"{module}: {count} mutants, {killed} killed, {len(alive) - missed} equivalent, {missed} open")
            open_ones += missed
    return int(open_ones > 0)


if __name__ == "__main__":
    sys.exit(main())
