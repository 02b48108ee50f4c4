"""`mpop simulate tilt-series` and `mpop simulate stack`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from mpop.cli import context
from mpop.cli.context import emit
from mpop.cli.option_groups import flat

AngpixOption = Annotated[float, typer.Option(help="Pixel size, A.")]
PoseShiftOption = Annotated[float, typer.Option(help="Planted error of positions, A.")]
PoseAngleOption = Annotated[float, typer.Option(help="Planted error of orientations, degrees.")]


@dataclass(frozen=True)
class MoleculeOptions:
    """What is simulated, and by which random numbers."""

    model: Annotated[
        Path | None, typer.Option(help="PDB or mmCIF of the molecule; of the first species of tilt series.")
    ] = None
    symmetry: Annotated[str, typer.Option(help="Point group of the model, which is turned to RELION's axes.")] = (
        "C1"
    )
    others: Annotated[
        float, typer.Option(help="Part of the particles with any rotation in spite of --preferred-spread.")
    ] = 0.0
    seed: Annotated[int, typer.Option(help="Same seed, same data.")] = 1


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    nouns = typer.Typer(help="Make data with known truth.", no_args_is_help=True, rich_markup_mode=None)
    nouns.command("tilt-series")(flat(tilt_series))
    nouns.command("stack")(flat(stack))
    app.add_typer(nouns, name="simulate")


def tilt_series(
    directory: Annotated[Path, typer.Argument(help="New folder for the project.")],
    series: Annotated[int, typer.Option(help="Tilt series.")] = 4,
    tilts: Annotated[int, typer.Option(help="Tilts per series.")] = 31,
    particles: Annotated[int, typer.Option(help="Particles per species and series.")] = 65,
    image_size: Annotated[int, typer.Option(help="Edge of a tilt image, px.")] = 1024,
    angpix: AngpixOption = 2.5,
    exposure: Annotated[float, typer.Option(help="Electrons per A^2 and tilt.")] = 4.0,
    image_warp_rms: Annotated[float, typer.Option(help="Planted image warp, A.")] = 5.0,
    stage_angle_rms: Annotated[float, typer.Option(help="Planted stage error about each axis, degrees.")] = 0.3,
    pose_shift_rms: PoseShiftOption = 3.0,
    pose_angle_rms: PoseAngleOption = 2.5,
    preferred_spread: Annotated[
        float, typer.Option(help="Molecules' z axes lie within this angle of the beam, degrees; 180: any.")
    ] = 180.0,
    signal: Annotated[float, typer.Option(help="Scale of the particles' contrast; 0: only noise.")] = 1.0,
    *,
    molecule: MoleculeOptions,
) -> None:
    """Write a Warp project with planted deformations, and the truth apart."""
    from mpop.simulation.parameters import SimulationParameters
    from mpop.simulation.tilt_series import simulate_tilt_series

    parameters = SimulationParameters(
        series=series,
        tilts=tilts,
        particles=particles,
        image_size=image_size,
        pixel_size_A=angpix,
        exposure=exposure,
        image_warp_rms_A=image_warp_rms,
        stage_angle_rms_deg=stage_angle_rms,
        pose_shift_rms_A=pose_shift_rms,
        pose_angle_rms_deg=pose_angle_rms,
        preferred_spread_deg=preferred_spread,
        others=molecule.others,
        signal=signal,
        model=context.relative(molecule.model) if molecule.model else None,
        symmetry=molecule.symmetry,
        seed=molecule.seed,
    )
    with context.run() as run:
        summary = simulate_tilt_series(context.relative(directory), parameters, run)
    names = ", ".join(f"{one.name} ({one.particles} particles, {one.symmetry})" for one in summary.species)
    text = (
        f"Wrote {len(summary.series)} tilt series with {names} to {summary.directory}; "
        f"particles are {summary.planted_position_rms_A:.1f} A RMS from where the files say"
    )
    emit("simulate", summary, text)


def stack(
    directory: Annotated[Path, typer.Argument(help="New folder for the stack.")],
    particles: Annotated[int, typer.Option(help="Images.")] = 2000,
    box: Annotated[int, typer.Option(help="Edge of an image, px.")] = 64,
    angpix: AngpixOption = 3.0,
    snr: Annotated[float, typer.Option(help="Variance of signal over that of noise; inf: no noise.")] = 0.1,
    preferred_spread: Annotated[
        float, typer.Option(help="Views lie within this angle of the molecule's z axis, degrees; 180: uniform.")
    ] = 180.0,
    defocus: Annotated[tuple[float, float], typer.Option(help="Lowest and highest defocus, um.")] = (0.8, 2.0),
    centring_rms: Annotated[float, typer.Option(help="How far particles are off the centre, A.")] = 3.0,
    pose_shift_rms: PoseShiftOption = 2.0,
    pose_angle_rms: PoseAngleOption = 3.0,
    initial_resolution: Annotated[float, typer.Option(help="Resolution of the starting half-maps, A.")] = 20.0,
    *,
    molecule: MoleculeOptions,
) -> None:
    """Write a stack of extracted particles as RELION has it, with misaligned poses, and the truth apart."""
    from mpop.simulation.stacks import StackParameters, simulate_stack

    parameters = StackParameters(
        particles=particles,
        box=box,
        pixel_size_A=angpix,
        signal_to_noise=snr,
        preferred_spread_deg=preferred_spread,
        others=molecule.others,
        defocus_um=defocus,
        centring_rms_A=centring_rms,
        pose_shift_rms_A=pose_shift_rms,
        pose_angle_rms_deg=pose_angle_rms,
        initial_resolution_A=initial_resolution,
        model=context.relative(molecule.model) if molecule.model else None,
        symmetry=molecule.symmetry,
        seed=molecule.seed,
    )
    with context.run() as run:
        summary = simulate_stack(context.relative(directory), parameters, run)
    text = (
        f"Wrote {summary.particles} images of {summary.species} ({summary.symmetry}) to {summary.directory}; "
        f"poses are {summary.planted_angle_rms_deg:.1f} degrees and {summary.planted_shift_rms_A:.1f} A RMS "
        "from the truth"
    )
    emit("simulate.stack", summary, text)
