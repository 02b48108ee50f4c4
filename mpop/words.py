"""Numbers and things as people write them."""

from collections.abc import Collection

ITEMS = {"tilt-series": ("tilt series", "tilt series"), "particle-stack": ("stack", "stacks")}
"""What an item is called, and several, by the type of their source."""


def counted(number: int, noun: str) -> str:
    """`1 object`, `2 objects`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def counted_items(number: int, types: Collection[str]) -> str:
    """`2 tilt series`, `1 stack`; `3 items` where they may be of both types of source."""
    return f"{number} {item_noun(types, several=number != 1)}"


def item_noun(types: Collection[str], several: bool = False) -> str:
    """What one is called, or several, that may be of these types of source."""
    return (ITEMS[next(iter(types))] if len(types) == 1 else ("item", "items"))[several]


def angstrom(value: float | None) -> str:
    """A resolution as people write it."""
    return "-" if value is None else f"{value:.2f} A"
