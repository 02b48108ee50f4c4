"""The graph of commits in text, as `git log --graph` draws it.

Commits come newest first, every child before its parents. A column belongs to a commit that is still to come; the
row of a commit is followed by the rows that lead from its column to those of its parents:

    *   a merge of two
    |\\      the second parent gets a column beside the first
    * | a commit
    |/      two columns that wait for the same commit become one
    * their parent
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence


class Graph:
    """Draws one commit after the other. `columns`: the commits that are waited for, from left to right."""

    def __init__(self) -> None:
        self.columns: list[str] = []

    def draw(self, commit: str, parents: Sequence[str], text: Sequence[str]) -> Iterator[str]:
        """The lines of one commit, its text beside them."""
        if commit not in self.columns:
            self.columns.append(commit)
        column = self.columns.index(commit)
        rows = [_bars(len(self.columns), {column: "*"}), *self._lead_on(column, parents)]
        width = max(2 * len(self.columns) - 1, *(len(row) for row in rows))
        rows += [_bars(len(self.columns))] * (len(text) - len(rows))
        for number, row in enumerate(rows):
            beside = text[number] if number < len(text) else ""
            yield f"{row:<{width}} {beside}".rstrip()

    def _lead_on(self, column: int, parents: Sequence[str]) -> Iterator[str]:
        """Put the parents in the place of a commit; the rows that show it."""
        if parents:
            self.columns[column] = parents[0]
            for parent in reversed(parents[1:]):
                yield self._branch_off(column, parent)
        else:
            del self.columns[column]
            if column < len(self.columns):
                yield _row(
                    len(self.columns) + 1, bars=range(column), slashes=range(column + 1, len(self.columns) + 1)
                )
        yield from self._join()

    def _branch_off(self, column: int, parent: str) -> str:
        """A further parent, in a column of its own or in one beside that waits for it already."""
        if parent in self.columns[column + 1 : column + 2]:
            return _row(len(self.columns), bars=range(len(self.columns)), backslashes=[column])
        self.columns.insert(column + 1, parent)
        before = len(self.columns) - 1
        return _row(len(self.columns), bars=range(column + 1), backslashes=range(column, before))

    def _join(self) -> Iterator[str]:
        """Make one column of those that wait for the same commit, the one on the left."""
        while True:
            again = [at for at, one in enumerate(self.columns) if one in self.columns[:at]]
            if not again:
                return
            right = again[0]
            left = self.columns.index(self.columns[right])
            before = len(self.columns)
            if right == left + 1:
                yield _row(before, bars=range(right), slashes=range(right, before))
            else:
                under = range(left + 1, right - 1)
                yield _row(before, bars=range(right), slashes=range(right, before), lines=under)
                yield _row(before - 1, bars=range(before - 1), slashes=[left + 1])
            del self.columns[right]


def _bars(columns: int, marks: dict[int, str] | None = None) -> str:
    return " ".join((marks or {}).get(column, "|") for column in range(columns))


def _row(
    columns: int,
    bars: Sequence[int] = (),
    slashes: Sequence[int] = (),
    backslashes: Sequence[int] = (),
    lines: Sequence[int] = (),
) -> str:
    """One row: `|` in columns, `/` left of columns, `\\` and `_` right of columns."""
    cells = [" "] * (2 * columns)
    for places, offset, mark in ((bars, 0, "|"), (slashes, -1, "/"), (backslashes, 1, "\\"), (lines, 1, "_")):
        for column in places:
            cells[2 * column + offset] = mark
    return "".join(cells).rstrip()
