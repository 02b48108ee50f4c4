"""Numbers as people write them."""


def counted(number: int, noun: str) -> str:
    """`1 object`, `2 objects`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
