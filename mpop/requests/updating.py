"""Offer again: the same request, with what HEAD holds now."""

from __future__ import annotations

from mpop.errors import StateError
from mpop.population import Population
from mpop.requests.chains import Request, Requests
from mpop.requests.offers import Offer, offer_branch, offer_species


def open_request(population: Population, species: str | None, onto: str, message: str) -> tuple[Request, Offer]:
    """Offer HEAD, or one species of it, for a branch. The first line of the message is the title."""
    _require_committed(population)
    offer = offer_branch(population, onto) if species is None else offer_species(population, species, onto)
    branch = (population.repository.refs.branch or "HEAD").removeprefix("refs/heads/")
    title, _, text = message.strip().partition("\n")
    title = title or (f"Species {offer.species.name}" if offer.species else f"Branch {branch}")
    made = Requests(population.repository).open(title, onto, offer.species, offer.commit, text.strip())
    return made, offer


def update_request(population: Population, wanted: str, message: str) -> tuple[Request, Offer]:
    """Offer what HEAD holds now in place of what a request offered until now; StateError if that is the same."""
    _require_committed(population)
    requests = Requests(population.repository)
    record = requests.find(wanted).record
    species = record.species
    offer = (
        offer_branch(population, record.onto)
        if species is None
        else offer_species(population, species.id, record.onto)
    )
    if not population.repository.changes(record.offered, offer.commit):
        raise StateError(f"request {record.id} offers just this already; commit what has changed first")
    return requests.add(record.id, "update", message.strip(), offer.commit), offer


def _require_committed(population: Population) -> None:
    """What is not committed is not offered, which nobody would expect who has just changed something."""
    if not population.repository.is_clean:
        raise StateError("there are changes that are not committed, and would not be offered; `mpop commit` first")
