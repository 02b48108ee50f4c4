"""What may be called how: whatever can be added can be committed, sent and exported."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import run
from example_population import make_population
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpop.errors import InputError, StateError
from mpop.jobs.exporting import file_name
from mpop.population import Population
from mpop_hooks.names import MAX_NAME, is_name, problem_with_name, require_name
from mpop_hooks.schema import SCHEMA
from mpop_store.paths import inside

ODD = [
    "",
    " ",
    "a ",
    " a",
    ".",
    "..",
    ".a",
    "-a",
    "a/b",
    "a\\b",
    "../../stolen/X",
    "a\nb",
    "\x1b[2J",
    "a\u202eb",
    "a\0",
]
GOOD = [
    "TS_01.mrc",
    "007",
    "a b",
    "#1",
    "grid 3.b",
    "x.",
    "ü",
    "O'Brien",
    "12",
    "a#",
    "~",
    "$x",
    "%s",
    "'",
    '"',
    "é" * 100,
]
NAMES = st.text(max_size=250) | st.sampled_from([*ODD, *GOOD])


@given(name=NAMES)
def test_there_is_one_rule_for_names(name: str) -> None:
    rules = [one.fields["name"].must for one in SCHEMA.types.values() if "name" in one.fields]
    assert len(rules) == 4
    assert all(rule is not None and rule.check(name) == is_name(name) for rule in rules)
    if is_name(name):
        require_name("species", name)
        for kind in ("filtered.mrc", "particles.star"):
            inside(Path("/out"), f"{file_name(name)}_{kind}")
        hidden = f".{name}.xml.01234567.4194304.tmp"  # as it is called while it is written
        assert inside(Path("/out"), f"{name}.xml") and len(hidden.encode()) <= 255
    else:
        with pytest.raises(InputError, match="a species cannot be called") as refused:
            require_name("species", name)
        assert str(refused.value).isprintable()


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_no_names(name: str) -> None:
    assert problem_with_name(name)


@pytest.mark.parametrize("name", [*GOOD, "é" * (MAX_NAME // 2)])
def test_names_of_real_series_are_names(name: str) -> None:
    assert problem_with_name(name) is None


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=NAMES.filter(lambda name: name != "ribosome"), what=st.sampled_from(["species", "item", "source"]))
def test_what_can_be_staged_can_be_committed(shared: Population, name: str, what: str) -> None:
    population = Population.open(shared.root)
    record = {
        "species": lambda: population.one_species("a" * 16),
        "item": lambda: population.item("1" * 16),
        "source": lambda: population.source("5" * 16),
    }[what]().model_copy(update={"name": name})
    before = population.repository.status()
    try:
        population.stage([record])
    except InputError:
        assert not is_name(name) or name == ""
        assert population.repository.status() == before
        return
    assert is_name(name)
    if population.repository.status():
        population.commit("Rename")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Population:
    return make_population(tmp_path_factory.mktemp("names"))


@pytest.mark.parametrize("name", GOOD)
def test_what_can_be_committed_can_be_pushed_and_offered(tmp_path: Path, name: str) -> None:
    population = make_population(tmp_path)
    population.stage([population.one_species("ribosome").model_copy(update={"name": name})])
    population.commit("Rename")
    root, bare = str(population.root), str(tmp_path / "bare")
    assert run("init", "--bare", bare).code == 0
    for words in (["remote", "add", "origin", bare], ["push"]):
        done = run("-C", root, *words)
        assert done.code == 0, done.err
    done = run("clone", bare, str(tmp_path / "copy"))
    assert done.code == 0, done.err
    assert Population.open(tmp_path / "copy").one_species("a" * 16).name == name


@pytest.mark.parametrize("name", [".hidden", "-x", "a\u202eb", "x" * 201])
def test_a_population_cannot_be_called_so(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="a population cannot be called"):
        Population.init(tmp_path / "p", name)
    assert not list(tmp_path.iterdir())


def test_the_error_of_species_add_says_what_is_wrong(tmp_path: Path) -> None:
    population = make_population(tmp_path)
    done = run(
        "-C",
        str(population.root),
        "species",
        "add",
        "a/b",
        *["--half1", "a", "--half2", "b", "--mask", "c"],
        *["--particles", "d", "--diameter", "9"],
    )
    assert (done.code, done.err) == (
        2,
        "mpop: error: a species cannot be called 'a/b': a name cannot hold / or \\\n",
    )


def test_an_old_name_that_is_none_is_refused_with_the_way_out(tmp_path: Path) -> None:
    population = make_population(tmp_path)
    with pytest.raises((InputError, StateError)):
        population.stage([population.item("TS_1").model_copy(update={"name": "../x"})])
    assert population.item("1" * 16).name == "TS_1"
