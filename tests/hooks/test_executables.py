"""A population's own policies: programs beside the store, trusted only when nobody else can change them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from mpop.errors import StateError
from mpop.population import Population
from mpop_hooks import Proposal, Violation, check, executables, refusals
from mpop_hooks.proposal import Event


def put(population: Population, event: str, name: str, script: str, mode: int = 0o755) -> Path:
    folder = population.repository.private / "policies" / event
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(mode)
    return program


def ask(population: Population, event: Event = "receive") -> list[Violation]:
    return check(Proposal.between(population.repository, None, "HEAD", event))


def test_exit_code_0_accepts_and_what_is_printed_is_a_note(population: Population) -> None:
    put(population, "receive", "greet", "echo welcome")
    (found,) = ask(population)
    assert (found.rule, found.message, found.severity) == ("receive/greet", "welcome", "note")
    assert ask(population, "merge") == []


def test_any_other_exit_code_refuses_with_every_line(population: Population) -> None:
    put(population, "receive", "1-strict", "echo no cats; echo; echo no dogs; exit 3")
    put(population, "receive", "2-silent", "echo the reason >&2; exit 1")
    put(population, "receive", "3-mute", "exit 7")
    messages = [finding.message for finding in refusals(ask(population))]
    assert messages == ["no cats", "no dogs", "the reason", "exit code 7"]


def test_findings_may_be_json(population: Population) -> None:
    finding = {"message": "too dark", "path": "items/11/x.json", "rule": "lab/light", "advice": "expose longer"}
    note = {"message": "nice", "severity": "note"}
    put(population, "receive", "json", f"echo '{json.dumps([finding, note])}'; exit 1")
    refused, told = ask(population)
    assert str(refused) == "too dark (items/11/x.json; rule lab/light); expose longer"
    assert (told.rule, told.severity) == ("receive/json", "note")


def test_the_proposal_is_on_standard_input(population: Population) -> None:
    seen = population.root / "seen.json"
    put(population, "receive", "look", f"cat > {seen}; pwd >&2")
    assert ask(population) == []
    proposal = json.loads(seen.read_text())
    assert (proposal["schema"], proposal["event"]) == ("mpop.proposal/v1", "receive")
    assert proposal["records"]["population.json"]["name"] == "example"
    assert Path(proposal["objects"]) == population.objects.root


def test_a_program_that_does_not_read_may_still_accept(population: Population) -> None:
    put(population, "receive", "deaf", "exec 0<&-; exit 0")
    assert ask(population) == []


def test_a_program_has_a_time_limit_and_leaves_nothing_behind(population: Population) -> None:
    mark = population.root / "still-running"
    put(population, "receive", "slow", f"(sleep 1; touch {mark}) & sleep 30")
    proposal = Proposal.between(population.repository, None, "HEAD", "receive")
    start = time.monotonic()
    (found,) = executables.check(proposal, time_limit_s=0.2)
    assert time.monotonic() - start < 5
    assert found.message == "no answer within 0.2 s"
    time.sleep(1.2)
    assert not mark.exists()


def test_what_others_can_write_to_is_not_run_and_refuses(population: Population) -> None:
    mark = population.root / "ran"
    program = put(population, "receive", "open", f"touch {mark}", mode=0o757)
    (found,) = ask(population)
    assert found.message == "open can be written to by anybody"
    program.chmod(0o755)
    program.parent.chmod(0o777)
    (found,) = ask(population)
    assert found.message == "receive can be written to by anybody"
    program.parent.chmod(0o755)
    program.rename(population.root / "elsewhere")
    program.symlink_to(population.root / "elsewhere")
    (found,) = ask(population)
    assert found.message == "open is a symbolic link"
    assert not mark.exists()


def test_a_program_of_somebody_else_is_not_run(population: Population, monkeypatch: pytest.MonkeyPatch) -> None:
    put(population, "receive", "theirs", "exit 0")
    ours = Path.lstat

    def lstat(path: Path) -> os.stat_result:
        mode, inode, device, links, _, *more = ours(path)
        return os.stat_result((mode, inode, device, links, os.geteuid() + 1, *more))

    monkeypatch.setattr(Path, "lstat", lstat)
    (found,) = ask(population)
    assert found.message == "theirs belongs to somebody else"


def test_files_that_are_no_programs_are_left_alone(population: Population) -> None:
    put(population, "receive", "README", "no program", mode=0o644)
    put(population, "receive", "broken", "", mode=0o755).write_text("#!/no/such/interpreter\n")
    (found,) = ask(population)
    assert found.rule == "receive/broken"
    assert "cannot be run" in found.message


def test_a_commit_that_a_program_refuses_is_not_made(population: Population) -> None:
    put(population, "commit", "frozen", "echo this population is frozen; exit 1")
    head = population.repository.head
    population.stage([population.item("TS_1").model_copy(update={"name": "other"})])
    with pytest.raises(StateError, match=r"refused to commit: this population is frozen .*rule commit/frozen"):
        population.commit("Rename")
    assert population.repository.head == head


def test_notes_of_a_commit_are_logged(population: Population, caplog: pytest.LogCaptureFixture) -> None:
    put(population, "commit", "greet", "echo mind the vacuum")
    population.stage([population.item("TS_1").model_copy(update={"name": "other"})])
    population.commit("Rename")
    (record,) = caplog.records
    assert record.getMessage().startswith("mpop: note: mind the vacuum (rule commit/greet)")
