"""The seeds of what tests draw, simulate and fit.

`pytest --seed-shift N` adds N to all of them. Draws differ between processors as they differ
between seeds: a test that passes with every shift depends on no machine's draws.
"""

_shift = 0


def seed(number: int) -> int:
    """The seed that this run of the tests has in place of `number`."""
    return number + _shift


def set_shift(number: int) -> None:
    """Called once, before any test is imported."""
    global _shift
    _shift = number
