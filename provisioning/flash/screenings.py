"""Names how thoroughly a card is screened for fake capacity; screen.py does it."""

from typing import Literal

Screening = Literal["none", "quick", "full"]
SCREENINGS: tuple[Screening, ...] = ("none", "quick", "full")
"""From the laxest to the strictest."""


def is_enough(done: Screening, wanted: Screening) -> bool:
    """Tell whether a card that was screened so has no need of the wanted screening."""
    return SCREENINGS.index(done) >= SCREENINGS.index(wanted)
