"""Numbers as the contract bounds them, so that whoever reads one can count and print it."""

from typing import Annotated, TypeAlias

from msgspec import Meta

WHOLE_MAX = 2**63 - 1
"""What databases hold, and what a float can be made of."""

Whole: TypeAlias = Annotated[int, Meta(ge=0, le=WHOLE_MAX)]
"""A count, or a number of bytes."""

Dbm: TypeAlias = Annotated[int, Meta(ge=-128, le=127)]
"""A level as nl80211 tells it: a signed byte."""
