"""Sums over the coefficients of a shell inside double cones, exactly, for thousands of directions at once.

A cone around n holds the coefficients k of a shell that lie within an angle of n or of -n. Written out that is one
scalar product per pair of direction and coefficient, and grows with the fifth power of the box. Two things keep it
small enough to be done for every coefficient of a map:

* The lattice has 48 symmetries (see `mpop.maps.octahedral`). If k lies in the cone of n, then g k lies in that of
  g n. So who lies in whose cone is found for the directions n of the wedge only, and one product with a matrix of
  zeros and ones gives the sums for all 24 images of n: its columns are the quantities, turned 24 ways.
* Coefficients and directions are sorted into cells. Cells that lie in all cones of a group of directions add one
  number, cells in none nothing; pairs are looked at around the cones' edges only.

Coefficients on the Nyquist planes of an even box stand for both signs of one frequency: they have no direction,
and are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mpop.maps.octahedral import ELEMENTS, PRODUCTS, images, multiplicity, to_wedge, wedge_points

Array = NDArray[np.floating]
Single = NDArray[np.float32]

CELL = 48
"""Vectors in a cell, about."""
MOST_DIVISIONS = 24
EDGE = 2e-7
"""So far beyond a cone's cosine coefficients still count: the rounding of a product of unit vectors."""
SLACK_RAD = 1e-3
"""For the rounding of angles between cells."""
_TURNS = ELEMENTS.reshape(144, 3).T.astype(np.float32)
"""Rows of vectors by this are their images by all 48 elements, one after the other."""


@dataclass(frozen=True)
class Cells:
    """Unit vectors of the wedge, sorted into the cells of a grid of equal angles.

    order: (n,) that sorts them. unit: (n, 3), cell: (n,) of each, both sorted. starts: (cells,) where each begins.
    centre: (cells, 3). radius: (cells,) in radians, a little too large.
    """

    order: NDArray[np.intp]
    unit: Single
    cell: NDArray[np.intp]
    starts: NDArray[np.intp]
    centre: Single
    radius: Single

    @classmethod
    def of(cls, unit: Single) -> Cells:
        """Into cells of about CELL vectors."""
        divisions = int(np.clip(np.sqrt(2 * len(unit) / CELL), 1, MOST_DIVISIONS))
        along = np.arctan(unit[:, 1:] / unit[:, :1]) * np.float32(divisions * 4 / np.pi)
        place = np.minimum(along.astype(np.intp), divisions - 1) @ (divisions, 1)
        order = np.argsort(place, kind="stable")
        unit, place = unit.take(order, axis=0), place.take(order)
        begins = np.ones(len(place), dtype=np.bool_)
        begins[1:] = place[1:] != place[:-1]
        starts, cell = np.flatnonzero(begins), np.cumsum(begins) - 1
        centre = np.add.reduceat(unit, starts, axis=0)
        centre /= np.sqrt(np.square(centre).sum(axis=1, keepdims=True))
        cosine = np.minimum.reduceat((unit * centre.take(cell, axis=0)).sum(axis=1), starts)
        radius = np.arccos(np.minimum(cosine, 1)) + np.float32(SLACK_RAD)
        return cls(order, unit, cell, starts, centre, radius)

    def parts(self) -> Iterator[slice]:
        """Where the vectors of each cell are."""
        yield from map(slice, self.starts, np.append(self.starts[1:], len(self.order)))


