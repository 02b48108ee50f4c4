"""`mpop species add`, `list`, `remove`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mpop.cli import context
from mpop.cli.context import FirstPerImageOption, ForceOption, JsonOption, emit
from mpop.words import angstrom, counted_items


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    nouns = typer.Typer(
        help="Species: macromolecules with maps and particles.", no_args_is_help=True, rich_markup_mode=None
    )
    nouns.command("add")(add)
    nouns.command("list")(list_species)
    nouns.command("remove")(remove)
    app.add_typer(nouns, name="species")


def add(
    name: Annotated[str, typer.Argument(help="Name of the new species.")],
    half1: Annotated[Path, typer.Option(help="First half-map, MRC.")],
    half2: Annotated[Path, typer.Option(help="Second half-map, MRC.")],
    mask: Annotated[Path, typer.Option(help="Mask, MRC.")],
    particles: Annotated[Path, typer.Option(help="Particle table: STAR of RELION 3.1, RELION 5 or M.")],
    diameter: Annotated[float, typer.Option(help="Diameter of the particle, A.")],
    symmetry: Annotated[str, typer.Option(help="Point group, as RELION names it.")] = "C1",
    angpix: Annotated[float | None, typer.Option(help="Pixel size of the maps, if the header is wrong.")] = None,
    angpix_coords: Annotated[float | None, typer.Option(help="A per unit of rlnCoordinateX/Y/Z.")] = None,
    angpix_shifts: Annotated[float | None, typer.Option(help="A per unit of rlnOriginX/Y/Z.")] = None,
    ignore_unmatched: Annotated[
        bool, typer.Option("--ignore-unmatched", help="Leave out particles of unknown series.")
    ] = False,
    source: Annotated[
        str | None,
        typer.Option(help="The source that the particles are from, where sources share names of series."),
    ] = None,
    first_per_image: FirstPerImageOption = False,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Import a species: half-maps, mask and particles."""
    from mpop.jobs.importing.species import add_species

    context.options.json |= json
    here = context.population()
    with context.run():
        added = add_species(
            here,
            name,
            *(context.relative(path) for path in (half1, half2, mask, particles)),
            diameter_A=diameter,
            symmetry=symmetry,
            pixel_size_A=angpix,
            angpix_coords=angpix_coords,
            angpix_shifts=angpix_shifts,
            ignore_unmatched=ignore_unmatched,
            source=source,
            force=force,
            first_per_image=first_per_image,
        )
    for warning in added.warnings:
        context.warn(warning)
    one = added.record
    sources = {item.source for item in here.items().values() if item.id in one.particles}
    what = counted_items(len(one.particles), {here.source(source).type for source in sources})
    text = (
        f"Added species {one.name}: {one.n_particles} particles in {what}, "
        f"{one.symmetry}, half-maps agree to {angstrom(one.resolution_A)}"
    )
    if added.positions:
        text += f"\nPositions are {added.positions}"
    emit(
        "species",
        {"species": one, "warnings": added.warnings, "doubts": added.doubts, "positions": added.positions},
        text,
    )


def list_species(json: JsonOption = False) -> None:
    """List the species."""
    context.options.json |= json
    species = sorted(context.population().species().values(), key=lambda one: one.name)
    lines = [
        f"{one.name:20} {one.n_particles:7} particles  {one.symmetry:4} "
        f"{angstrom(one.resolution_A):>9}  {one.version[:10]}"
        for one in species
    ]
    emit("species-list", {"species": species}, "\n".join(lines) or "no species yet")


def remove(name: Annotated[str, typer.Argument(help="Name or id.")], json: JsonOption = False) -> None:
    """Take a species out of the population (history keeps it)."""
    context.options.json |= json
    here = context.population()
    here.stage([], remove=[here.one_species(name)])
    emit("removed", {"species": name}, f"Removed species {name}; commit to keep this")
