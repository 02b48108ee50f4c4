"""All importers, by the name that `mpop source add --from` knows.

To add one, write its module and its line here (docs/how-to/add-an-importer.md). Importers are named by text, so
that what one needs is imported when it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from pydantic import BaseModel, ValidationError

from mpop.errors import InputError
from mpop.formats.known_kinds import known_kind
from mpop.importing.importer import Importer

REGISTRY: dict[str, str] = {
    "warp": "mpop.importing.warp:WarpImporter",
    "relion": "mpop.importing.relion:RelionImporter",
}


def importer_named(name: str) -> Importer[Any]:
    """The importer of a name. Raises InputError for one that is not in the table."""
    if name not in REGISTRY:
        raise InputError(f"no importer is called {name}; there are {', '.join(REGISTRY)}")
    return resolve_name(REGISTRY[name])()


def importer_of(path: Path) -> Importer[Any]:
    """The importer that reads what is at a path. Raises InputError when none does, or several do."""
    found = [importer for importer in map(importer_named, REGISTRY) if importer.reads(path)]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{path}: could be {' or '.join(one.what for one in found)}; say which with --from")
    kind = known_kind(path)
    what = f"is {kind.what}, which no importer reads" if kind else "no importer reads this"
    way_on = f"; {kind.way_on}" if kind and kind.way_on else f"; there are {', '.join(REGISTRY)}"
    raise InputError(f"{path}: {what}{way_on}")


def options_of(importer: Importer[Any], given: Mapping[str, Any]) -> BaseModel:
    """Options by name as the model of an importer. Raises InputError for what it does not know."""
    try:
        return importer.Options.model_validate(given)
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(map(str, problem["loc"]))
        if problem["type"] == "extra_forbidden":
            known = ", ".join(importer.Options.model_fields) or "none"
            raise InputError(f"importer {importer.name} has no option {name}; there are: {known}") from error
        raise InputError(f"option {name} of importer {importer.name}: {problem['msg']}") from error