@dataclass(frozen=True)
class Shell:
    """Lattice points of a shell that lie in the wedge.

    number: the rounded length of its points. points: (n, 3) z, y, x. cells: their directions, in the same order.
    weight: (n,) how many of a point's 48 images differ, so that sums over all 48 are 48 times too large; 0 for
    points that do not count.
    """

    box: int
    number: int
    points: NDArray[np.int32]
    cells: Cells
    weight: Single

    def places(self) -> NDArray[np.intp]:
        """(n, 24) where the points' images, or what is opposite to them, are in a flat rfftn of the box."""
        turned = images(self.points)
        turned *= np.where(turned[:, 2:] < 0, -1, 1)
        z, y, x = turned[:, 0], turned[:, 1], turned[:, 2]
        z[z < 0] += self.box
        y[y < 0] += self.box
        return (z.astype(np.intp) * self.box + y) * (self.box // 2 + 1) + x


def shells(box: int) -> Iterator[Shell]:
    """All shells of a box, from 1 to Nyquist."""
    points = wedge_points(box // 2)
    length = np.sqrt(np.square(points, dtype=np.float64).sum(axis=1))
    number = np.rint(length).astype(np.intp)
    weight = (48 // multiplicity(points)).astype(np.float32)
    weight[2 * points[:, 0] == box] = 0
    unit = points / np.maximum(length, 1)[:, None]
    order = np.argsort(number, kind="stable")
    edges = np.searchsorted(number[order], np.arange(1, box // 2 + 2))
    for one, (start, stop) in enumerate(pairwise(edges), start=1):
        chosen = order[start:stop]
        cells = Cells.of(unit[chosen].astype(np.float32))
        chosen = chosen[cells.order]
        yield Shell(box, one, points[chosen], cells, weight[chosen])


@dataclass(frozen=True)
class Folded:
    """Directions turned into the wedge.

    cells: of those that differ. row, image: (d,) where each is found in what `Cones.sums` gives for them.
    """

    cells: Cells
    row: NDArray[np.intp]
    image: NDArray[np.intp]

    @classmethod
    def of(cls, directions_xyz: Array) -> Folded:
        """Unit vectors (d, 3) as x, y, z."""
        folded, image = to_wedge(directions_xyz[:, ::-1])
        _, first, row = np.unique(np.rint(folded * 1e6), axis=0, return_index=True, return_inverse=True)
        cells = Cells.of(folded[first].astype(np.float32))
        return cls(cells, np.argsort(cells.order)[row.ravel()], image)


class Cones:
    """Quantities on a shell, ready to be summed in cones of one size around any directions."""

    def __init__(self, shell: Shell, values: Single, half_angle_deg: float) -> None:
        """values: (n, q, 24) of the images of the shell's points."""
        self._quantities = values.shape[1]
        self._angle = np.deg2rad(half_angle_deg)
        self._cells = shell.cells
        self._values = (values * shell.weight[:, None, None]).reshape(len(values), -1)
        # element g turns column h of a quantity into column h g
        self._columns = (24 * np.arange(self._quantities)[:, None] + PRODUCTS[:, None, :]).reshape(48, -1)

    def sums(self, *sets: Cells) -> list[Single]:
        """In the cones around all images of sets of m directions: (m, q, 24) each, in the order of their cells."""
        if self._angle >= np.pi / 2:  # what is at right angles to a direction is not to count for k and for -k
            total = self._values.reshape(len(self._values), -1, 24).sum(axis=(0, 2)) / np.float32(48)
            return [np.tile(total[:, None], (len(one.unit), 1, 24)) for one in sets]
        relations = [self._relations(one) for one in sets]
        turned = self._turned(np.logical_or.reduce([between.any(axis=0) for _, between in relations]))
        whole = np.add.reduceat(self._values, self._cells.starts, axis=0).take(self._columns, axis=1)
        whole = whole.reshape(-1, self._values.shape[1])  # of all cells' images
        return [
            self._around(one, within, within.astype(np.float32) @ whole, turned)
            for one, (within, _) in zip(sets, relations, strict=True)
        ]

    def _relations(self, groups: Cells) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which cells' images, (groups, cells * 48), lie in all cones of a group of directions; which in some."""
        cells = self._cells
        turned = (cells.centre @ _TURNS).reshape(-1, 3)
        apart = np.arccos(np.clip(groups.centre @ turned.T, -1, 1))
        slack = groups.radius[:, None] + np.repeat(cells.radius, 48)
        within = apart + slack <= self._angle
        return within, (apart - slack <= self._angle) & ~within

    def _turned(self, cells: NDArray[np.bool_]) -> _Turned:
        """The images of the points of cells' images, (cells * 48,)."""
        row = np.flatnonzero(cells.reshape(-1, 48).take(self._cells.cell, axis=0))
        point, element = np.divmod(row, 48)
        places = self._columns.take(element, axis=0)
        places += (point * self._values.shape[1])[:, None]
        return _Turned(
            self._cells.cell.take(point) * 48 + element,
            (self._cells.unit @ _TURNS).reshape(-1, 3).take(row, axis=0),
            self._values.ravel().take(places),
        )

    def _around(self, groups: Cells, within: NDArray[np.bool_], sums: Single, turned: _Turned) -> Single:
        """(m, q, 24), from what whole cells add for each group of directions."""
        found = np.empty((len(groups.unit), sums.shape[1]), dtype=np.float32)
        edge = np.float32(np.cos(self._angle) - EDGE)
        reach = np.cos(np.minimum(self._angle + groups.radius, np.pi)).astype(np.float32)
        for group, members in enumerate(groups.parts()):
            reached = turned.unit @ groups.centre[group] >= reach[group]
            near = np.flatnonzero(reached & ~within[group].take(turned.cell))
            inside = groups.unit[members] @ turned.unit.take(near, axis=0).T >= edge
            np.matmul(inside.astype(np.float32), turned.values.take(near, axis=0), out=found[members])
            found[members] += sums[group]
        found /= np.float32(48)
        return found.reshape(len(found), self._quantities, 24)


@dataclass(frozen=True)
class _Turned:
    """Images of points. cell: (r,) which cell's image. unit: (r, 3). values: (r, q * 24) in the images' order."""

    cell: NDArray[np.intp]
    unit: Single
    values: Single
