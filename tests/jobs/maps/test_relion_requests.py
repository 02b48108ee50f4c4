"""Requests as RELION writes them, without RELION: names, gates, options, errors."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from mpop.errors import InputError
from mpop.formats.external_reconstruct import RequestName
from mpop.formats.images import read_map, write_map
from mpop.formats.star import write_star
from mpop.jobs.maps.relion_hook import HookOptions, HookResult, reconstruct_for_relion
from mpop.maps.filters import transform
from mpop.maps.fsc import fsc
from mpop.maps.gridding import SliceSums, reconstruct
from mpop.maps.shells import mean_amplitudes
from mpop.maps.weighted_restoration import evidence, restore

BOX, PIXEL, REACH = 24, 4.0, 11
SHELL = np.arange(BOX // 2 + 1)
AGREE = np.where(SHELL < 8, 0.9, 0.05)
RUN = "run_it007 v1.2"
OPEN = HookOptions(start_resolution_A=60.0)


@dataclass(frozen=True)
class Scene:
    """What was measured of a truth; tau2 as RELION finds it."""

    truth: np.ndarray
    mask: np.ndarray
    sums: SliceSums
    tau2: np.ndarray


def make_scene(unevenness: float) -> Scene:
    """A phantom, measured with weights that are so many times less within 45 degrees of z."""
    rng = np.random.default_rng(1)
    axis = np.square(np.arange(BOX) - BOX // 2)
    distance = np.sqrt(axis[:, None, None] + axis[None, :, None] + axis)
    mask = (distance < 7).astype(np.float32)
    truth = gaussian_filter(mask * (rng.random((BOX,) * 3) < 0.1), 0.9).astype(np.float32)
    padded = 2 * BOX
    inner = slice(padded // 2 - BOX // 2, padded // 2 + BOX // 2)
    wide = np.zeros((padded,) * 3)
    wide[inner, inner, inner] = truth * np.sinc(distance / padded) ** 2  # as slices are inserted linearly
    spectrum = np.fft.rfftn(np.fft.ifftshift(wide)) / BOX**2
    k = np.fft.fftfreq(padded)
    above = np.abs(k)[:, None, None] > np.hypot(k[:, None], np.fft.rfftfreq(padded))
    shell = np.rint(np.linalg.norm(np.stack(np.meshgrid(*[np.fft.fftfreq(BOX) * BOX] * 3)), axis=0)).astype(int)
    power = np.bincount(shell.ravel(), np.square(np.abs(np.fft.fftn(truth))).ravel()) / np.bincount(shell.ravel())
    power = power[: len(SHELL)] / BOX**4
    weight = np.where(above, 1 / unevenness, 1.0) / power[5]
    noise = np.fft.rfftn(rng.standard_normal((padded,) * 3)) / padded**1.5
    data = spectrum * weight + noise * np.sqrt(weight)
    sums = SliceSums(data.astype(np.complex64), weight.astype(np.float32), BOX, 2.0, REACH)
    return Scene(truth, mask, sums, power / evidence(sums, np.ones(len(SHELL))).unevenness)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make_scene(30.0)


def write_request(
    folder: Path, scene: Scene, name: str = "half1_class001", iteration: int = 6, run: str = RUN
) -> Path:
    """Request, sums, and what RELION wrote about the iteration before."""
    star = folder / f"{run}_it{iteration:03d}_{name}_external_reconstruct.star"
    general = {
        "rlnTau2FudgeFactor": 1.0,
        "rlnPaddingFactor": 2.0,
        "rlnReferenceDimensionality": 3,
        "rlnOriginalImageSize": BOX,
        "rlnCurrentImageSize": 2 * REACH,
    }
    correlation = AGREE if "half" in name else np.zeros(len(SHELL))
    tau2 = 1e6 * np.where(SHELL <= REACH, scene.tau2, 0)  # RELION writes six digits after the point
    table = pd.DataFrame({"rlnSpectralIndex": SHELL, "rlnReferenceTau2": tau2, "rlnGoldStandardFsc": correlation})
    write_star(
        star,
        {"external_reconstruct_general": pd.DataFrame([general]), "external_reconstruct_tau2": table},
    )
    parts = {"data_real": scene.sums.data.real, "data_imag": scene.sums.data.imag, "weight": scene.sums.weight}
    for kind, values in parts.items():
        scale = 1e-6 if kind == "weight" else 1e-3
        with mrcfile.new(star.with_name(f"{star.stem}_{kind}.mrc"), overwrite=True) as mrc:
            mrc.set_data((values * scale).astype(np.float32))
    before = folder / f"{run}_it{iteration - 1:03d}"
    write_map(folder / "mask.mrc", scene.mask, PIXEL)
    optimiser = {
        "rlnOrientSamplingStarFile": "x",
        "rlnParticleDiameter": 56.0,
        "rlnSolventMaskName": str(folder / "mask.mrc"),
    }
    write_star(Path(f"{before}_optimiser.star"), {"optimiser_general": pd.DataFrame([optimiser])})
    write_star(Path(f"{before}_sampling.star"), {"sampling_general": pd.DataFrame({"rlnHealpixOrder": [4]})})
    write_star(Path(f"{before}_half1_model.star"), {"model_general": pd.DataFrame({"rlnPixelSize": [PIXEL]})})
    return star


def in_cone(volume: np.ndarray, truth: np.ndarray) -> float:
    """Correlation of the transforms within 40 degrees of z, shells 3 to 8."""
    k = np.stack(np.meshgrid(*[np.fft.fftfreq(BOX) * BOX] * 2, np.fft.rfftfreq(BOX) * BOX, indexing="ij"))
    radius = np.linalg.norm(k, axis=0)
    chosen = (np.abs(k[0]) > radius * np.cos(np.deg2rad(40))) & (radius > 2.5) & (radius < 8.5)
    a, b = transform(volume)[chosen], transform(truth)[chosen]
    return float((a * b.conj()).real.sum() / np.sqrt(np.square(np.abs(a)).sum() * np.square(np.abs(b)).sum()))


def plain_of(scene: Scene) -> np.ndarray:
    return reconstruct(scene.sums, np.where(SHELL <= REACH, scene.tau2, 0))


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("run_it001_half1_class001", ("run", 1, 1, "class001")),
        ("run_it123_half2_class002", ("run", 123, 2, "class002")),
        ("run_it1234_half2_class002", ("run", 1234, 2, "class002")),
        ("run_it010_class001", ("run", 10, None, "class001")),
        ("my_run.v2 a_it003_class001_it004_half1_body002", ("my_run.v2 a_it003_class001", 4, 1, "body002")),
        ("run_class001", ("run", None, None, "class001")),
    ],
)
def test_names_of_any_kind(file: str, expected: tuple) -> None:
    name = RequestName.parse(Path("Refine3D/job_it1") / f"{file}_external_reconstruct.star")
    assert (name.run, name.iteration, name.half, name.part) == expected
    assert name.folder == Path("Refine3D/job_it1")


def test_uneven_views_are_seen_and_their_directions_restored(scene: Scene) -> None:
    known = evidence(scene.sums, scene.tau2)
    assert known.unevenness[3:9].min() > 3
    plain, restored = plain_of(scene), restore(reconstruct(scene.sums), known, scene.mask, AGREE)
    assert in_cone(restored, scene.truth) > in_cone(plain, scene.truth) + 0.1
    assert fsc(restored, scene.truth, PIXEL).correlation[2:8].min() > 0.7


def test_even_views_need_no_more_signal_than_relion_says() -> None:
    even = make_scene(1.0)
    known = evidence(even.sums, even.tau2)
    np.testing.assert_allclose(known.unevenness[1:], 1.0, atol=0.01)
    plain, restored = plain_of(even), restore(reconstruct(even.sums), known, even.mask, AGREE)
    assert in_cone(restored, even.truth) > in_cone(plain, even.truth) - 0.01


def test_an_open_gate_corrects_and_keeps_the_plain_map(scene: Scene, tmp_path: Path) -> None:
    result = reconstruct_for_relion(write_request(tmp_path, scene), OPEN)
    assert result.corrected and result.healpix_order == 4
    assert result.resolution_A == pytest.approx(BOX * PIXEL / 7)
    assert result.plain_map is not None
    corrected, pixel = read_map(result.map)
    kept, _ = read_map(result.plain_map)
    assert pixel == PIXEL
    assert in_cone(corrected, scene.truth) > in_cone(kept, scene.truth) + 0.1


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("half1_class001", {"start_healpix": 5}, "HEALPix order 4, correction begins at 5"),
        ("half2_class001", {"start_resolution_A": 10.0}, "still 13.7 A, correction begins at 10 A"),
        ("half2_class001", {"limit_fsc": 0.95}, "do not agree at any resolution"),
        ("class001", {}, "all particles together"),
        ("class003", {}, "all particles together"),
    ],
)
def test_a_closed_gate_gives_relions_own_map_and_says_why(
    scene: Scene, tmp_path: Path, name: str, change: dict, reason: str
) -> None:
    star = write_request(tmp_path, scene, name)
    result = reconstruct_for_relion(star, replace(OPEN, **change))
    assert not result.corrected and reason in result.reason
    assert result.plain_map is None
    found, expected = read_map(result.map)[0], plain_of(scene)
    assert np.vdot(found, expected) > 0.999 * np.linalg.norm(found) * np.linalg.norm(expected)


def test_a_class_without_images_is_left_to_relion(scene: Scene, tmp_path: Path) -> None:
    star = write_request(tmp_path, scene)
    for kind in ("data_real", "data_imag", "weight"):
        with mrcfile.open(star.with_name(f"{star.stem}_{kind}.mrc"), "r+") as mrc:
            mrc.data[:] = 0
    result = reconstruct_for_relion(star, OPEN)
    assert (result.corrected, result.reason) == (False, "no image contributes to this map")
    assert not read_map(result.map)[0].any()


def test_low_resolution_of_the_starting_reference_is_kept(scene: Scene, tmp_path: Path) -> None:
    star = write_request(tmp_path, scene)
    start = gaussian_filter(np.roll(scene.truth, 2, axis=0), 1.0)
    write_map(tmp_path / f"{RUN}_it000_half1_class001.mrc", start, PIXEL)
    result = reconstruct_for_relion(star, replace(OPEN, keep_lowres=True, keep_lowres_to_A=24.0))
    assert "starting reference to 24 A" in result.steps
    found = read_map(result.map)[0]
    assert fsc(found, start, PIXEL).correlation[1:3].min() > 0.99
    assert fsc(found, start, PIXEL).correlation[7] < 0.9
    without = read_map(reconstruct_for_relion(star, OPEN).map)[0]
    strength = [np.abs(transform(volume * scene.mask))[:3, :3, :3].mean() for volume in (found, without)]
    assert strength[0] == pytest.approx(strength[1], rel=0.3)
    with pytest.raises(InputError, match="no --ini_high in RELION's command; say --keep-lowres-to"):
        reconstruct_for_relion(star, replace(OPEN, keep_lowres=True))
    (tmp_path / f"{RUN}_it000_optimiser.star").write_text(
        "# RELION optimiser\n# --o run --ini_high 24 --j 1\n\ndata_x\n"
    )
    again = reconstruct_for_relion(star, replace(OPEN, keep_lowres=True))
    np.testing.assert_array_equal(read_map(again.map)[0], found)


def test_whitening_and_low_pass(scene: Scene, tmp_path: Path) -> None:
    star = write_request(tmp_path, scene)

    def amplitudes(result: HookResult) -> np.ndarray:
        return mean_amplitudes(transform(read_map(result.map)[0] * scene.mask))

    steep = amplitudes(reconstruct_for_relion(star, OPEN))
    result = reconstruct_for_relion(star, replace(OPEN, whitening=True, whitening_low_A=32.0))
    flat = amplitudes(result)
    assert result.steps == ["restored", "whitened beyond 32 A"]
    assert steep[3] > 3 * steep[7]
    np.testing.assert_allclose(flat[3:7], flat[3], rtol=0.4)  # linear between shells, and the mask mixes them
    result = reconstruct_for_relion(star, replace(OPEN, low_pass=True))
    assert result.steps == ["restored", "low-passed"]
    spectrum = mean_amplitudes(transform(read_map(result.map)[0]))
    assert spectrum[10:].max() < 1e-3 * spectrum[3]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda star: star.with_name(f"{RUN}_it005_optimiser.star").unlink(),
            "_it005_optimiser.star: no such file",
        ),
        (lambda star: star.with_name(f"{star.stem}_weight.mrc").unlink(), "_weight.mrc: no such file"),
        (
            lambda star: write_map(star.with_name(f"{star.stem}_weight.mrc"), np.ones((8, 8, 8)), 1.0),
            "is 8 x 8 x 8",
        ),
        (lambda star: write_map(star.with_name("mask.mrc"), np.ones((8, 8, 8)), 1.0), "RELION's maps have 24"),
        (lambda star: star.write_text("data_x\n\n_a 1\n"), "no block data_external_reconstruct_general"),
        (lambda star: star.unlink(), "no such file"),
        (
            lambda star: star.write_text(star.read_text().replace("0.9", "abc")),
            "column _rlnGoldStandardFsc: 'abc.*' is not a number",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_named_and_no_map_written(
    scene: Scene, tmp_path: Path, spoil, message: str
) -> None:
    star = write_request(tmp_path, scene)
    spoil(star)
    with pytest.raises(InputError, match=message):
        reconstruct_for_relion(star, OPEN)
    assert not star.with_suffix(".mrc").exists()


def test_a_name_that_relion_does_not_give(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a name that RELION gives"):
        reconstruct_for_relion(tmp_path / "run.star")


def test_the_command_as_relion_calls_it(scene: Scene, tmp_path: Path) -> None:
    """Through a shell, which takes a name apart at its spaces, with options and with the environment's."""
    star = write_request(tmp_path, scene)
    start = f"{Path(sys.executable).parent / 'mpop'} relion-external-reconstruct --start-resolution 60 --json "
    done = subprocess.run(start + str(star), shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["schema"] == "mpop.relion-external-reconstruct/v1"
    assert told["corrected"] and told["map"] == str(star.with_suffix(".mrc"))
    command = "MPOP_START_HEALPIX=7 " + start.replace("--json ", "") + str(star)
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout.startswith(f"mpop: {star.stem}.mrc: angular sampling is still at HEALPix order 4")
    done = subprocess.run(start + "nothing here", shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("mpop: error: nothing here: not a name that RELION gives")


def _with_shell(star: Path, shell: int, column: int, value: str) -> None:
    lines = star.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if line.split()[:1] == [str(shell)])
    words = lines[at].split()
    words[column] = value
    lines[at] = "\t".join(words)
    star.write_text("\n".join(lines) + "\n")


def test_an_fsc_of_shells_that_are_empty_in_both_half_maps_counts_as_0(scene: Scene, tmp_path: Path) -> None:
    """RELION divides 0 by 0 there."""
    star = write_request(tmp_path, scene)
    for shell in (10, 11, 12):
        _with_shell(star, shell, 2, "0.0")
    expected = read_map(reconstruct_for_relion(star, OPEN).map)[0]
    for shell in (10, 11, 12):
        _with_shell(star, shell, 2, "-nan")
    result = reconstruct_for_relion(star, OPEN)
    assert result.corrected
    assert str(result.doubts[0]).endswith(
        "rlnGoldStandardFsc is NaN in 3 shells, the first is 10; it counts as 0 there: the half-maps have nothing "
        "in common"
    )
    np.testing.assert_array_equal(read_map(result.map)[0], expected)


@pytest.mark.parametrize("value", ["inf", "nan", "-1.0"])
def test_a_tau2_that_is_no_power_is_refused_where_there_are_data(scene: Scene, tmp_path: Path, value: str) -> None:
    star = write_request(tmp_path, scene)
    _with_shell(star, 12, 1, value)
    assert REACH < 12
    assert reconstruct_for_relion(star, OPEN).doubts == []
    star.with_suffix(".mrc").unlink()
    _with_shell(star, 3, 1, value)
    with pytest.raises(InputError, match="rlnReferenceTau2 of shell 3 is"):
        reconstruct_for_relion(star, OPEN)
    assert not star.with_suffix(".mrc").exists()


def test_other_numbers_that_are_none(scene: Scene, tmp_path: Path) -> None:
    star = write_request(tmp_path, scene)
    _with_shell(star, 3, 2, "1.7")
    with pytest.raises(InputError, match=r"rlnGoldStandardFsc of shell 3 is 1\.7, and must lie between -1 and 1"):
        reconstruct_for_relion(star, OPEN)
    star = write_request(tmp_path, scene)
    write_star(
        tmp_path / f"{RUN}_it005_half1_model.star", {"model_general": pd.DataFrame({"rlnPixelSize": [np.nan]})}
    )
    with pytest.raises(InputError, match="column _rlnPixelSize: '<NA>' is not a number"):
        reconstruct_for_relion(star, OPEN)


def test_half_maps_of_opposite_contrast_are_not_corrected(scene: Scene, tmp_path: Path) -> None:
    star = write_request(tmp_path, scene)
    for shell in range(1, BOX // 2 + 1):
        _with_shell(star, shell, 2, "0.9" if shell < 3 else "-0.9")
    result = reconstruct_for_relion(star, OPEN)
    assert not result.corrected and "the negative of the other" in result.reason
    assert [doubt.kind for doubt in result.doubts] == ["opposite-contrast"]


def test_a_mask_of_other_pixels_is_said(scene: Scene, tmp_path: Path) -> None:
    star = write_request(tmp_path, scene)
    write_map(tmp_path / "mask.mrc", scene.mask, 2 * PIXEL)
    (doubt,) = reconstruct_for_relion(star, OPEN).doubts
    assert doubt.read == "8 A/px by its header" and doubt.against == "RELION's maps have 4"
